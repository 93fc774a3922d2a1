"""The One-Euro filter: little jitter at rest, little lag in motion."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class OneEuroFilter:
    """A low-pass filter whose cutoff rises with the speed of the signal, for arrays.

    Args:
        min_cutoff: Cutoff at rest in Hz; lower means less jitter.
        beta: How much the cutoff rises, in Hz per unit of speed (units of ``scale`` per second);
            higher means less lag.
        speed_cutoff: Cutoff in Hz of the filter of the speed itself.

    Raises:
        ValueError: If a cutoff is not positive or ``beta`` is negative.

    Reference:
        G. Casiez, N. Roussel, D. Vogel, "1€ Filter: A Simple Speed-based Low-pass Filter for Noisy
        Input in Interactive Systems", CHI 2012, Algorithm 1.
    """

    def __init__(
        self, min_cutoff: float = 1.0, beta: float = 1.0, speed_cutoff: float = 1.0
    ) -> None:
        if min_cutoff <= 0 or speed_cutoff <= 0 or beta < 0:
            raise ValueError(
                "`min_cutoff` and `speed_cutoff` must be positive and `beta` not negative. "
                f"Received: min_cutoff={min_cutoff}, beta={beta}, speed_cutoff={speed_cutoff}"
            )
        self.min_cutoff, self.beta, self.speed_cutoff = min_cutoff, beta, speed_cutoff
        self.reset()

    def reset(self) -> None:
        """Forgets the past: the next value is returned as it is."""
        self._seconds: float | None = None
        self._value: Floats = np.zeros(0)
        self._speed: Floats = np.zeros(0)

    def __call__(self, value: Any, seconds: float, scale: float = 1.0) -> Floats:
        """Filters one value.

        Args:
            value: Array of any shape, the same at every call.
            seconds: Its time, later than the last one's.
            scale: What a speed of 1 means, in units of ``value`` per second. For landmarks the
                face's size, so that the filter treats near and far faces alike.

        Returns:
            The filtered value, of the same shape.

        Raises:
            ValueError: If time does not advance.
        """
        value = np.array(value, np.float64)
        if self._seconds is None:
            self._seconds, self._value, self._speed = seconds, value, np.zeros_like(value)
            return value.copy()
        step = seconds - self._seconds
        if step <= 0:
            raise ValueError(
                f"`seconds` must be later than {self._seconds}. Received: seconds={seconds}"
            )
        speed = (value - self._value) / (step * scale)
        self._speed += _share(self.speed_cutoff, step) * (speed - self._speed)
        cutoff = self.min_cutoff + self.beta * np.abs(self._speed)
        self._value = self._value + _share(cutoff, step) * (value - self._value)
        self._seconds = seconds
        return self._value.copy()


def _share(cutoff: Any, step: float) -> Any:
    """Returns the weight of a new value in exponential smoothing with a cutoff in Hz."""
    return 1.0 / (1.0 + 1.0 / (2.0 * math.pi * cutoff * step))
