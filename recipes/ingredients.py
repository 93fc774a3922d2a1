"""What each ingredient of the training recipe of ``300w`` gives: short trainings with and without.

    python recipes/ingredients.py --data 300W --unlabelled pts=SCUT --out runs/ingredients

The global regression of ``300w`` is trained from random weights for --steps batches of 32 as
``train_preset.py`` does, once with everything and once for each row without one thing, or with
another one in its place; all see the same faces in the same order as far as the row lets them. The
validation faces of ``train_preset.py`` are measured in right boxes and in wrong ones: 20 % too
small, 20 % too large, and a tenth of their side beside. The held-out faces are not looked at.

OUT/ingredients.json, OUT/table.csv and the printed table have the errors in per cent of the
distance of the outer eye corners, and the differences to the first row, paired over the faces, with
their standard errors. A killed run continues; rows that are done are not trained again. A short
training may gain other things from an ingredient than a long one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import pandas as pd
from preset_faces import PresetData, further_crops, load, with_further
from preset_views import FaceCrops
from train_preset import PRESETS, data_options, schedule

from tfalign import geometry, training
from tfalign.argument_help import ArgumentParser
from tfalign.cli.program import run_recipe
from tfalign.data.readers.reader import Reader
from tfalign.evaluation.tables import format_table
from tfalign.files import read_json, write_json, write_whole
from tfalign.inference.predictor import load_predictor
from tfalign.models import GRegNet
from tfalign.paper.measures import paired
from tfalign.training.phase import LearningRateSpec, LossTerm

BASE = replace(PRESETS["300w"], batch_size=32, rate=2e-3, epoch=250)


@dataclass(frozen=True)
class Row:
    """What one training has otherwise.

    Attributes:
        preset: Fields of `train_preset.Preset`.
        phase: Fields of ``tfalign.training.phase.Phase``.
        average: Whether the moving average of the weights is kept, not the last ones.
        taught: Whether the faces of --unlabelled are drawn as often as the photographs.
    """

    preset: Mapping[str, Any] = field(default_factory=dict)
    phase: Mapping[str, Any] = field(default_factory=dict)
    average: bool = True
    taught: bool = False


def _loss(name: str, **arguments: Any) -> dict[str, Any]:
    return {"losses": {"stages": LossTerm(name, arguments=arguments)}}


ROWS = {
    "everything": Row(),
    "last weights, not their moving average": Row(average=False),
    "constant rate, no warm-up": Row(phase={"learning_rate": LearningRateSpec(BASE.rate)}),
    "squared distance as the loss": Row(phase=_loss("l2", point_reduction="mean")),
    "wing loss": Row(phase=_loss("wing", point_reduction="mean", scale=112.0)),
    "photographs only, none rendered": Row({"rendered_share": lambda _: 0.0}),
    "nearly right boxes, upright faces": Row({"easy_share": 1.0}),
    "colours unchanged, nothing covered": Row({"changed_share": 0.0}),
    "further faces, labelled by 300w_server": Row(taught=True),
}


def train(
    arguments: argparse.Namespace, data: PresetData, further: Sequence[FaceCrops], name: str
) -> keras.Model:
    """Trains a row, or loads it where it is done."""
    row = ROWS[name]
    out = arguments.out / name.replace(" ", "_").replace(",", "")
    if (out / "model.keras").is_file():
        return keras.saving.load_model(out / "model.keras", compile=False)
    preset = replace(BASE, **row.preset)
    if row.taught:
        data = data._replace(photographs=with_further(data.photographs, further))
    keras.utils.set_random_seed(arguments.seed)
    model: Any = GRegNet(
        num_landmarks=68,
        input_shape=(preset.size, preset.size, 3),
        crop="300w",
        scheme=preset.scheme,
        **preset.arguments,
    )
    model.set_mean_shape(data.photographs.mean_shape)
    model.box = "landmarks"
    feed = preset.feed(arguments, data, arguments.steps, model.scheme.flip_map)
    plan = schedule("global", feed.steps, preset.rate, {"fc/": 0.1}, preset.weight_decay)
    phase = replace(plan.phases[0], **row.phase)
    if not row.average:
        phase = replace(phase, optimizer=replace(phase.optimizer, ema=None))
    training.fit(
        model,
        replace(plan, phases=(phase,)),
        feed,
        data.validation,
        out=out,
        identity={"seed": arguments.seed, "row": name},
    )
    model.save(out / "model.keras")
    return model


def boxes_of(points: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns the tight boxes (N, 4) of shapes (N, n, 2), and wrong ones."""
    right = np.asarray(geometry.box_from_landmarks(points), np.float64)
    centre, size = (right[:, :2] + right[:, 2:]) / 2, right[:, 2:] - right[:, :2]

    def around(middle: np.ndarray, factor: float) -> np.ndarray:
        return np.concatenate([middle - factor * size / 2, middle + factor * size / 2], axis=1)

    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(points))
    away = 0.1 * size.max(axis=1)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return {
        "right boxes": right,
        "20 % too small": around(centre, 0.8),
        "20 % too large": around(centre, 1.2),
        "beside by 10 %": around(centre + away, 1.0),
    }


