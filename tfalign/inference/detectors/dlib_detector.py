"""dlib's face detector, where dlib is installed: the second detector of TSR's Table 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfalign.inference.detectors.boxes import BoxRule
from tfalign.inference.detectors.search import FaceDetector
from tfalign.inference.per_thread import PerThread


class DlibDetector(FaceDetector):
    """dlib's detector of frontal faces: a support vector machine on HOG features.

    dlib is no dependency of this package. Its rectangles lie near the landmarks' tight box already.

    Args:
        enlargements: How many times the picture is doubled first; 1 finds faces of 40 pixels.

    Reference:
        King, "Dlib-ml: A Machine Learning Toolkit", JMLR 2009; Lv et al., CVPR 2017, Table 1.

    Raises:
        ValueError: If ``enlargements`` is negative.
        ImportError: If dlib is not installed.
    """

    name = "dlib"
    rule = BoxRule(
        padding=(-0.012, -0.100, -0.012, 0.061),
        faces=204,
        center_spread=None,
        size_spread=None,
        fitted_on="every fifth of AFW and the first 750 names of Helen's training part (300-W)",
    )

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
        self._detectors: PerThread[Any] = PerThread(dlib.get_frontal_face_detector)

    def raw(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = self._detectors.get()(np.ascontiguousarray(image), self.enlargements)
        # A rectangle's right and bottom name its last pixels.
        return np.array(
            [[r.left(), r.top(), r.right() + 1, r.bottom() + 1] for r in found], np.float32
        ).reshape(-1, 4)
