"""Ways to spoil a face box, as in TSR's Table 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tfalign import geometry
from tfalign.evaluation import published_robustness as paper
from tfalign.evaluation.protocols import Floats

Kind = Literal["none", "scale", "translation", "rotation"]


@dataclass(frozen=True)
class Perturbation:
    """One way to spoil a box.

    Attributes:
        kind: ``"scale"``: width and height × (1 + amount) about the centre. ``"translation"``: the
            centre moves by amount × (width, height), in a random direction. ``"rotation"``: the
            face turns against the crop by ± amount degrees, the sign random. ``"none"``.
        amount: A fraction; degrees for ``"rotation"``. Negative scales make the box smaller.

    Reading: TSR's Table 2 says neither direction nor sign; directions are drawn once per face from
    the seed and are the same for every model and amount, so that rows and columns compare.

    Raises:
        ValueError: If the kind is unknown or a scale leaves nothing of the box.
    """

    kind: Kind
    amount: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"`kind` must be one of {get_args(Kind)}. Received: {self.kind!r}")
        if not np.isfinite(self.amount) or (self.kind == "scale" and self.amount <= -1):
            raise ValueError(
                "`amount` must be finite, and above -1 for a scale. Received: "
                f"kind={self.kind!r}, amount={self.amount}"
            )

    def apply(self, boxes: Any, directions: Floats) -> tuple[NDArray[np.float32], Floats]:
        """Returns the spoiled boxes (faces, 4) and the crops' angles (faces,) in radians.

        Args:
            boxes: (faces, 4) in image pixels.
            directions: (faces,) angles in [0, 2π): the way a translation goes; in its first half
                a rotation is positive.
        """
        boxes = np.asarray(boxes, np.float32)
        angles = np.zeros(len(boxes))
        if self.kind == "scale":
            boxes = geometry.perturb_box(boxes, scale=1.0 + self.amount)
        elif self.kind == "translation":
            unit = np.stack([np.cos(directions), np.sin(directions)], axis=-1)
            boxes = geometry.perturb_box(boxes, shift=self.amount * unit)
        elif self.kind == "rotation":
            sign = np.where(directions < np.pi, 1.0, -1.0)
            angles = np.deg2rad(self.amount) * sign
        return np.asarray(boxes, np.float32), angles


def tsr_table_2() -> tuple[Perturbation, ...]:
    """Returns the unperturbed case and the 15 perturbations of TSR's Table 2."""
    return (
        Perturbation("none"),
        *(Perturbation("scale", amount) for amount in paper.SCALES),
        *(Perturbation("translation", amount) for amount in paper.TRANSLATIONS),
        *(Perturbation("rotation", amount) for amount in paper.ROTATIONS),
    )
