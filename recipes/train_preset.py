"""Trains the weights of a shipped preset, from photographs to the file that ships.

    python recipes/train_preset.py 300w --data 300W --out runs/preset_300w

The photographs are AFW and the training parts of LFPW and Helen; ``tfalign.data.synthetic`` renders
--rendered faces with 98 points beside them. Every preset sees them drawn and changed at random
alike (`PresetFeed`):

- ``300w`` is GRegLRef with the trunk ``compact``, 68 points, 112 px. The global regression trains
  for --steps batches: three quarters rendered faces at first, from a fifth of the steps on an
  eighth, in the last third one in thirty-three. AdamW, warm-up and cosine, an exponential moving
  average of the weights, mean distance of the points as the loss. Then the refinement alone trains
  for --fine-steps batches, the trunk and its statistics frozen.
- ``300w_large`` is the same model half as wide again at 160 px, with a stronger weight decay, a
  dropout, and a quarter rendered faces to the end.
- ``wflw98_rendered`` is the same for 98 points, from the weights of the shipped ``300w``:
  rendered faces teach all points (half of the faces, in the end a third), photographs those that
  their 68 are or make (masks).
- ``300w_phone`` is the global regression of the shipped ``300w`` behind a small network that only
  finds the face (``Ensemble`` with a share of 0), in 64 px, on boxes that are nearly always wrong
  and faces that are turned. The former is tuned for --tune-steps batches in boxes that are wrong
  for seven views in eight, as often on the photographs of --unlabelled as on the others
  (``300w_server`` labels them), and the mean of its weights before and after is taken.
- ``300w_tsr``, ``300w_ccnn``, ``300w_rdssd`` and ``300w_deepreg`` train the other papers' models at
  phone size by the schedule ``cpu`` of their architecture, for --steps batches in all.

The last --holdout names of helen/trainset are never looked at. Of the other photographs
--validation faces are split out (whole photographs with all their copies); history.csv has their
error after every epoch. OUT/weights.npz are the weights in half precision, OUT/result.json says
how they were made, OUT/validation.txt names those faces. A killed run continues when the same
command is given again. ``calibrate_quality.py`` fits the quality score on those faces,
``publish_weights.py`` makes a preset of both.

The defaults of the 300w presets mean a GPU, on TensorFlow or with KERAS_BACKEND=jax, and --workers
processes that draw the views: there each took 8 to 18 minutes with 1 to 7 of them (H200, JAX,
several beside each other). Those of ``300w_phone`` and ``wflw98_rendered`` mean a CPU: 50
minutes of training on one core beside other jobs, and 20 minutes of processor time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from preset_faces import PresetData, further_crops, load, with_further
from preset_views import LAST_SHARE, PresetFeed, rendered_share

from tfalign import training
from tfalign.argument_help import ArgumentParser
from tfalign.cli.program import run_recipe
from tfalign.files import write_json
from tfalign.models import ARCHITECTURES, Ensemble, GRegLRef, GRegNet, save_weights, transfer
from tfalign.training.phase import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule
from tfalign.training.schedules import Budget, schedules_of

TUNING_RATE = 1e-3
FINE_RATE = 1e-3  # of the refinement: at 0.003 all of its filters died within 1,000 steps


def schedule(
    name: str,
    steps: int,
    rate: float,
    factors: dict[str, float],
    weight_decay: float = 0.03,
    dropout: float = 0.0,
) -> Schedule:
    """Returns one phase: AdamW, warm-up and cosine, averaged weights, mean distance as the loss.

    ``dropout`` is that of the global regression's feature; the refinement trains without.
    """
    fine = name == "refinement"
    phase = Phase(
        name=name,
        losses={
            "stages": LossTerm(
                "l2",
                arguments={
                    "squared": False,
                    "point_reduction": "mean",
                    "stage_weights": [0.0, 1.0, 1.0] if fine else None,
                },
            )
        },
        learning_rate=LearningRateSpec(rate, kind="cosine", warmup=0.025, final=1e-6),
        optimizer=OptimizerSpec(
            kind="adamw",
            weight_decay=weight_decay,
            decay_exclude=("bias", "gamma", "beta"),
            clip_norm=1.0,
            rate_factors=factors,
            ema=0.998,
        ),
        steps=steps,
        train=("refinement",) if fine else ("all",),
        # With the paper's dropout in its own phase the refinement gained less on validation faces.
        switches={"dropout": 0.0 if fine else dropout},
    )
    return Schedule(f"preset_{name}", (phase,), "ours")


def start_new_points(model: Any, known: np.ndarray, shapes: np.ndarray) -> None:
    """Lets S0's new points begin where the points that were taken over say that they lie.

    Args:
        model: A ``GRegNet``, whose dense layer ``fc`` has the rows of the known points.
        known: (n,) which points those are.
        shapes: (N, n, 2) whole shapes in [0, 1]², of which each new point is learned as a linear
            combination of the known ones.
    """
    from sklearn.linear_model import Ridge

    centred = (shapes - 0.5).transpose(0, 2, 1).reshape(-1, len(known))
    ridge = Ridge(alpha=1e-2, fit_intercept=False).fit(centred[:, known], centred[:, ~known])
    mix = np.atleast_2d(ridge.coef_)
    kernel, bias = model.get_layer("fc").get_weights()
    columns = kernel.reshape(len(kernel), -1, 2)
    columns[:, ~known] = np.einsum("ij,fjc->fic", mix, columns[:, known])
    places = bias.reshape(-1, 2) - 0.5
    places[~known] = mix @ places[known]
    model.get_layer("fc").set_weights([columns.reshape(kernel.shape), (places + 0.5).reshape(-1)])


def train_greglref(arguments: argparse.Namespace, preset: Preset, data: PresetData) -> Any:
    """Trains the global regression, then the refinement alone.

    Returns:
        The model, the validation error after each of these, and the steps that were taken.
    """
    out, points = arguments.out, data.rendered.points.shape[1]
    common: dict[str, Any] = {
        "num_landmarks": points,
        "input_shape": (preset.size, preset.size, 3),
        "crop": "300w",
        "scheme": preset.scheme,
        **preset.arguments,
    }
    model: Any = GRegNet(**common)
    model.set_mean_shape(data.photographs.mean_shape if points == 68 else data.rendered.mean_shape)
    if preset.start is not None:
        print(transfer(model, preset.start).table())
        known = data.photographs.annotated.any(axis=0)
        start_new_points(model, known, data.rendered.points / data.rendered.images.shape[1])
    measured: dict[str, float] = {}
    steps = 0

    def fit(name: str, plan: Schedule, feed: PresetFeed) -> None:
        result = training.fit(
            model,
            plan,
            feed,
            data.validation,
            out=out / name,
            identity={"seed": arguments.seed, "start": preset.start},
        )
        model.save(out / f"{name}.keras")
        measured[name] = result.rows[-1]["val_nme"]
        nonlocal steps
        steps += len(result.rows) * feed.steps_per_epoch

    flip, strength = model.scheme.flip_map, (preset.weight_decay, preset.dropout)
    peak = arguments.rate or preset.rate
    fit(
        "global",
        schedule("global", arguments.steps, peak, {"fc/": 0.1}, *strength),
        preset.feed(arguments, data, arguments.steps, flip, easy_share=0.25),
    )
    if arguments.fine_steps:
        trained, model = model, GRegLRef(**common)
        if preset.start is not None:
            transfer(model, preset.start)
        transfer(model, trained)
        fit(
            "refinement",
            schedule(
                "refinement",
                arguments.fine_steps,
                FINE_RATE,
                {"local_": 1.0, "increment_": 0.1},
                *strength,
            ),
            preset.feed(
                arguments,
                data,
                arguments.fine_steps,
                flip,
                lambda _: preset.rendered_share(1.0),
                easy_share=0.5,
            ),
        )
    return model, measured, steps


def tune(model: Any, arguments: argparse.Namespace, preset: Preset) -> tuple[float, int]:
    """Trains a shipped network on in wrong boxes, also on --unlabelled, and goes half of the way.

    What it gains in wrong boxes it loses in right ones. The mean of the weights from before and
    after keeps most of both.

    Returns:
        The validation error at the end of the way, in right boxes, and the steps that were taken.
    """
    data = load(arguments, preset.size, preset.scheme, preset.protocol)
    if not arguments.unlabelled:
        print("Without --unlabelled: tuned on the photographs of 300-W alone.")
    further = further_crops(arguments, preset.size)
    data = data._replace(photographs=with_further(data.photographs, further))
    before = model.get_weights()
    feed = preset.feed(
        arguments,
        data,
        arguments.tune_steps,
        model.scheme.flip_map,
        lambda _: 0.04,
        easy_share=0.12,
    )
    result = training.fit(
        model,
        schedule("global", arguments.tune_steps, TUNING_RATE, {"fc/": 0.3}),
        feed,
        data.validation,
        out=arguments.out / "tuned",
        identity={"seed": arguments.seed, "start": preset.start},
    )
    model.save(arguments.out / "tuned.keras")
    pairs = zip(before, model.get_weights(), strict=True)
    model.set_weights([(old + new) / 2 for old, new in pairs])
    return float(result.rows[-1]["val_nme"]), len(result.rows) * feed.steps_per_epoch


def train_locator(arguments: argparse.Namespace, preset: Preset, data: PresetData) -> Any:
    """Tunes a shipped network and trains a small one that finds the face for it.

    Returns:
        Both as one model, their validation errors, and the steps that were taken.
    """
    common: dict[str, Any] = {"num_landmarks": 68, "crop": "300w", "scheme": preset.scheme}
    exact: Any = GRegNet(**common, trunk=preset.arguments["trunk"], name="exact")  # of 112 px
    transfer(exact, preset.start)
    measured, steps = {}, 0
    if arguments.tune_steps:
        at_its_size = replace(preset, size=exact.image_size[0])
        measured["tuned"], steps = tune(exact, arguments, at_its_size)
    shape = (preset.size, preset.size, 3)
    locator: Any = GRegNet(**common, input_shape=shape, **preset.arguments, name="locator")
    locator.set_mean_shape(data.photographs.mean_shape)
    feed = preset.feed(arguments, data, arguments.steps, locator.scheme.flip_map)
    result = training.fit(
        locator,
        schedule("global", arguments.steps, arguments.rate or preset.rate, {"fc/": 0.1}),
        feed,
        data.validation,
        out=arguments.out / "locator",
        identity={"seed": arguments.seed},
    )
    measured["locator"] = result.rows[-1]["val_nme"]
    locator.box = exact.box = "landmarks"
    model = Ensemble(
        [locator, exact], shares=(0.0, 1.0), upright=False, image_size=exact.image_size
    )
    return model, measured, steps + len(result.rows) * feed.steps_per_epoch


def train_paper(arguments: argparse.Namespace, preset: Preset, data: PresetData) -> Any:
    """Trains another paper's model by its architecture's schedule for a CPU."""
    architecture = ARCHITECTURES[preset.architecture]
    model: Any = architecture.make(
        num_landmarks=68,
        input_shape=(preset.size, preset.size, 3),
        crop="300w",
        scheme=preset.scheme,
        **preset.arguments,
    )
    model.set_mean_shape(data.photographs.mean_shape)
    feed = preset.feed(arguments, data, arguments.steps, model.scheme.flip_map)
    budget = Budget(feed.steps, feed.steps_per_epoch, arguments.rate)
    result = training.fit(
        model,
        schedules_of(architecture)["cpu"](model, budget),
        feed,
        data.validation,
        out=arguments.out / "training",
        identity={"seed": arguments.seed},
    )
    measured = {row["phase"]: row["val_nme"] for row in result.rows}
    return model, measured, len(result.rows) * feed.steps_per_epoch


@dataclass(frozen=True)
class Preset:
    """How one preset is trained.

    Attributes:
        train: Trains it.
        architecture: Its name in `tfalign.models.ARCHITECTURES`.
        arguments: Of the model, beside those that all have.
        size: Side of its input in pixels.
        steps, tune_steps, fine_steps: Batches, where the command does not say.
        batch_size: Faces in one.
        scheme, protocol: Its landmarks, and how they are measured.
        rate: Highest learning rate.
        weight_decay, dropout: See `schedule`.
        start: Weights that it starts from.
        rendered_share, easy_share, changed_share, epoch: See `PresetFeed`.
    """

    train: Callable[[argparse.Namespace, Preset, PresetData], Any]
    architecture: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    size: int = 112
    steps: int = 12_000
    tune_steps: int = 0
    fine_steps: int = 0
    batch_size: int = 32
    scheme: str = "ibug68"
    protocol: str = "300w_inter_ocular"
    rate: float = 2e-3
    weight_decay: float = 0.03
    dropout: float = 0.0
    start: str | None = None
    rendered_share: Callable[[float], float] = rendered_share
    easy_share: float = 0.3
    changed_share: float = 1.0
    epoch: int = 250

    def feed(
        self,
        arguments: argparse.Namespace,
        data: PresetData,
        steps: int,
        flip: Sequence[int],
        rendered: Callable[[float], float] | None = None,
        easy_share: float | None = None,
    ) -> PresetFeed:
        """Returns the batches of a training of ``steps`` steps; None takes the preset's share."""
        return PresetFeed(
            data.photographs,
            data.rendered,
            self.size,
            steps,
            flip,
            self.rendered_share if rendered is None else rendered,
            self.easy_share if easy_share is None else easy_share,
            arguments.batch_size,
            arguments.seed,
            self.changed_share,
            self.epoch,
            arguments.workers,
        )


