"""Where the faces are: detectors, and what any other must look like.

``FaceDetector`` finds faces and turns its own boxes into estimates of the landmarks' tight boxes by
the ``BoxRule`` that was fitted for it; ``search`` goes through large pictures; ``boxes`` tells
faces apart.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tfalign.extras import how_to_install
from tfalign.inference.detectors import blazeface
from tfalign.inference.detectors.blazeface import BlazeFaceDetector
from tfalign.inference.detectors.boxes import (
    BoxRule,
    check_detections,
    distinct,
    fit_box_rule,
    overlap,
    same_face,
)
from tfalign.inference.detectors.dlib_detector import DlibDetector
from tfalign.inference.detectors.opencv import HaarDetector, YuNetDetector
from tfalign.inference.detectors.search import FaceDetector

Detector = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""RGB image (H, W, 3) → (faces, 4) boxes in image pixels, each an estimate of the landmarks' tight
box."""

DETECTORS = ("auto", "blazeface", "blazeface-short", "blazeface-full", "haar", "dlib")
"""Names that ``resolve_detector`` takes, besides the path of a YuNet model."""


def box_rules() -> dict[str, BoxRule]:
    """Returns the rules from detectors' boxes to the 68 landmarks' tight boxes that were fitted."""
    found = {f"blazeface-{name}": variant.rule for name, variant in blazeface.VARIANTS.items()}
    return {**found, **{kind.name: kind.rule for kind in (HaarDetector, DlibDetector)}}


class FixedBoxes:
    """The same boxes in every image.

    Args:
        boxes: (faces, 4) in image pixels.
    """

    def __init__(self, boxes: Any) -> None:
        self.boxes = check_detections(boxes)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.boxes.copy()


def resolve_detector(
    detector: Any, smallest: float | None = None, threads: int = 1
) -> Detector | None:
    """Returns a detector from its name, a callable, boxes or None.

    Args:
        detector: ``"auto"``: BlazeFace where its files are installed (the extra ``detector``), else
            Viola–Jones; one of ``DETECTORS``; the path of a YuNet model (``.onnx``); a
            ``Detector``; an array (faces, 4) of boxes in image pixels, which are then found in
            every image; or None.
        smallest: Smallest face as a share of the image's shorter side, for detectors made here;
            None takes their own value.
        threads: CPU threads of a detector that has such.

    Raises:
        ValueError: If it is none of these, or takes no ``smallest`` and one is given.
        ImportError: If the detector needs a package that is not installed.
    """
    made = isinstance(detector, (str, os.PathLike)) and os.fspath(detector) != "dlib"
    if smallest is not None and not made:
        raise ValueError(
            "`smallest` is for detectors that are made here by name, but for dlib's, which finds "
            "faces of 40 pixels. "
            f"Received: smallest={smallest}, detector={detector!r}"
        )
    if detector is None or callable(detector):
        # A class or function of the user's; what it returns is checked where it is called.
        return cast("Detector | None", detector)
    if isinstance(detector, (str, os.PathLike)):
        return _named(
            os.fspath(detector), {} if smallest is None else {"smallest": smallest}, threads
        )
    try:
        return FixedBoxes(detector)
    except (TypeError, ValueError) as error:
        raise ValueError(_RULE + f"Received: detector={detector!r}") from error


_RULE = (
    f"`detector` must be one of {', '.join(DETECTORS)}, the path of a YuNet model (.onnx), a "
    "callable from an RGB image (H, W, 3) to (faces, 4) boxes, an array (faces, 4) of boxes x0, "
    "y0, x1, y1 with x1 > x0 and y1 > y0, or None. "
)


def _named(name: str, options: dict[str, float], threads: int) -> Detector:
    if name == "auto":
        name = "blazeface" if blazeface.is_available() else "haar"
        if name == "haar":
            logging.getLogger("tfalign").warning(
                "Faces are found by Viola–Jones, which misses many; BlazeFace finds more. %s",
                how_to_install("detector"),
            )
    if name == "haar":
        # Few agreeing raw detections: what is no face fails by its quality afterwards. On 60 names
        # of AFW and 60 of Helen's training part, not held out, 113 faces were aligned and 12
        # others remained, most of them faces that have no annotation; with 3, 106 and 10.
        return HaarDetector(neighbors=1, **options)
    if name.startswith("blazeface") and name in DETECTORS:
        variant = name.partition("-")[2] or "back"
        return BlazeFaceDetector(variant, threads=threads, **options)
    if name == "dlib":
        return DlibDetector()
    if name.endswith(".onnx"):
        return YuNetDetector(name, **options)
    raise ValueError(_RULE + f"Received: detector={name!r}")


__all__ = [
    "DETECTORS",
    "BlazeFaceDetector",
    "BoxRule",
    "Detector",
    "DlibDetector",
    "FaceDetector",
    "FixedBoxes",
    "HaarDetector",
    "YuNetDetector",
    "box_rules",
    "check_detections",
    "distinct",
    "fit_box_rule",
    "overlap",
    "resolve_detector",
    "same_face",
]
