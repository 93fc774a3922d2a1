"""Shows where models break: how their error grows with yaw, small size, blur and covered parts.

    python recipes/hard_faces.py --model 300w 300w_large --data 300W --out runs/hard_faces

Rendered faces are drawn with a seed of their own; real ones are the last names of helen/trainset,
on which no preset was trained. Each is made harder in one way at a time:

yaw        Rendered heads are turned. Real ones, with the validation faces of train_preset.py, stand
           in the column that is nearest to the yaw that their points tell (`estimated_yaw`).
size       The picture is reduced by area averaging until the longer side of the landmarks' box has
           so many pixels.
blur       The picture is smoothed; the Gaussian's deviation is a share of that side.
occlusion  A rectangle of noise about a random colour covers a share of the landmarks' box.

All models see the same pictures, once, in the landmarks' box; errors are those of 68 points by the
outer eye corners. The untouched faces and the hardest of each kind are looked at a second time,
mirrored, as Aligner does: what its quality score promises stands beside that error.
OUT receives hard_faces.json, hard_faces.csv (fractions) and hard_faces.png.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from hard_views import Face, blurred, covered, estimated_yaw, rendered, smaller
from matplotlib.figure import Figure
from photographs import replace
from preset_faces import photographs

from tfalign import markup
from tfalign.argument_help import ArgumentParser
from tfalign.cli import measuring
from tfalign.cli.program import run_recipe
from tfalign.data import sets
from tfalign.evaluation.plots import LINE_COLORS, LINE_STYLES, png_bytes
from tfalign.evaluation.scores import compute_score
from tfalign.files import versions, write_json, write_whole
from tfalign.inference.predictor import load_predictor

FAILED = 0.08
FEWEST = 10  # real faces that make a column of yaw
LEVELS: dict[str, tuple[float, ...]] = {  # the hardest last
    "untouched": (0,),
    "yaw": (0, 15, 30, 45, 60),
    "size": (96, 64, 48, 32, 24, 16),
    "blur": (0.01, 0.02, 0.04, 0.08),
    "occlusion": (0.1, 0.2, 0.3, 0.4),
}
AXES = {
    "yaw": "yaw in degrees",
    "size": "longer side of the landmarks' box in pixels",
    "blur": "deviation of the blur in % of the box",
    "occlusion": "covered share of the box in %",
}
UNITS = {"yaw": "{:g}°", "size": "{:g} px", "blur": "{:g} %", "occlusion": "{:g} %"}
SECOND = {"yaw": "error_box", "occlusion": "nme_visible"}
"""What a table says beside NME."""
CHANGES: dict[str, Callable[[Face, float, np.random.Generator], Face]] = {
    "untouched": lambda face, level, rng: face,
    "size": smaller,
    "blur": blurred,
    "occlusion": covered,
}


def changed(faces: Sequence[Face], sweep: str, level: float, seed: int) -> list[Face]:
    """Returns the faces made harder; a face's chance is the same at every level."""
    chances = (np.random.default_rng([seed, number]) for number in range(len(faces)))
    return [CHANGES[sweep](face, level, rng) for face, rng in zip(faces, chances, strict=True)]


def real_faces(data: Path, holdout: int) -> tuple[list[Face], dict[float, list[Face]]]:
    """Returns the held-out faces, and these with the validation faces by their yaw."""
    dataset = sets.get("300w")
    reader = dataset.read(data, dataset.available(data, "train"), box="landmarks")
    _, kept = dataset.hold_out(reader, holdout)
    held_out, watched = (
        [Face(sample.image, sample.landmarks) for sample in part]
        for part in (kept, photographs(data, holdout, 150, 20)[1])
    )
    columns: dict[float, list[Face]] = {level: [] for level in LEVELS["yaw"]}
    for face in [*held_out, *watched]:
        yaw = abs(estimated_yaw(face.points))
        columns[min(columns, key=lambda level: abs(level - yaw))].append(face)
    return held_out, {level: of for level, of in columns.items() if len(of) >= FEWEST}


