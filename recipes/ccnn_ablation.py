"""CCNN with K = 0, 1, 2 … units on 300-W: the ablation of the paper's section 4.3 and Figure 11.

    python recipes/ccnn_ablation.py --data DIR --synthetic FACES --out runs/ccnn

DIR and the held-out test faces are those of train_300w.py. FACES is a directory in WFLW's layout,
as train_wflw.py without --data renders it. One model for each number of units is trained on them
first and on the photographs from there, all with the same schedules, seed and numbers of steps.
K = 0 is the base network alone, whose result is the maxima of its heatmaps H0. --filters paper
takes the paper's wide filters instead of the depthwise-separable ones.

Every stage of every model is measured, on the synthetic test faces or on the held-out photographs:
P0, then the maxima P_k and the refined P_k + dP_k of unit k. OUT receives table.csv (NLE by both
normalisers, AUC and failures at 8 %), figure_11.png (CED of the last stage by K), ced_K.png (CED of
each stage of model K) and a folder for each run; a killed run continues when the same command is
given again. What each further unit changes is printed with the standard error of the faces'
differences. Nothing is chosen by the test faces.

Measured with --image-size 112 --synthetic-steps 500 --steps 850 on AFW and the training part of
Helen, 35 minutes on one core of a busy machine. NLE (inter-ocular) of the 120 held-out faces:
K = 0: 5.53 % (21.6 MMACC), K = 1: 4.81 % (42.9), K = 2: 4.75 % (51.1; inter-pupil 6.61 %, AUC
41.1 %, failures 5.0 %). Stages of K = 2: P0 6.12, P1 5.90, P1 + dP1 4.94, P2 5.61, P2 + dP2 4.75 %.
Of 300 rendered faces, before the photographs: K = 0 13.35, K = 1 10.67, K = 2 9.97 %. With
--filters paper --units 2: 3.95 % (321.5 MMACC), of rendered faces 8.60 %, in 35 minutes.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras

from tfalign import macc, training
from tfalign.cli.train import read_faces
from tfalign.data import readers
from tfalign.data.pipeline import CropCache
from tfalign.evaluation.plots import ced_plot, png_bytes
from tfalign.evaluation.scores import Score, compute_score
from tfalign.models import architecture
from tfalign.training.schedules import Budget
from tfalign.training.schedules import ccnn as schedules
from tfalign.training.validation import stage_predictor

sys.path.insert(0, str(Path(__file__).resolve().parent))
import comparison

OCULAR, PUPIL = "300w_inter_ocular", "300w_inter_pupil"
THRESHOLD = 0.08
SYNTHETIC, PHOTOGRAPHS = "synthetic", "photographs"
CROP = "300w"


@dataclass(frozen=True)
class Row:
    """One stage of one model on one set of faces."""

    faces: str
    units: int
    stage: str
    macc: int
    ocular: Score
    pupil: Score

    def values(self) -> list[Any]:
        score = self.ocular
        percent = (score.nme, self.pupil.nme, score.auc, score.failure_rate)
        return [
            self.faces,
            len(score),
            self.units,
            self.stage,
            self.macc,
            *(f"{100 * value:.4f}" for value in percent),
        ]


HEADER = "faces count units stage macc nle_ocular_percent nle_pupil_percent auc_008_percent"
HEADER += " failure_008_percent"


def options() -> argparse.ArgumentParser:
    parser = comparison.parser(__doc__, batch_size=32)
    parser.add_argument(
        "--synthetic", type=Path, metavar="FACES", help="train on these first; WFLW's layout"
    )
    parser.add_argument(
        "--synthetic-faces",
        type=int,
        nargs=2,
        default=(2000, 300),
        metavar=("TRAIN", "TEST"),
        help="how many of them",
    )
    parser.add_argument(
        "--units", type=int, nargs="+", default=[0, 1, 2], metavar="K", help="numbers of units"
    )
    parser.add_argument(
        "--only",
        type=int,
        nargs="+",
        metavar="K",
        help="learn these and stop; processes may share the work of one OUT, and the command "
        "without this option then finds the runs done and writes the results",
    )
    parser.add_argument(
        "--image-size", type=int, default=128, metavar="PIXELS", help="side of the crops"
    )
    parser.add_argument("--width", type=float, default=0.1875, help="1 is the paper's")
    parser.add_argument(
        "--trunk", choices=("mobile", "paper"), default="mobile", help="base networks"
    )
    parser.add_argument(
        "--filters", choices=("separable", "paper"), help="of the units (default: the trunk's)"
    )
    parser.add_argument("--synthetic-steps", type=int, default=1000, help="on the rendered faces")
    parser.add_argument("--steps", type=int, default=1400, help="on the photographs")
    parser.add_argument("--rate", type=float, default=schedules.RATE, help="peak learning rate")
    parser.add_argument("--augment", default="light", help="preset of tfalign.data.augment")
    return parser


def caches(arguments: argparse.Namespace) -> dict[str, tuple[CropCache, CropCache]]:
    """Returns the faces to train on and those to measure on, in the order of the trainings."""
    size = (arguments.image_size, arguments.image_size)
    made = {}
    if arguments.synthetic is not None:
        made[SYNTHETIC] = tuple(
            CropCache.build(
                readers.wflw.read(arguments.synthetic, part)[:count], CROP, size
            ).convert("ibug68")
            for part, count in zip(("train", "test"), arguments.synthetic_faces, strict=True)
        )
    faces = read_faces("300w", arguments.data, arguments.holdout)
    train = CropCache.build(faces.train, CROP, size)
    made[PHOTOGRAPHS] = (train, CropCache.build(faces.test, CROP, size))
    return made


def stage_names(units: int) -> list[str]:
    """Names of the stages of a model, in their order."""
    return ["P0", *(name for k in range(1, units + 1) for name in (f"P{k}", f"P{k} + dP{k}"))]


def measure(model: Any, test: CropCache, faces: str) -> list[Row]:
    """Scores every stage of a model by both normalisers."""
    held_out = training.Validation.from_cache(test, OCULAR)
    shapes = held_out.predict_all(stage_predictor(model.stage_model))
    cost = macc.count(model).macc
    rows = []
    for index, name in enumerate(stage_names(model.units)):
        pixels = held_out.in_pixels(shapes[:, index])
        ocular, pupil = (
            compute_score(pixels, held_out.landmarks, protocol, THRESHOLD)
            for protocol in (OCULAR, PUPIL)
        )
        rows.append(Row(faces, model.units, name, cost, ocular, pupil))
    return rows


def make(arguments: argparse.Namespace, units: int) -> Any:
    """Makes a model of K units, from the run's seed."""
    keras.utils.set_random_seed(arguments.seed)
    side = arguments.image_size
    chosen = {} if arguments.filters is None else {"filters": arguments.filters}
    return architecture("ccnn").make(
        width=arguments.width,
        trunk=arguments.trunk,
        num_landmarks=68,
        input_shape=(side, side, 3),
        units=units,
        crop=CROP,
        **chosen,
    )