COMPACT = {"trunk": "compact"}
PRESETS = {
    "300w": Preset(
        train_greglref, "greglref", COMPACT, fine_steps=2000, batch_size=256, rate=3e-3, epoch=500
    ),
    # Trained as "300w" is, it is 0.05 points worse on the validation faces.
    "300w_large": Preset(
        train_greglref,
        "greglref",
        {**COMPACT, "width": 1.5},
        size=160,
        steps=8000,
        fine_steps=1000,
        batch_size=256,
        rate=3e-3,
        weight_decay=0.15,
        dropout=0.2,
        rendered_share=lambda p: float(np.interp(p, [0, 0.12, 0.2, 1], [0.75, 0.75, 0.3, 0.25])),
        epoch=500,
    ),
    "wflw98_rendered": Preset(
        train_greglref,
        "greglref",
        COMPACT,
        steps=1500,
        fine_steps=1500,
        scheme="wflw98",
        protocol="wflw_inter_ocular",
        rate=1e-3,
        start="300w",
        rendered_share=lambda progress: 0.5 if progress < 0.5 else 0.35,
    ),
    "300w_phone": Preset(
        train_locator,
        "greglref",
        {**COMPACT, "width": 0.5},
        size=64,
        steps=8000,
        tune_steps=6000,
        batch_size=64,
        rate=3e-3,
        start="300w",
        easy_share=0.1,
    ),
    "300w_tsr": Preset(
        train_paper, "two_stage", {"width": 0.18}, steps=8000, batch_size=256, epoch=500
    ),
    "300w_ccnn": Preset(
        train_paper, "ccnn", {"width": 0.25}, size=128, steps=8000, batch_size=256, epoch=500
    ),
    # Their starts look at the first batches: these must be like the last ones.
    "300w_rdssd": Preset(
        train_paper,
        "rdssd_star",
        {"width": 0.4},
        size=100,
        steps=8000,
        batch_size=128,
        rendered_share=lambda _: 0.1,
        easy_share=0.4,
    ),
    "300w_deepreg": Preset(
        train_paper,
        "deepreg",
        size=128,
        steps=20_000,
        batch_size=100,
        rendered_share=lambda _: LAST_SHARE,
        # Linear regressions of what lies under the points: views far from the mean teach nothing.
        easy_share=1.0,
        changed_share=0.2,
        epoch=100,
    ),
}


