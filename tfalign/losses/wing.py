"""Wing loss: logarithmic for small errors, linear for large ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfalign.losses.landmark_loss import LandmarkLoss


@keras.saving.register_keras_serializable(package="tfalign")
class WingLoss(LandmarkLoss):
    """Wing loss of each coordinate, summed over x and y.

    ``wing(e) = w ln(1 + |e| / epsilon)`` for ``|e| < w``, else ``|e| - C`` with
    ``C = w - w ln(1 + w / epsilon)``, which makes the two pieces meet.

    Args:
        w: Width of the logarithmic part, in the unit of ``scale``.
        epsilon: Curvature of the logarithmic part, in the same unit.
        scale: Turns [0, 1] into the loss's unit, see `LandmarkLoss`. The published w = 10 and
            epsilon = 2 are pixels of an image of 64×64, and so is the default.
        **kwargs: See `LandmarkLoss`.

    Raises:
        ValueError: If ``w`` or ``epsilon`` is not positive.

    Reference:
        Feng et al., "Wing Loss for Robust Facial Landmark Localisation with Convolutional Neural
        Networks", CVPR 2018, Equation 5.
    """

    def __init__(
        self,
        w: float = 10.0,
        epsilon: float = 2.0,
        scale: float | Sequence[float] = 64.0,
        name: str = "wing",
        **kwargs: Any,
    ) -> None:
        super().__init__(scale=scale, name=name, **kwargs)
        if w <= 0.0 or epsilon <= 0.0:
            raise ValueError(
                f"`w` and `epsilon` must be positive. Received: w={w}, epsilon={epsilon}"
            )
        self.w, self.epsilon = float(w), float(epsilon)

    def point_cost(self, error: Any) -> Any:
        """Returns the wing loss (…,) of the errors (…, 2), x and y summed."""
        # Not `abs`, whose slope at 0 is 1 on JAX: a point that is right would be pushed away.
        size = ops.stop_gradient(ops.sign(error)) * error
        near = self.w * ops.log1p(size / self.epsilon)
        far = size - (self.w - self.w * math.log1p(self.w / self.epsilon))
        return ops.sum(ops.where(size < self.w, near, far), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument as plain data."""
        return {**super().get_config(), "w": self.w, "epsilon": self.epsilon}