def train(
    arguments: argparse.Namespace,
    model: Any,
    steps: int,
    faces: str,
    data: tuple[CropCache, CropCache],
    start: str | None = None,
) -> list[Row]:
    """Trains one model on one set of faces and measures it on the held-out ones."""
    out = arguments.out / f"{faces}_{model.units}"
    training.fit(
        model,
        schedules.cpu_budget_for(model, Budget(steps, 1, arguments.rate)),
        training.CacheFeed(data[0], arguments.batch_size, arguments.augment, arguments.seed),
        training.Validation.from_cache(data[1], OCULAR),
        out=out,
        keep="last",
        identity={"seed": arguments.seed, "start": start},
    )
    model.save(out / "model.keras")
    rows = measure(model, data[1], faces)
    errors = (f"{row.stage} {100 * row.ocular.nme:.3f}" for row in rows)
    print(f"K = {model.units}, {faces}: NLE in % of {', '.join(errors)}", flush=True)
    return rows


def main(argv: Sequence[str] | None = None) -> list[Row]:
    arguments = options().parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = caches(arguments)
    rows: list[Row] = []
    start = None
    for units in arguments.only or arguments.units:
        model = make(arguments, units)
        if SYNTHETIC in data:
            rows += train(arguments, model, arguments.synthetic_steps, SYNTHETIC, data[SYNTHETIC])
            start = f"{len(data[SYNTHETIC][0])} synthetic faces, {arguments.synthetic_steps} steps"
            trained, model = model, make(arguments, units)
            model.set_weights(trained.get_weights())
        rows += train(arguments, model, arguments.steps, PHOTOGRAPHS, data[PHOTOGRAPHS], start)
    rows.sort(key=lambda row: row.faces != SYNTHETIC)
    if arguments.only is None:
        write(arguments.out, rows)
    return rows


def write(out: Path, rows: Sequence[Row]) -> None:
    """Writes the table and the curves."""
    with open(out / "table.csv", "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerows([HEADER.split(), *(row.values() for row in rows)])
    last: dict[str, Score] = {}
    for units in sorted({row.units for row in rows}):
        stages = [r for r in rows if r.units == units and r.faces == PHOTOGRAPHS]
        figure = ced_plot({row.stage: row.ocular for row in stages}, THRESHOLD)
        (out / f"ced_{units}.png").write_bytes(png_bytes(figure))
        last[f"K = {units}"] = stages[-1].ocular
    (out / "figure_11.png").write_bytes(png_bytes(ced_plot(last, THRESHOLD)))
    print((out / "table.csv").read_text(), end="")
    for (less, before), (more, after) in pairwise(last.items()):
        change = after.errors - before.errors
        error = change.std(ddof=1) / len(change) ** 0.5
        print(f"{more} against {less}: {100 * change.mean():+.3f} ± {100 * error:.3f} points")


if __name__ == "__main__":
    main()