def measure(predictor: Any, faces: Sequence[Face], promise: bool) -> dict[str, Any]:
    """Returns a model's errors on faces, fractions; with ``promise`` also what it says of them."""
    images, boxes = [face.image for face in faces], np.stack([face.box for face in faces])
    truth, hidden = (np.stack([face[place] for face in faces]) for place in (1, 2))

    def scored(stages: np.ndarray) -> Any:
        points = markup.convert(stages[:, -1], predictor.backend.scheme, "ibug68")
        return compute_score(points, truth, "300w_inter_ocular", FAILED)

    one = scored(predictor.once(images, boxes))
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    visible = np.where(hidden, np.nan, one.point_errors)
    row = {
        "count": len(faces),
        "nme": one.nme,
        "nme_standard_error": one.standard_error,
        "failure_rate": one.failure_rate,
        "nme_visible": float(np.nanmean(visible, axis=1).mean()),
        "error_box": float((one.errors * one.normalizers / sides).mean()),
    }
    calibration = predictor.backend.calibration
    if promise and calibration is not None:
        stages, apart = predictor.twice(images, boxes)
        # An error counts as at most 1, as where the promise was fitted.
        row["nme_two_looks"] = float(np.minimum(scored(stages).errors, 1).mean())
        row["promised"] = float(calibration.expected_nme(apart).mean())
    return row


def rows_of(frame: pd.DataFrame, sweep: str) -> pd.DataFrame:
    """Returns a sweep's rows in the order of its levels; shares are in per cent and begin at 0."""
    share = sweep in ("blur", "occlusion")
    part = frame[frame["sweep"].isin([sweep, "untouched"] if share else [sweep])]
    part = part.sort_values("level", kind="stable")
    return part.assign(level=part["level"] * (100 if share else 1))


def markdown(cells: pd.DataFrame, order: pd.MultiIndex) -> list[str]:
    """Returns the lines of a table of texts, its rows by kind of faces and model."""
    lines = [f"| faces | model | {' | '.join(cells)} |", "|---" * (2 + cells.shape[1]) + "|"]
    texts = cells.reindex(order).fillna("–")
    return lines + [f"| {k} | `{m}` | {' | '.join(row)} |" for (k, m), *row in texts.itertuples()]