def errors(model: keras.Model, faces: Reader) -> dict[str, np.ndarray]:
    """Returns each face's NME in per cent, in every kind of box."""
    samples = list(faces)
    truth = np.stack([sample.landmarks for sample in samples]).astype(np.float64)
    distance = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
    predictor = load_predictor(model)
    found = {}
    for name, boxes in boxes_of(truth).items():
        points = predictor([sample.image for sample in samples], boxes)
        apart = np.linalg.norm(points - truth, axis=2).mean(axis=1)
        found[name] = 100 * apart / distance
    return found


def table(found: Mapping[str, Mapping[str, Sequence[float]]]) -> pd.DataFrame:
    """Returns a line for each row: errors in right and wrong boxes, differences to the first."""
    lines = {}
    first = next(iter(found.values()))
    wrong = [name for name in first if name != "right boxes"]

    def of(row: Mapping[str, Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
        right = np.asarray(row["right boxes"], np.float64)
        return right, np.mean([row[name] for name in wrong], axis=0)

    base = of(first)
    for name, row in found.items():
        line: dict[str, Any] = {}
        for kind, mine, theirs in zip(("right", "wrong"), of(row), base, strict=True):
            line[f"{kind} boxes"] = f"{mine.mean():.3f} %"
            difference = paired([mine - theirs])
            line[f"difference, {kind}"] = (
                "–"
                if row is first
                else f"{difference['difference']:+.3f} ± {difference['standard_error']:.3f}"
            )
        lines[name] = line
    return pd.DataFrame.from_dict(lines, orient="index")


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = ArgumentParser(description=__doc__)
    data_options(parser)
    parser.add_argument(
        "--steps", type=int, default=2000, help="Batches of each training (default: %(default)s)."
    )
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), metavar="ROW", help="Which rows (default: all)."
    )
    arguments = parser.parse_args(argv)
    arguments.batch_size = BASE.batch_size
    arguments.out.mkdir(parents=True, exist_ok=True)
    chosen = [name for name in ROWS if not arguments.rows or name in arguments.rows]
    taught = [name for name in chosen if ROWS[name].taught]
    if taught and not arguments.unlabelled:
        print(f"Left out, for want of --unlabelled: {', '.join(taught)}")
        chosen = [name for name in chosen if name not in taught]
        taught = []
    data = load(arguments, BASE.size, BASE.scheme, BASE.protocol)
    settings = {"steps": arguments.steps, "seed": arguments.seed, **data.result}
    if taught:
        settings["unlabelled"] = arguments.unlabelled
    path = arguments.out / "ingredients.json"
    known = read_json(path) if path.is_file() else {"errors": {}}
    other = {key: known[key] for key in settings if known.get(key, settings[key]) != settings[key]}
    if other:
        raise ValueError(
            f"--out must be a new folder, or have rows of the same steps, seed and faces; {path} "
            f"has {other}. Received: { ({key: settings[key] for key in other}) }"
        )
    known |= settings
    found: dict[str, Any] = known["errors"]
    write_json(path, known)
    further: list[FaceCrops] = []
    if set(taught) - set(found):
        further = further_crops(arguments, BASE.size)
    for name in chosen:
        if name not in found:
            found[name] = errors(train(arguments, data, further, name), data.watched)
            write_json(path, known)
    found = {name: found[name] for name in ROWS if name in found}
    lines = table(found)
    write_whole(arguments.out / "table.csv", lines.to_csv(index_label="row"))
    print(format_table(lines), path, sep="\n")
    return {"rows": lines.to_dict("index")}


if __name__ == "__main__":
    sys.exit(run_recipe(main))
