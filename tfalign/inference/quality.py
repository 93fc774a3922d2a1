"""How much to trust a face: from the disagreement of two looks at it to an expected error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfalign import geometry
from tfalign.models import shipped_presets

Floats = NDArray[np.float64]


def disagreement(first: Any, second: Any) -> Floats:
    """Returns how far two estimates of the same shapes lie apart: 0 means they are equal.

    Args:
        first, second: (faces, n, 2) in image pixels.

    Returns:
        (faces,) mean distance of corresponding points, in square roots of the area of the first
        shape's tight box; infinite where a shape is not finite or has no area.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    sides = np.asarray(geometry.box_size(geometry.box_from_landmarks(first)), np.float64)
    size = np.sqrt(sides.prod(axis=-1))
    apart = np.linalg.norm(first - second, axis=-1).mean(axis=-1)
    usable = np.isfinite(apart) & np.isfinite(size) & (size > 0)
    return np.divide(apart, size, out=np.full(len(apart), np.inf), where=usable)


@dataclass(frozen=True)
class QualityCalibration:
    """Turns disagreement into a quality and an expected error.

    A face is looked at twice, the second time mirrored and turned (``Predictor.twice``). A model
    that sees a face gives the same points both times; on anything else its answer follows the crop
    and not the picture. ``quality = 1 / (1 + (d / midpoint) ** steepness)`` estimates the
    probability that the mean error is at most 8 % of the distance of the outer eye corners.
    ``errors`` is the median of that error at the disagreements ``knots``, linear in between.

    The constants of a shipped preset stand in its sidecar; ``recipes/calibrate_quality.py`` fits
    them on faces that it was not trained on, in boxes as detectors give them, in wrong ones, and on
    windows of background. What they promise and what is so stands in ``docs/results/presets.md``.
    For another model the order of faces by quality stays useful; the numbers are the preset's.

    Attributes:
        midpoint: The disagreement at which quality is a half.
        steepness: How fast it falls there.
        knots: Disagreements, ascending.
        errors: Expected error at each, a fraction of the distance of the outer eye corners.
    """

    midpoint: float
    steepness: float
    knots: tuple[float, ...]
    errors: tuple[float, ...]

    @classmethod
    def of_preset(cls, name: str = "300w") -> QualityCalibration:
        """Returns a shipped preset's calibration, also for models that bring none.

        Raises:
            ValueError: If there is no such preset, or it has none.
        """
        sidecar = shipped_presets().get(name, {})
        if "quality" not in sidecar:
            raise ValueError(f"No preset of that name has a calibration. Received: {name!r}")
        return cls.from_config(sidecar["quality"])

    def get_config(self) -> dict[str, Any]:
        """Returns the constants as plain data: the entry ``quality`` of a preset's sidecar."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> QualityCalibration:
        """Returns the calibration of a sidecar's entry.

        Raises:
            ValueError: If a constant is missing or unknown, or knots and errors differ in number.
        """
        if set(config) != {field.name for field in fields(cls)} or len(config["knots"]) != len(
            config["errors"]
        ):
            raise ValueError(
                "A calibration has midpoint, steepness, and as many knots as errors. Received: "
                f"{dict(config)}"
            )
        values = {
            k: tuple(v) if isinstance(v, (list, tuple)) else float(v) for k, v in config.items()
        }
        return cls(**values)

    def quality(self, disagreement: Any) -> Floats:
        """Returns qualities in [0, 1] of disagreements of any shape."""
        ratio = np.asarray(disagreement, np.float64) / self.midpoint
        # Beyond a ratio of 1e6 quality is 0 to the last digit, and the power would overflow.
        return np.asarray(1.0 / (1.0 + np.minimum(ratio, 1e6) ** self.steepness), np.float64)

    def expected_nme(self, disagreement: Any) -> Floats:
        """Returns expected errors (fractions) of disagreements of any shape."""
        return np.asarray(np.interp(disagreement, self.knots, self.errors), np.float64)