def tables(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Returns the lines of each sweep's table and of the promises, all in per cent."""
    order = pd.MultiIndex.from_frame(frame[["faces", "model"]].drop_duplicates())
    made = {}
    for sweep in AXES:
        part = rows_of(frame, sweep)
        numbers = part[["nme", *([SECOND[sweep]] if sweep in SECOND else [])]].to_numpy()
        part["cell"] = [
            " / ".join(f"{100 * value:.2f}" for value in values) + f" ({100 * failed:.0f})"
            for values, failed in zip(numbers, part["failure_rate"], strict=True)
        ]
        cells = part.pivot(index=["faces", "model"], columns="level", values="cell")
        made[sweep] = markdown(cells.rename(columns=UNITS[sweep].format), order)
        counts = part.drop_duplicates(["faces", "level"]).groupby("faces", sort=False)["count"]
        told = [f"{kind} {', '.join(map(str, dict.fromkeys(number)))}" for kind, number in counts]
        made[sweep] += ["", f"(Faces in the columns: {'; '.join(told)}.)"]
    if "promised" in frame:
        part = frame.dropna(subset="promised")
        pairs = zip(100 * part["nme_two_looks"], 100 * part["promised"], strict=True)
        part = part.assign(cell=[f"{error:.2f} / {said:.2f}" for error, said in pairs])
        cells = part.pivot(index=["faces", "model"], columns="sweep", values="cell")
        made["promised"] = markdown(cells[list(LEVELS)], order)
    return made


def picture(frame: pd.DataFrame) -> Figure:
    """Draws NME against each difficulty: models by colour, rendered faces solid, real dashed."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    models, kinds = list(frame["model"].unique()), list(frame["faces"].unique())
    panels = figure.subplots(2, 2).flat
    for axis, sweep in zip(panels, AXES, strict=True):
        shown = rows_of(frame, sweep).groupby(["model", "faces"], sort=False)
        for (model, kind), rows in shown:
            axis.plot(
                rows["level"],
                100 * rows["nme"],
                LINE_STYLES[kinds.index(kind)],
                color=LINE_COLORS[models.index(model) % len(LINE_COLORS)],
                marker="o",
                markersize=3,
                label=f"{model}, {kind}",
            )
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set(xlabel=AXES[sweep], ylabel="NME in %", title=sweep)
        axis.set_ylim(bottom=0)
        if sweep == "size":
            axis.set_xscale("log", base=2)
            axis.set_xticks(LEVELS[sweep], [f"{level:g}" for level in LEVELS[sweep]])
    figure.legend(*axis.get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    return figure


def options() -> argparse.ArgumentParser:
    parser = ArgumentParser(description=__doc__)
    add = parser.add_argument
    what = "Models to compare: .keras, .tflite or preset, each with a name for its row."
    add("--model", required=True, nargs="+", metavar="[NAME=]MODEL", help=what)
    add("--data", type=Path, metavar="DIR", help="300-W's folder; without it no face is real.")
    add("--out", type=Path, required=True, metavar="DIR", help="The folder for the results.")
    add("--page", type=Path, metavar="FILE.md", help="The page whose tables are replaced.")
    add("--rendered", type=int, default=150, help="How many faces are rendered.")
    add("--holdout", type=int, default=120, help="How many last names of helen/trainset are real.")
    add("--seed", type=int, default=5417, help="Decides all that is drawn.")
    return parser


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = options().parse_args(argv)
    if arguments.rendered < 2:
        raise ValueError(f"--rendered must be at least 2. Received: {arguments.rendered}")
    cv2.setNumThreads(1)
    models = measuring.named_models(arguments.model)
    identities = {name: measuring.model_identity(model) for name, model in models.items()}
    predictors = {name: load_predictor(model) for name, model in models.items()}
    seed, numbers = arguments.seed, range(arguments.rendered)
    faces = {"rendered": [rendered(seed, number) for number in numbers]}
    turned = {"rendered": {yaw: [rendered(seed, n, yaw) for n in numbers] for yaw in LEVELS["yaw"]}}
    if arguments.data is not None:
        faces["real"], turned["real"] = real_faces(arguments.data, arguments.holdout)
    rows = []
    for kind, sweep in itertools.product(faces, LEVELS):
        if sweep == "yaw":
            harder = turned[kind]
        else:
            harder = {at: changed(faces[kind], sweep, at, seed) for at in LEVELS[sweep]}
        for (level, hard), (name, predictor) in itertools.product(
            harder.items(), predictors.items()
        ):
            row = {"faces": kind, "model": name, "sweep": sweep, "level": level}
            rows.append(row | measure(predictor, hard, promise=level == list(harder)[-1]))
            print(*(f"{row[key]}" for key in row), f"{100 * rows[-1]['nme']:.2f} %", flush=True)
    frame = pd.DataFrame(rows)
    result = {"seed": seed, "threshold": FAILED, "models": identities, "rows": rows}
    write_json(arguments.out / "hard_faces.json", result | {"versions": versions()})
    write_whole(arguments.out / "hard_faces.csv", frame.to_csv(index=False))
    write_whole(arguments.out / "hard_faces.png", png_bytes(picture(frame)))
    for name, lines in tables(frame).items():
        print(f"\n{name}", *lines, sep="\n")
        if arguments.page is not None:
            replace(arguments.page, name, lines)
    return result


if __name__ == "__main__":
    sys.exit(run_recipe(main))
