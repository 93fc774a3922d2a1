"""Smooth l1: quadratic for small errors, linear for large ones."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfalign.losses.landmark_loss import LandmarkLoss


@keras.saving.register_keras_serializable(package="tfalign")
class SmoothL1Loss(LandmarkLoss):
    """Smooth l1 loss of each coordinate, summed over x and y.

    ``e^2 / (2 beta)`` for ``|e| < beta``, else ``|e| - beta / 2``.

    Args:
        beta: Where the two pieces meet, in the unit of ``scale``.
        **kwargs: See `LandmarkLoss`.

    Raises:
        ValueError: If ``beta`` is not positive.

    Reference:
        Girshick, "Fast R-CNN", ICCV 2015, Equation 3 (beta = 1).
    """

    def __init__(self, beta: float = 1.0, name: str = "smooth_l1", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        if beta <= 0.0:
            raise ValueError(f"`beta` must be positive. Received: beta={beta}")
        self.beta = float(beta)

    def point_cost(self, error: Any) -> Any:
        """Returns the loss (…,) of the errors (…, 2), x and y summed."""
        size = ops.abs(error)
        near = ops.square(error) * (0.5 / self.beta)
        return ops.sum(ops.where(size < self.beta, near, size - 0.5 * self.beta), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument as plain data."""
        return {**super().get_config(), "beta": self.beta}
