"""One aligned face."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import geometry, markup
from tfalign.files import write_whole


@dataclass(frozen=True, eq=False)
class Face:
    """A face and its landmarks; coordinates in image pixels as in ``tfalign.geometry``.

    Attributes:
        landmarks: (n, 2) float64, in the image as ``read_image`` returns it (turned upright).
        box: (4,) float64 (x0, y0, x1, y1) where the search began: the detector's box, the one that
            was given, or in a video the last frame's ``landmark_box``.
        stages: (stages, n, 2) shape after every stage of the model; the last one is what the model
            said, which in a video the filter has not smoothed. One stage where only the result is
            known (``.tflite``).
        quality: Estimated probability in [0, 1] that the mean error is at most 8 % of the distance
            of the outer eye corners, see ``QualityCalibration``. Near 0 on what is no face.
        expected_nme: The error to expect, a fraction of that distance; also calibrated.
        scheme: What the points are called, or None where the model does not say.
        image: Number of the image in the input, or of the frame, from 0.
        source: The image's path as given, or None.
        track: In a video, the person's number, the same in every frame until it is lost.
        seconds: In a video, the frame's time.
    """

    landmarks: np.ndarray
    box: np.ndarray
    stages: np.ndarray
    quality: float
    expected_nme: float
    scheme: markup.LandmarkScheme | None = None
    image: int = 0
    source: str | None = None
    track: int | None = None
    seconds: float | None = None

    @property
    def landmark_box(self) -> np.ndarray:
        """The tight box (4,) of the landmarks."""
        return np.asarray(geometry.box_from_landmarks(self.landmarks), np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Returns the face as plain data for JSON; ``null`` where a number is not finite."""
        return {
            "image": self.image,
            "source": self.source,
            "track": self.track,
            "seconds": self.seconds,
            "quality": _plain(self.quality),
            "expected_nme": _plain(self.expected_nme),
            "scheme": None if self.scheme is None else self.scheme.name,
            "box": _plain(self.box),
            "landmarks": _plain(self.landmarks),
            "stages": _plain(self.stages),
        }

    def to_pts(self) -> str:
        """Returns the landmarks as a 300-W ``.pts`` file: the first pixel's centre is (1, 1)."""
        lines = [f"{x:.3f} {y:.3f}" for x, y in self.landmarks + 0.5]
        return "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""])

    def write_pts(self, path: str | os.PathLike[str]) -> Path:
        """Writes ``to_pts`` to a file, whole or not at all."""
        path = Path(path)
        write_whole(path, self.to_pts().encode())
        return path


def _plain(values: Any) -> Any:
    """Rounds to a ten-thousandth (of a pixel, or of quality) and replaces what JSON lacks."""
    if isinstance(values, np.ndarray):
        return [_plain(value) for value in values]
    return round(float(values), 4) if math.isfinite(values) else None
