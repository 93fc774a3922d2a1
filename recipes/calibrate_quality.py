"""Fits the quality score of a model on faces that it was not trained on.

    python recipes/calibrate_quality.py --model runs/preset_300w/refinement.keras --data 300W \\
        --names runs/preset_300w/validation.txt --out runs/preset_300w/quality.json

Every face named in the file is looked at in boxes as detectors give them, in badly wrong boxes, and
beside it in windows of background, all drawn at random. OUT receives the constants of
``tfalign.inference.QualityCalibration``: the entry "quality" of a preset's sidecar
(``publish_weights.py --quality OUT``). ``errors`` are means, so that what is promised is what
happens on average. --check FILE names further faces; a table of what the score promises and what is
so is printed for them.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import geometry, markup
from tfalign.argument_help import ArgumentParser
from tfalign.cli.program import run_recipe
from tfalign.data import sets
from tfalign.data.readers.reader import Reader
from tfalign.files import write_json
from tfalign.inference import Aligner, QualityCalibration
from tfalign.metrics.normalizers import NORMALIZERS

# A face counts as found where its mean error is at most this share of the eyes' distance.
GOOD = 0.08
BINS = 10


def boxes_of(tight: np.ndarray, image: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws three boxes as a detector gives them, two wrong ones and one of background.

    Args:
        tight: (4,) the landmarks' box.
        image: (H, W, 3), where the background lies.
        rng: The source of chance.

    Returns:
        Six boxes (4,); five where the image has no room beside the face.
    """
    centre, side = (tight[:2] + tight[2:]) / 2, (tight[2:] - tight[:2]).max()

    def box(middle: np.ndarray, length: float) -> np.ndarray:
        return np.concatenate([middle - length / 2, middle + length / 2])

    found = [
        # The spread of Viola-Jones boxes about the landmarks' (see ``data.augment.presets.TSR``).
        box(centre + side * rng.normal(0, 0.064, 2), side * rng.normal(0.963, 0.088))
        for _ in range(3)
    ]
    wrong = [
        box(centre + side * rng.uniform(-0.6, 0.6, 2), side * np.exp(rng.uniform(-0.7, 0.7)))
        for _ in range(2)
    ]
    height, width = image.shape[:2]
    for _ in range(20):
        length = side * rng.uniform(0.4, 0.9)
        middle = rng.uniform(length / 2, np.maximum((width, height) - length / 2, length / 2 + 1))
        if (np.abs(middle - centre) > 0.5 * side + 0.35 * length).any():
            return [*found, *wrong, box(middle, length)]
    return [*found, *wrong]


def looks(
    aligner: Aligner, faces: Reader, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the disagreement and the error (a fraction of the eyes' distance) of every box."""
    apart, errors = [], []
    eyes = NORMALIZERS["300w_inter_ocular"]
    for sample in faces:
        tight = np.asarray(geometry.box_from_landmarks(sample.landmarks), np.float64)
        boxes = boxes_of(tight, sample.image, rng)
        stages, disagreement = aligner.shapes([sample.image] * len(boxes), boxes)
        found = markup.convert(stages[:, -1], aligner.scheme, sample.scheme)
        distance = np.linalg.norm(found - sample.landmarks, axis=-1).mean(axis=1)
        apart.append(disagreement)
        errors.append(distance / float(eyes(sample.landmarks[None])[0]))
    return np.concatenate(apart), np.concatenate(errors)


def fit(apart: np.ndarray, errors: np.ndarray) -> QualityCalibration:
    """Fits the constants by maximum likelihood, and the expected error by monotone bins.

    Args:
        apart: (boxes,) disagreements.
        errors: (boxes,) errors.
    """
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    usable = np.isfinite(apart) & (apart > 0)
    apart, errors = apart[usable], np.minimum(errors[usable], 1.0)
    logs = np.log(apart)[:, None]
    line = LogisticRegression(C=1e6).fit(logs, errors <= GOOD)
    steepness = -float(line.coef_[0, 0])
    midpoint = float(np.exp(line.intercept_[0] / steepness))
    order = np.argsort(apart)
    groups = np.array_split(order, BINS)
    knots = np.array([np.median(apart[group]) for group in groups])
    means = np.array([errors[group].mean() for group in groups])
    rising = IsotonicRegression().fit(knots, means).predict(knots)
    return QualityCalibration(
        midpoint, steepness, tuple(knots.round(5).tolist()), tuple(rising.round(4).tolist())
    )


def table(calibration: QualityCalibration, apart: np.ndarray, errors: np.ndarray) -> str:
    """Returns what the score promises beside what is so, by quality."""
    quality, expected = calibration.quality(apart), calibration.expected_nme(apart)
    errors = np.minimum(errors, 1.0)
    edges = [0.0, 0.1, 0.5, 0.9, 0.97, 1.0]
    lines = ["quality        boxes  mean quality  share good  promised error  error"]
    for low, high in itertools.pairwise(edges):
        rows = (quality >= low) & ((quality < high) | (high == 1.0))
        if rows.any():
            lines.append(
                f"{low:.2f} to {high:.2f}  {rows.sum():6d}  {quality[rows].mean():12.3f}  "
                f"{(errors[rows] <= GOOD).mean():10.3f}  {100 * expected[rows].mean():12.2f} %  "
                f"{100 * errors[rows].mean():.2f} %"
            )
    return "\n".join(lines)


def named(data: Path, file: Path) -> Reader:
    """Returns the faces of 300-W whose names stand in a file, one a line.

    Raises:
        ValueError: If a name is not among the training faces.
    """
    dataset = sets.get("300w")
    reader = dataset.read(data, dataset.available(data, "train"), box="landmarks")
    names = set(file.read_text(encoding="utf-8").split())
    unknown = sorted(names - {record.name for record in reader.records})
    if unknown or not names:
        raise ValueError(
            f"{file} must name faces of 300-W's training part in {data}, one a line. Received: "
            f"{unknown[:3] or 'no name'}"
        )
    return reader.subset([record for record in reader.records if record.name in names])


def options() -> argparse.ArgumentParser:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="A .keras file or a preset.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder of 300-W.")
    parser.add_argument(
        "--names", type=Path, required=True, help="Text file with the names of the faces to fit to."
    )
    parser.add_argument(
        "--check", type=Path, help="Text file with the names of further faces, to check it on."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="JSON", help="File to write.")
    parser.add_argument("--seed", type=int, default=0, help="Decides boxes and windows.")
    return parser


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = options().parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    aligner = Aligner(arguments.model, detector=None)
    apart, errors = looks(aligner, named(arguments.data, arguments.names), rng)
    calibration = fit(apart, errors)
    constants = dataclasses.asdict(calibration)
    write_json(arguments.out, constants)
    print(table(calibration, apart, errors))
    if arguments.check is not None:
        print("\nfurther faces")
        print(table(calibration, *looks(aligner, named(arguments.data, arguments.check), rng)))
    return {"quality": constants}


if __name__ == "__main__":
    sys.exit(run_recipe(main))
