"""A cascade from within: each stage's error, and how much disorder a re-initialization leaves."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tfalign import geometry
from tfalign.evaluation.scores import Score


@dataclass(frozen=True)
class StageErrors:
    """Errors of every stage of one model on one set of faces.

    Attributes:
        model: Name of the model.
        faces: Name of the set, e.g. ``"test"``.
        scores: One score per stage.
    """

    model: str
    faces: str
    scores: tuple[Score, ...]

    @property
    def bias(self) -> list[float]:
        """Mean over faces of the normalised error (the NME) of each stage, a fraction."""
        return [float(score.nme) for score in self.scores]

    @property
    def deviation(self) -> list[float]:
        """Standard deviation over faces of the normalised error of each stage, a fraction."""
        return [float(np.std(score.errors)) for score in self.scores]


def stage_csv(results: Sequence[StageErrors]) -> str:
    """Returns one line per model, set and stage: bias, variance and failure rate, fractions."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["model", "faces", "stage", "count", "bias", "variance", "failure_rate"])
    for result in results:
        values = zip(result.bias, result.deviation, result.scores, strict=True)
        for stage, (bias, deviation, score) in enumerate(values):
            numbers = (f"{x:.8g}" for x in (bias, deviation**2, score.failure_rate))
            writer.writerow([result.model, result.faces, stage, len(score), *numbers])
    return stream.getvalue()


@dataclass(frozen=True)
class Spread:
    """Spread of faces about a canonical state.

    Each face's state is the least-squares similarity from the canonical shape to its landmarks.

    Attributes:
        rotation: Standard deviation of the angle, degrees.
        scale: Standard deviation of the natural logarithm of the scale.
        centre: Root mean square distance of the landmarks' centre from its mean, as a fraction of
            the frame's side.
    """

    rotation: float
    scale: float
    centre: float

    def to_dict(self) -> dict[str, float]:
        """Returns the fields as plain data."""
        return asdict(self)


def spread(landmarks: Any, canonical_shape: Any) -> Spread:
    """Measures how differently faces lie in their frames.

    Args:
        landmarks: (faces, n, 2), [0, 1]² of the frame: the crop, or the warped image.
        canonical_shape: (n, 2), any scale.

    Raises:
        ValueError: If there are fewer than two faces, or the shapes disagree.
    """
    shapes = np.asarray(landmarks, np.float64)
    canonical = np.asarray(canonical_shape, np.float64)
    if shapes.ndim != 3 or len(shapes) < 2 or shapes.shape[1:] != canonical.shape:
        raise ValueError(
            "`landmarks` must be (faces, n, 2) with at least two faces and `canonical_shape` "
            f"(n, 2). Received: {shapes.shape} and {canonical.shape}"
        )
    maps = np.asarray(geometry.similarity_from_points(canonical[None], shapes))
    cos, sin = maps[:, 0, 0], maps[:, 1, 0]
    centres = shapes.mean(axis=1)
    return Spread(
        rotation=float(np.rad2deg(np.arctan2(sin, cos)).std()),
        scale=float(np.log(np.hypot(cos, sin)).std()),
        centre=float(np.sqrt(np.mean(np.sum((centres - centres.mean(axis=0)) ** 2, axis=1)))),
    )
