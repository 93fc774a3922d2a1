"""Sequential against joint learning of DeepReg on 300-W: Table 1, Figures 2 and 4 of the paper.

    python recipes/deepreg_stages.py --data DIR --out runs/deepreg

DIR and the held-out test faces are those of train_300w.py. Of the training faces, --validation are
split out; they alone lower the learning rate and choose the weights. Four models are trained on
the rest: SequentialReg (closed form), DeepReg (joint learning from there), and the same pair
from the mean shape (SequentialRegLocal, DeepRegLocal). OUT/ receives table.csv (the test faces),
stages.csv (each stage on training, validation and test faces), figure_2.png (bias and variance),
figure_4.png (error per stage) and a folder for each run; a killed run continues when the same
command is given again.

Measured with the defaults on AFW and the training part of a Helen subset (987 faces trained on), in
13 minutes on one core; NME and failures of the 120 held-out faces: SequentialReg 4.507 %, 5.8 %;
DeepReg 3.576 %, 0.8 %; SequentialRegLocal 4.884 %, 8.3 %; DeepRegLocal 3.795 %, 0.8 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign import training
from tfalign.cli.train import read_faces
from tfalign.data.pipeline import CropCache
from tfalign.evaluation import plots, stages
from tfalign.evaluation.plots import png_bytes
from tfalign.models import DeepReg
from tfalign.training.schedules import deepreg as schedules
from tfalign.training.validation import stage_predictor

sys.path.insert(0, str(Path(__file__).resolve().parent))
import comparison

SEQUENTIAL, JOINT = "SequentialReg", "DeepReg"
# Model name to whether it is learned jointly, and whether it has a global layer.
MODELS = {
    SEQUENTIAL: (False, True),
    JOINT: (True, True),
    "SequentialRegLocal": (False, False),
    "DeepRegLocal": (True, False),
}


def options() -> argparse.ArgumentParser:
    parser = comparison.parser(__doc__, batch_size=25, validation=100)
    parser.add_argument(
        "--image-size", type=int, default=128, metavar="PIXELS", help="side of the crops"
    )
    parser.add_argument("--epochs", type=int, default=40, help="of joint learning")
    parser.add_argument("--rate", type=float, default=schedules.RATE, help="of joint learning")
    parser.add_argument(
        "--patience",
        type=int,
        default=1,
        help="epochs without progress on the validation faces before the rate is halved",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=MODELS,
        default=list(MODELS),
        help="learn these and stop; processes may share the work of one OUT, and the command "
        "without this option then finds the runs done and writes the results",
    )
    parser.add_argument("--protocol", default="300w_inter_ocular", help="of the test")
    return parser


def split(cache: CropCache, held_out: int, seed: int) -> tuple[CropCache, CropCache]:
    """Returns the faces to train on and those to validate on, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(cache))
    return cache.take(np.sort(order[held_out:])), cache.take(np.sort(order[:held_out]))


def main(argv: Sequence[str] | None = None) -> list[stages.StageErrors]:
    arguments = options().parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    faces = read_faces("300w", arguments.data, arguments.holdout)
    size = (arguments.image_size, arguments.image_size)
    cache = CropCache.build(faces.train, "300w", size)
    train, validation = split(cache, arguments.validation, arguments.seed)
    test = CropCache.build(faces.test, "300w", size)
    sets = {
        name: training.Validation.from_cache(cache, arguments.protocol)
        for name, cache in (("training", train), ("validation", validation), ("test", test))
    }
    feed = training.CacheFeed(train, arguments.batch_size, "deepreg", arguments.seed)
    results: list[stages.StageErrors] = []

    for name in arguments.only:
        joint, global_layer = MODELS[name]
        schedule = schedules.sequential()
        if joint:
            schedule = schedules.closed_form(
                5, arguments.epochs, arguments.rate, arguments.patience
            )
        keras.utils.set_random_seed(arguments.seed)
        model = DeepReg(input_shape=(*size, 3), global_layer=global_layer)
        training.fit(
            model,
            schedule,
            feed,
            sets["validation"],
            out=arguments.out / name.lower(),
            # Chosen by the validation faces; the test faces have no say.
            keep="best" if joint else "last",
            identity={"seed": arguments.seed},
        )
        model.save(arguments.out / name.lower() / "model.keras")
        predict = stage_predictor(model.stage_model)
        for part, measured in sets.items():
            shapes = measured.predict_all(predict)
            scores = tuple(measured.score(shapes[:, stage]) for stage in range(shapes.shape[1]))
            results.append(stages.StageErrors(name, part, scores))
        errors = ", ".join(f"{100 * value:.3f}" for value in results[-1].bias)
        print(f"{name}: NME in % after each stage on the test faces: {errors}", flush=True)
    if len(arguments.only) == len(MODELS):
        write(arguments.out, results)
    return results


def write(out: Path, results: Sequence[stages.StageErrors]) -> None:
    """Writes the table, the stages' numbers and the two figures."""
    (out / "stages.csv").write_text(stages.stage_csv(results))
    on_test: dict[str, Any] = {r.model: r for r in results if r.faces == "test"}
    lines = ["model,nme_percent,failure_rate_percent,auc"]
    for name, result in on_test.items():
        score = result.scores[-1]
        lines.append(f"{name},{100 * score.nme:.4f},{100 * score.failure_rate:.4f},{score.auc:.6f}")
    (out / "table.csv").write_text("\n".join(lines) + "\n")
    figure = plots.stage_error_plot(results, {SEQUENTIAL: "--", JOINT: "-"})
    (out / "figure_4.png").write_bytes(png_bytes(figure))
    figure = plots.bias_variance_plot([on_test[SEQUENTIAL], on_test[JOINT]])
    (out / "figure_2.png").write_bytes(png_bytes(figure))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
