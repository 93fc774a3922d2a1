"""Looks at a data set before anything is trained on it.

    tfalign inspect coco --data faces --out look
    tfalign inspect 300w --data 300W --split afw --out look
    tfalign inspect pts --data hands --scheme hand.json --out look

Every annotation and image is read. OUT receives sheet.jpg, faces with their numbered points;
points.png, the mean shape; problems.txt, every fault and what was settled, with file and line;
scheme.json, the landmark scheme, to edit and give back with --scheme; and inspection.json.

The mean face is compared with its mirror image: where mirrored points do not fall onto their
partners, the scheme's mirror pairs are wrong, and mirrored training faces would be, too. Then, and
where faces had to be left out, the exit code is 1.
"""

from __future__ import annotations

import argparse
import io
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfalign import markup
from tfalign.argument_help import ArgumentParser
from tfalign.cli.measuring import add_reader_option
from tfalign.data import inspection, sets
from tfalign.files import write_json, write_whole


def options(prog: str = "tfalign inspect") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "dataset",
        choices=list(sets.SETS),
        metavar="SET",
        help=f"Data set: {', '.join(sets.SETS)}.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="PATH",
        help="The set's folder, or the annotation file.",
    )
    parser.add_argument(
        "--split", nargs="+", metavar="SPLIT", help="Splits to read (default: what is there)."
    )
    parser.add_argument(
        "--scheme",
        metavar="NAME|FILE.json",
        help="Landmark scheme: of files that do not name their points it says what the points are; "
        "other points are converted to it.",
    )
    add_reader_option(parser)
    parser.add_argument(
        "--faces", type=int, default=12, metavar="N", help="How many faces the sheet shows."
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="Folder for the results."
    )
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Inspects, writes and prints; returns the inspection as plain data."""
    if arguments.faces < 1:
        raise ValueError(f"--faces must be positive. Received: {arguments.faces}")
    dataset = sets.get(arguments.dataset)
    reader = dataset.read(
        arguments.data,
        arguments.split,
        on_error="skip",
        scheme=arguments.scheme,
        **dataset.parse_options(arguments.reader),
    )
    found = inspection.inspect(reader, arguments.faces)
    out: Path = arguments.out
    write_whole(out / "problems.txt", found.problems + "\n")
    kept = out / "scheme.json"
    if kept.is_file() and markup.LandmarkScheme.from_json(kept) != found.scheme:
        print(f"{kept} is not what these files say; it is kept as it is. Delete it for a new one.")
    else:
        found.scheme.to_json(kept)
    _save(out / "sheet.jpg", inspection.contact_sheet(found.shown))
    if found.mean is not None:
        _save(out / "points.png", inspection.draw_points(found.mean, found.scheme))
    passed = not found.faults and (found.mirror is None or found.mirror.passed)
    result = {**found.to_json(), "passed": passed, "out": str(out)}
    write_json(out / "inspection.json", result)
    print("\n".join(_lines(found)))
    if found.faults:
        (train,) = next_steps(arguments, result)
        print(
            f"mend what {out / 'problems.txt'} lists, or train without it:\n  {shlex.join(train)}"
        )
    return result


def next_steps(arguments: argparse.Namespace, result: Mapping[str, Any]) -> list[list[str]]:
    """Returns the commands that a user may want now, each as its words."""
    words = ["tfalign", "train", arguments.dataset, "--data", str(arguments.data)]
    if arguments.scheme:
        words += ["--scheme", arguments.scheme]
    if arguments.reader:
        words += ["--reader", *arguments.reader]
    if result["faults"]:
        words.append("--skip-bad")
    return [[*words, "--init-weights", "300w", "--steps", "300", "--out", "runs/mine"]]


def _lines(found: inspection.Inspection) -> list[str]:
    """Returns the inspection in words."""
    scheme, mirror = found.scheme, found.mirror
    low, few, median, many, high = found.sizes
    lines = [
        f"{found.faces} faces on {found.photographs} photographs, scheme {scheme.name} of "
        f"{scheme.num_points} points",
        f"larger side of the points' box: {median:g} px in the median, {few:g} to {many:g} px for "
        f"nine of ten faces, {low:g} to {high:g} px for all",
        "boxes: " + ", ".join(f"{count} from {name}" for name, count in found.box_sources.items()),
    ]
    if found.attributes:
        told = (f"{name} ({count} values)" for name, count in found.attributes.items())
        lines.append(f"attributes, by which faces can be grouped: {', '.join(told)}")
    if found.annotated:
        lines.append(f"points that some faces lack: {len(found.annotated)}, see inspection.json")
    for what, counts in (("left out", found.faults), ("settled", found.notes)):
        if counts:
            told = (f"{kind} {count}" for kind, count in counts.items())
            lines.append(f"{what}: {', '.join(told)}; see problems.txt")
    if mirror is None:
        return [*lines, "mirror pairs: not checked, because no face has all points"]
    if scheme.flip_pairs is None:
        lines.append("mirror pairs: the scheme has none, so that faces are never mirrored")
        if mirror.suggested:
            pairs = ", ".join(f"{a}/{b}" for a, b in mirror.suggested)
            lines.append(f"  the mean shape suggests as flip_pairs: {pairs}")
    elif mirror.error is None:
        lines.append("mirror pairs: none; each point is its own mirror image")
    else:
        lines.append(
            f"mirror pairs: the mean shape differs from its mirror image by "
            f"{100 * mirror.error:.1f} % of its larger side"
        )
    lines += [
        f"  wrong: the mirror image of {point} is said to be {partner}; {better} fits better"
        for point, partner, better in mirror.wrong
    ]
    if mirror.sides is False:
        lines.append(
            "  wrong: points that say right lie on the picture's right; left and right must be the "
            "subject's, or the pictures are mirrored"
        )
    return lines


def _save(path: Path, image: np.ndarray) -> None:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG" if path.suffix == ".png" else "JPEG", quality=92)
    write_whole(path, stream.getvalue())
