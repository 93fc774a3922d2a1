"""How far an exported file's landmarks are from the Keras model's, and how far they may be."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tfalign.geometry import pixel_from_unit


@dataclass(frozen=True)
class Limit:
    """What a kind may lose, in pixels of an input of 112 pixels.

    Attributes:
        mean_px: Mean distance to the Keras model.
        p95_px: Distance that 95 % of the points keep.
    """

    mean_px: float
    p95_px: float

    def scaled(self, image_size: tuple[int, int]) -> Limit:
        """The limit for an input of this size: larger inputs have smaller pixels."""
        factor = max(1.0, min(image_size) / 112)
        return Limit(self.mean_px * factor, self.p95_px * factor)


LIMITS = {"float32": Limit(0.01, 0.03), "float16": Limit(0.05, 0.15)}
"""Kinds whose arithmetic is float."""
OUTSIDE, SHARE_OUTSIDE = 0.1, 0.2
"""How far beyond the crop a coordinate counts as outside it, and the share of them that is told: a
crop that cuts a face's rim away has a tenth of them there."""
STILL_PX = 0.05
"""Standard deviation over faces, in pixels of an input of 112, below which points do not move: a
trained model's is some pixels, and a 255th of that where pixels are scaled twice."""
QUANTIZED = Limit(0.5, 1.0)
"""Of every other kind: far above what the shipped int8 files lose on rendered faces (mean 0.10 to
0.17 px, 95 % 0.21 to 0.41 px, as their ``metadata.json`` says)."""


@dataclass(frozen=True)
class Parity:
    """Distances between the landmarks of the file and of the Keras model.

    Attributes:
        mean_px: Mean distance in pixels of the model's input.
        p95_px: The 95th percentile, in pixels of the model's input.
        max_px: Largest distance in pixels of the model's input.
        images: Number of pictures compared.
        nme: Normalised mean error of the file as a fraction, where the truth was given.
        keras_nme: The same of the Keras model.
        protocol: The protocol of both errors, None without truth.
    """

    mean_px: float
    p95_px: float
    max_px: float
    images: int
    nme: float | None = None
    keras_nme: float | None = None
    protocol: str | None = None

    @property
    def nme_drop(self) -> float | None:
        """How much larger the file's error is than the Keras model's, as a fraction."""
        if self.nme is None or self.keras_nme is None:
            return None
        return self.nme - self.keras_nme

    def within(self, limit: Limit) -> bool:
        """Whether the loss is allowed; a distance that is no number is not."""
        return self.mean_px <= limit.mean_px and self.p95_px <= limit.p95_px

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {**asdict(self), "nme_drop": self.nme_drop}

    def __str__(self) -> str:
        text = (
            f"mean {self.mean_px:.4f} px, 95 % {self.p95_px:.4f} px, max {self.max_px:.4f} px on "
            f"{self.images} pictures"
        )
        if self.nme is not None and self.keras_nme is not None:
            text += f"; NME {100 * self.nme:.3f} % (Keras {100 * self.keras_nme:.3f} %)"
        return text


def limit_of(kind: str, image_size: tuple[int, int]) -> Limit:
    """Returns what an export of this kind may lose on rendered faces.

    Args:
        kind: The export's kind.
        image_size: (height, width) of the input in pixels.
    """
    return LIMITS.get(kind, QUANTIZED).scaled(image_size)


def compare(
    found: np.ndarray,
    expected: np.ndarray,
    image_size: tuple[int, int],
    truth: np.ndarray | None = None,
    protocol: str | None = None,
) -> Parity:
    """Compares the landmarks that two models gave for the same pictures.

    Args:
        found: (N, n, 2) in [0, 1]², the exported file's.
        expected: (N, n, 2) in [0, 1]², the Keras model's.
        image_size: (height, width) of the pictures in pixels.
        truth: Annotated landmarks (N, n, 2) in [0, 1]², or None.
        protocol: A protocol of ``tfalign.evaluation`` by which both errors are measured.

    Raises:
        ValueError: If there are no pictures, or truth comes without a protocol.
    """
    if not len(found):
        raise ValueError("Parity needs at least one picture. Received: landmarks of length 0")
    if truth is not None and protocol is None:
        raise ValueError(
            "An error needs its protocol, e.g. '300w_inter_ocular'. Received: protocol=None"
        )
    found, expected = (pixel_from_unit(points, image_size) for points in (found, expected))
    distance = np.linalg.norm(found - expected, axis=-1)
    errors: dict[str, Any] = {}
    if truth is not None and protocol is not None:
        from tfalign.evaluation import score

        pixels = pixel_from_unit(np.asarray(truth), image_size)
        errors = {
            "nme": float(score(found, pixels, protocol=protocol).nme),
            "keras_nme": float(score(expected, pixels, protocol=protocol).nme),
            "protocol": protocol,
        }
    mean, p95, largest = distance.mean(), np.percentile(distance, 95), distance.max()
    return Parity(float(mean), float(p95), float(largest), len(distance), **errors)


def keras_landmarks(model: Any, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Returns the Keras model's landmarks (N, n, 2) in [0, 1]² for (N, H, W, 3) pictures."""
    batches = [
        np.asarray(model(images[at : at + batch_size].astype(np.float32), training=False))
        for at in range(0, len(images), batch_size)
    ]
    return np.concatenate(batches).astype(np.float32)


def strange_landmarks(points: np.ndarray, image_size: tuple[int, int]) -> list[str]:
    """Says in words why landmarks cannot be those of the faces; an empty list where they may be.

    A file equals its Keras model also where both speak of other units, or see next to nothing of
    the picture because its pixels are scaled twice.

    Args:
        points: (N, n, 2), the Keras model's for N > 1 crops of different faces, which should be in
            [0, 1]² of the crop.
        image_size: (height, width) of the crops in pixels.
    """
    found = []
    if (outside := _share_outside(points)) > SHARE_OUTSIDE:
        low, high = float(points.min()), float(points.max())
        found.append(
            f"{outside:.0%} of the coordinates that the Keras model gives for rendered faces lie "
            f"outside the crop (from {low:.3g} to {high:.3g}); (0, 0) must be its left upper "
            "corner and (1, 1) its right lower one: where the model counts in pixels or in "
            "[-1, 1], let its last layer be a Rescaling to [0, 1]"
        )
    moved = float(pixel_from_unit(points, image_size).std(axis=0).mean())
    if moved < STILL_PX * min(image_size) / 112:
        found.append(
            f"the Keras model gives nearly the same points for all rendered faces (they differ by "
            f"{moved:.2g} px): where it scales its pixels itself, `pixels` must be (0, 255)"
        )
    return found


def check_unit(name: str, points: Any) -> None:
    """Checks that annotated landmarks (N, n, 2) are in [0, 1]² of their crops, as far as they tell.

    Raises:
        ValueError: If too many of them lie outside, as pixels do.
    """
    points = np.asarray(points, np.float64)
    if _share_outside(points) > SHARE_OUTSIDE:
        raise ValueError(
            f"{name} must be in [0, 1]² of the pictures; pixels are divided by their width and "
            f"height. Received: coordinates from {points.min():g} to {points.max():g}"
        )


def _share_outside(points: np.ndarray) -> float:
    """Returns the share of coordinates beyond the crop; what is no number is neither in nor out."""
    return float(((points < -OUTSIDE) | (points > 1 + OUTSIDE)).mean())
