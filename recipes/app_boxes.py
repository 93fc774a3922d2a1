"""Measures what a box costs that is not the landmarks' own, with one look at it and with two.

    python recipes/app_boxes.py android_demo_assets/300w/int8 --dataset 300w --data DIR \
        --split helen/trainset --last 120 --out runs/app_boxes --page android_demo_assets/README.md

Every face is looked at in the landmarks' tight box and in boxes as other detectors give them; the
second look is at the tight box of the first one's points, which is what the page for apps advises.
The result is OUT/table.md and OUT/table.json; --page puts the rows into a page with such a table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import geometry, markup
from tfalign.cli import measuring
from tfalign.cli.program import run_recipe
from tfalign.evaluation import score
from tfalign.files import write_json, write_whole
from tfalign.inference.crops import cut_crops
from tfalign.tflite import Metadata, Runner


def padded(left: float, top: float, right: float, bottom: float) -> Callable[[Any], Any]:
    """Returns what adds these shares of a box's size on its sides."""
    return lambda boxes: geometry.pad_box(boxes, (left, top, right, bottom))


BOXES = {
    "the annotated landmarks' tight box": padded(0, 0, 0, 0),
    "its top raised by 30 % of its height": padded(0, 0.3, 0, 0),
    "a head's: 45 % more on top, 5 % aside": padded(0.05, 0.45, 0.05, 0),
    "25 % more on every side": padded(0.25, 0.25, 0.25, 0.25),
    "15 % less on every side": padded(-0.15, -0.15, -0.15, -0.15),
}


TITLE = "| box that the "
"""How the table's first line begins."""


def tight(points: np.ndarray) -> np.ndarray:
    """Returns the tight boxes (…, 4) of points (…, n, 2)."""
    return np.concatenate([points.min(axis=-2), points.max(axis=-2)], axis=-1)


def with_rows(page: str, rows: Sequence[str]) -> str:
    """Returns a page with the lines of its table of boxes replaced, each in its place.

    Raises:
        ValueError: If the page has no such row, or several.
    """
    lines = page.split("\n")
    for row in rows:
        name = TITLE if row.startswith(TITLE) else row.split(" | ")[0] + " |"
        places = [at for at, line in enumerate(lines) if line.startswith(name)]
        if len(places) != 1:
            raise ValueError(f"The page must have one row {name!r}. Received: {len(places)}")
        lines[places[0]] = row
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = measuring.parser(__doc__)
    parser.add_argument("export", type=Path, help="The folder of an exported file.")
    parser.add_argument("--page", type=Path, metavar="FILE.md", help="The page with the table.")
    arguments = parser.parse_args(argv)
    reader = measuring.read_data(arguments)
    protocol = measuring.chosen_protocol(arguments, reader)
    about, model = Metadata.read(arguments.export), Runner(arguments.export / "model.tflite")
    if about.crop is None or about.scheme is None:
        raise ValueError(
            "The file must say how faces are cropped and which points it finds: export it with "
            f"crop and scheme. Received: {arguments.export}"
        )
    faces = list(reader)
    images = [face.image for face in faces]
    truth = np.stack([face.landmarks for face in faces])
    annotated = np.stack([face.annotated for face in faces])  # the others lie at (0, 0)
    own = np.stack([tight(face.landmarks[face.annotated]) for face in faces])

    def look(boxes: np.ndarray) -> np.ndarray:
        crops, maps = cut_crops(images, boxes, about.crop, model.image_size)
        found = zip(model(crops), maps, strict=True)
        return np.stack(
            [geometry.image_from_unit(points, m, model.image_size) for points, m in found]
        )

    def error(points: np.ndarray) -> float:
        points = markup.convert(points, about.scheme, protocol.scheme)
        return float(score(points, truth, protocol, annotated=annotated).nme)

    rows = []
    for name, change in BOXES.items():
        first = look(np.asarray(change(own)))
        rows.append({"box": name, "one_look": error(first), "two_looks": error(look(tight(first)))})
    lines = [
        f"| {row['box']} | {100 * row['one_look']:.2f} % | {100 * row['two_looks']:.2f} % |"
        for row in rows
    ]
    which = [arguments.dataset, *(arguments.split or ())]
    which += [f"last {arguments.last}"] if arguments.last else []
    what = f"{len(faces)} faces of {', '.join(which)}, NME by `{protocol.name}`"
    title = f"{TITLE}{about.kind} file of this folder was given ({what}; `recipes/app_boxes.py`)"
    lines.insert(0, f"{title} | one pass | second pass |")
    text = "\n".join([lines[0], "|---|---|---|", *lines[1:]])
    if arguments.page is not None:
        write_whole(arguments.page, with_rows(arguments.page.read_text(encoding="utf-8"), lines))
    result = {"faces": len(faces), "protocol": protocol.name, "kind": about.kind, "rows": rows}
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out / "table.json", result)
    write_whole(arguments.out / "table.md", text + "\n")
    print(text)
    return result


if __name__ == "__main__":
    sys.exit(run_recipe(main))