def data_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `load` and of what is drawn."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder of 300-W.")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="A new folder, or that of a killed run.",
    )
    parser.add_argument(
        "--unlabelled",
        nargs="+",
        action="append",
        default=[],
        metavar="SET=DIR",
        help="Further faces, whose own points only say where they are: 300w_server labels them. "
        "Reader options follow, as in --also of tfalign train. The option may be given several "
        "times.",
    )
    parser.add_argument(
        "--rendered", type=int, default=6000, metavar="FACES", help="How many faces to draw."
    )
    parser.add_argument(
        "--holdout",
        type=int,
        default=120,
        metavar="FACES",
        help="Last names of helen/trainset to keep apart.",
    )
    parser.add_argument(
        "--validation",
        type=int,
        default=150,
        metavar="FACES",
        help="Training faces to split out and watch.",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        help="Processes that make the batches beside a GPU (default: %(default)s, none).",
    )
    parser.add_argument("--seed", type=int, default=20, help="Decides all that is drawn.")


def options() -> argparse.ArgumentParser:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("preset", choices=sorted(PRESETS), help="Which preset's weights to train.")
    data_options(parser)
    parser.add_argument(
        "--steps",
        type=int,
        help="Batches, without those of GRegLRef's refinement (default: the preset's).",
    )
    parser.add_argument(
        "--tune-steps",
        type=int,
        help="Batches that 300w_phone's exact network is tuned for (default: the preset's).",
    )
    parser.add_argument(
        "--fine-steps", type=int, help="Batches of GRegLRef's refinement (default: the preset's)."
    )
    parser.add_argument("--batch-size", type=int, help="Faces in a step (default: the preset's).")
    parser.add_argument(
        "--rate",
        type=float,
        help="Highest learning rate, of GRegLRef's global regression (default: the preset's).",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = options().parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    preset = PRESETS[arguments.preset]
    arguments.steps = preset.steps if arguments.steps is None else arguments.steps
    for name in ("tune_steps", "fine_steps"):
        if getattr(arguments, name) is None:
            setattr(arguments, name, getattr(preset, name))
    if preset.train is not train_locator and (arguments.tune_steps or arguments.unlabelled):
        raise ValueError(
            f"--tune-steps and --unlabelled are for presets that are tuned, such as 300w_phone. "
            f"Received: {arguments.preset}"
        )
    if preset.train is not train_greglref and arguments.fine_steps:
        raise ValueError(
            f"--fine-steps is for presets with a refinement, such as 300w. Received: "
            f"{arguments.preset}"
        )
    if arguments.batch_size is None:
        arguments.batch_size = preset.batch_size
    keras.utils.set_random_seed(arguments.seed)
    data = load(arguments, preset.size, preset.scheme, preset.protocol)
    model, measured, steps = preset.train(arguments, preset, data)
    model.save(arguments.out / "model.keras")
    save_weights(model, arguments.out / "weights.npz")
    result = {
        "preset": arguments.preset,
        **data.result,
        # Phases are rounded up to whole epochs, and some stop early: what ran is counted.
        "presentations": arguments.batch_size * steps,
        "seed": arguments.seed,
        "validation_nme": measured,
    }
    write_json(arguments.out / "result.json", result)
    print(json.dumps(result, indent=2))
    return result


if __name__ == "__main__":
    sys.exit(run_recipe(main))
