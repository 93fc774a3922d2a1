"""Compares face detectors, and fits their rules from boxes to landmarks' tight boxes.

    python recipes/detectors.py --data DATA --out runs/detectors
    python recipes/detectors.py --data DATA --out runs/rules --fit

DATA holds 300w_subset/ in 300-W's layout. The table has the share of faces found (intersection over
union of the box with the landmarks' box above 0.4 on crops, above 0.3 in composed pictures), false
boxes per picture and the time of a picture, for AFW's crops, the last 120 names of Helen's training
part, and pictures composed of training faces at 2 to 40 % of a canvas' longer side. With --fit the
rules are fitted on AFW, LFPW and the first 750 names of Helen instead.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tfalign import geometry
from tfalign.argument_help import HelpFormatter
from tfalign.cli.program import run_recipe
from tfalign.data.readers import w300
from tfalign.data.sample import Sample
from tfalign.files import write_json
from tfalign.inference.detectors import (
    DETECTORS,
    FaceDetector,
    fit_box_rule,
    overlap,
    resolve_detector,
)

HELD_OUT = 120  # names at the end of Helen's training part
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)  # of the canvas' longer side


def options() -> argparse.ArgumentParser:
    """Returns the program's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="The folder with 300w_subset/.")
    parser.add_argument("--out", type=Path, required=True, help="The folder for the results.")
    parser.add_argument(
        "--detectors",
        nargs="+",
        default=[name for name in DETECTORS if name not in ("auto", "dlib")],
        help="Names of detectors, or the path of a YuNet model.",
    )
    parser.add_argument("--every", type=int, default=1, help="Take every N-th face only.")
    parser.add_argument("--canvases", type=int, default=40, help="Number of composed pictures.")
    parser.add_argument("--fit", action="store_true", help="Fit the rules instead.")
    return parser


def main() -> dict[str, Any]:
    """Measures, or fits; returns and writes the figures."""
    arguments = options().parse_args()
    root = arguments.data / "300w_subset"
    helen = w300.read(root, ["helen/trainset"])
    detectors = [(name, resolve_detector(name)) for name in arguments.detectors]
    if arguments.fit:
        training = [*w300.read(root, ["afw", "lfpw/trainset"]), *helen[: len(helen) - HELD_OUT]]
        rules = {name: _fitted(d, training[:: arguments.every]) for name, d in detectors}
        write_json(arguments.out / "rules.json", rules)
        for name, rule in rules.items():
            print(name, rule)
        return {"rules": rules}
    sets = {
        "AFW": [(s.image, [_tight(s)]) for s in w300.read(root, ["afw"])[:: arguments.every]],
        "Helen": [(s.image, [_tight(s)]) for s in helen[-HELD_OUT :: arguments.every]],
        "composed": list(composed(helen[: len(helen) - HELD_OUT], arguments.canvases)),
    }
    table = {
        name: {of: _measured(detector, pictures) for of, pictures in sets.items()}
        for name, detector in detectors
    }
    write_json(arguments.out / "detectors.json", table)
    for name, row in table.items():
        for of, figures in row.items():
            print(f"{name:16} {of:9}", *(f"{key} {value}" for key, value in figures.items()))
    return {"table": table}


def composed(
    samples: Sequence[Sample], count: int, seed: int = 0
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yields pictures of faces on rough canvases of up to 12 megapixels, and the faces' boxes."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        width, height = [(4000, 3000), (3000, 4000), (1920, 1080), (1280, 1280)][number % 4]
        coarse = rng.integers(40, 200, (height // 100, width // 100, 3)).astype(np.uint8)
        canvas = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        boxes: list[np.ndarray] = []
        taken: list[np.ndarray] = []
        for _ in range(40):
            sample = samples[int(rng.integers(len(samples)))]
            tight = _tight(sample)
            # Half of the box's size on each side: the head, and few other people.
            x0, y0, x1, y1 = np.asarray(geometry.pad_box(tight, (0.5,) * 4)).astype(int)
            x0, y0 = max(0, x0), max(0, y0)
            part = sample.image[y0:y1, x0:x1]
            share = SHARES[int(rng.integers(len(SHARES)))]
            factor = share * max(width, height) / (tight[2:] - tight[:2]).max()
            size = np.round(np.array(part.shape[1::-1]) * factor).astype(int)
            if (size > [width, height]).any() or size.min() < 2:
                continue
            x, y = rng.integers(0, np.array([width, height]) - size + 1)
            place = np.array([x, y, x + size[0], y + size[1]])
            if any(
                (np.minimum(place[2:], o[2:]) > np.maximum(place[:2], o[:2])).all() for o in taken
            ):
                continue
            method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
            resized = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=method)
            canvas[y : y + size[1], x : x + size[0]] = resized
            taken.append(place)
            boxes.append((tight - [x0, y0, x0, y0]) * factor + [x, y, x, y])
        yield canvas, boxes


def _tight(sample: Sample) -> np.ndarray:
    return np.asarray(geometry.box_from_landmarks(sample.landmarks), np.float64)


def _measured(detector: Any, pictures: Sequence[tuple[np.ndarray, list[np.ndarray]]]) -> Any:
    """Counts what a detector finds in pictures; one face a picture means a crop."""
    limit = 0.4 if all(len(boxes) == 1 for _, boxes in pictures) else 0.3
    found = false = 0
    begin = time.thread_time()
    for image, boxes in pictures:
        detected = detector(image)
        shares = np.array([overlap(detected, box) for box in boxes])
        found += int((shares.max(axis=1, initial=0.0) > limit).sum()) if len(detected) else 0
        false += int((shares.max(axis=0) <= limit).sum()) if len(detected) else 0
    faces = sum(len(boxes) for _, boxes in pictures)
    spent = time.thread_time() - begin
    return {
        "faces": faces,
        "found": round(found / faces, 4),
        "false": round(false / len(pictures), 3),
        "ms": round(1000 * spent / len(pictures), 1),
    }


def _fitted(detector: Any, samples: Sequence[Sample]) -> Any:
    if not isinstance(detector, FaceDetector):
        raise ValueError(f"A rule belongs to a FaceDetector. Received: {detector!r}")
    pairs = []
    for sample in samples:
        raw, tight = detector.raw(sample.image), _tight(sample)
        shares = overlap(detector.rule(raw), tight) if len(raw) else np.zeros(1)
        if shares.max() > 0.3:
            pairs.append((raw[int(shares.argmax())], tight))
    detected, tight = zip(*pairs, strict=True)
    rule = fit_box_rule(np.array(detected), np.array(tight), "training faces of 300-W")
    return rule.to_dict()


if __name__ == "__main__":
    raise SystemExit(run_recipe(main))
