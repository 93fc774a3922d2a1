"""Taking the jitter out of a tracked face without letting it lag behind the head."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfalign.inference.one_euro import OneEuroFilter


class ShapeFilter:
    """One-Euro filters of a face's place and of its expression, apart.

    A face's place (position, size and roll) is fitted to all points, so little of a single point's
    jitter is in it and it may follow the head almost at once. What remains, the shape in the face's
    own frame, changes slowly and is filtered more. One filter on the points themselves lags more at
    the same jitter.

    Args:
        place, shape: (cutoff at rest in Hz, rise of the cutoff in Hz per face size per second).
            The default was chosen on four rendered clips of 100 frames
            (``tfalign.data.synthetic.render_clip``, seeds 0, 1, 3 and 4; in clip 2 the face was
            lost for three frames, and it was left out) by jitter, the standard deviation of
            second differences, and NME. A first choice had been too weak on clip 5.
    """

    def __init__(
        self, place: tuple[float, float] = (2.0, 100.0), shape: tuple[float, float] = (2.0, 8.0)
    ) -> None:
        self._place = OneEuroFilter(*place)
        self._shape = OneEuroFilter(*shape)
        self._reference: NDArray[np.complex128] | None = None

    def reset(self) -> None:
        """Forgets the past: the next frame is returned as it is."""
        self._place.reset()
        self._shape.reset()
        self._reference = None

    def __call__(self, landmarks: Any, seconds: float) -> NDArray[np.float64]:
        """Filters one frame's landmarks.

        Args:
            landmarks: (n, 2) in image pixels, finite and not all equal.
            seconds: The frame's time, later than the last one's.

        Returns:
            (n, 2), filtered; the first frame's as they are.

        Raises:
            ValueError: If time does not advance.
        """
        # A point as a complex number: a similarity is then a product and a sum.
        points = np.asarray(landmarks, np.float64) @ np.array([1.0, 1.0j])
        middle = points.mean()
        centred = points - middle
        size = float(np.sqrt((np.abs(centred) ** 2).mean()))
        if self._reference is None:
            self._reference = centred / size
        # Least squares: centred ≈ turn · reference (Procrustes).
        turn = np.vdot(self._reference, centred) / np.vdot(self._reference, self._reference)
        if abs(turn) < 0.1 * size:
            # Nothing like the first shape any more (e.g. turned inside out): begin anew.
            self.reset()
            return self(landmarks, seconds)
        local = centred / turn
        place = np.array([middle.real, middle.imag, turn.real, turn.imag])
        # Speeds in face sizes (square root of the box's area) per second.
        box = np.ptp(np.asarray(landmarks, np.float64), axis=0)
        place = self._place(place, seconds, float(np.sqrt(box.prod())))
        local = self._shape(np.stack([local.real, local.imag]), seconds)
        smooth = complex(*place[:2]) + complex(*place[2:]) * (local[0] + 1j * local[1])
        return np.stack([smooth.real, smooth.imag], axis=-1)
