"""A wing loss whose slope vanishes at zero, for coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfalign.losses.landmark_loss import LandmarkLoss


@keras.saving.register_keras_serializable(package="tfalign")
class AdaptiveWingLoss(LandmarkLoss):
    """Adaptive-wing-style loss of each coordinate, summed over x and y.

    ``omega ln(1 + |e / epsilon|^alpha)`` for ``|e| < theta``, else ``A |e| - C``; A and C make
    value and slope meet at theta. Unlike `WingLoss` the slope is 0 at e = 0, so that points that
    are already right do not jitter.

    Reading: the published loss is for heatmaps and lowers its exponent by the target's value, so
    that background pixels (exponent alpha) and foreground pixels (exponent alpha - 1) differ.
    A coordinate has no such value; ``alpha`` is one constant here.

    Args:
        omega: Height of the logarithmic part, in the unit of ``scale``.
        theta: Where the linear part starts, in the same unit.
        epsilon: Width of the smooth valley, in the same unit.
        alpha: Exponent, above 1.
        scale: Turns [0, 1] into the loss's unit, see `LandmarkLoss`; by default pixels of an image
            of 64×64, as for `WingLoss`.
        **kwargs: See `LandmarkLoss`.

    Raises:
        ValueError: If a value is not positive, or ``alpha`` is not above 1.

    Reference:
        Wang et al., "Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression",
        ICCV 2019, Equation 3.
    """

    def __init__(
        self,
        omega: float = 10.0,
        theta: float = 5.0,
        epsilon: float = 1.0,
        alpha: float = 2.1,
        scale: float | Sequence[float] = 64.0,
        name: str = "adaptive_wing",
        **kwargs: Any,
    ) -> None:
        super().__init__(scale=scale, name=name, **kwargs)
        if min(omega, theta, epsilon) <= 0.0 or alpha <= 1.0:
            raise ValueError(
                "`omega`, `theta` and `epsilon` must be positive and `alpha` above 1. "
                f"Received: omega={omega}, theta={theta}, epsilon={epsilon}, alpha={alpha}"
            )
        self.omega, self.theta = float(omega), float(theta)
        self.epsilon, self.alpha = float(epsilon), float(alpha)

    def point_cost(self, error: Any) -> Any:
        """Returns the loss (…,) of the errors (…, 2), x and y summed."""
        ratio = (self.theta / self.epsilon) ** self.alpha
        slope = self.omega * self.alpha * ratio / (self.theta * (1.0 + ratio))
        offset = slope * self.theta - self.omega * math.log1p(ratio)
        size = ops.abs(error)
        # The power is taken of the clipped size: `where` passes 0 * inf = nan as the gradient of a
        # branch that overflows, even where it is not chosen.
        valley = ops.power(ops.minimum(size, self.theta) / self.epsilon, self.alpha)
        near = self.omega * ops.log1p(valley)
        return ops.sum(ops.where(size < self.theta, near, slope * size - offset), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument as plain data."""
        return {
            **super().get_config(),
            "omega": self.omega,
            "theta": self.theta,
            "epsilon": self.epsilon,
            "alpha": self.alpha,
        }
