"""dlib's face detector, where dlib is installed: the second detector of TSR's Table 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfalign import geometry


class DlibDetector:
    """dlib's detector of frontal faces: a support vector machine on HOG features.

    dlib is no dependency of this package. Its rectangles lie near the landmarks' tight box already;
    ``PADDING`` turns them into an estimate of it. It is the median over 204 faces that dlib 20.0
    found among 218 of AFW and the first 750 of Helen's training part (every fifth), made
    symmetrical left and right.

    Args:
        enlargements: How many times the picture is doubled first; 1 finds faces of 40 pixels.

    Reference:
        King, "Dlib-ml: A Machine Learning Toolkit", JMLR 2009; Lv et al., CVPR 2017, Table 1.

    Raises:
        ValueError: If ``enlargements`` is negative.
        ImportError: If dlib is not installed.
    """

    PADDING = (-0.012, -0.100, -0.012, 0.061)

    def __init__(self, enlargements: int = 1) -> None:
        if enlargements < 0:
            raise ValueError(
                f"`enlargements` must not be negative. Received: enlargements={enlargements}"
            )
        try:
            import dlib
        except ImportError as error:
            raise ImportError("The detector 'dlib' needs the package dlib.") from error
        self.enlargements = enlargements
        self._detector: Any = dlib.get_frontal_face_detector()

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns (faces, 4) boxes in image pixels for an RGB image (H, W, 3)."""
        found = self._detector(np.ascontiguousarray(image), self.enlargements)
        # A rectangle's right and bottom name its last pixels.
        boxes = np.array(
            [[r.left(), r.top(), r.right() + 1, r.bottom() + 1] for r in found], np.float32
        ).reshape(-1, 4)
        return np.asarray(geometry.pad_box(boxes, self.PADDING), np.float32)
