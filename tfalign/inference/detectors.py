"""Where the faces are: a detector that ships with OpenCV, and what any other must look like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from tfalign import geometry

Detector = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""RGB image (H, W, 3) → (faces, 4) boxes in image pixels, each an estimate of the landmarks' tight
box."""


class HaarDetector:
    """OpenCV's Viola–Jones cascade for frontal faces, which ships inside the OpenCV wheel.

    A cascade's square reaches from above the brows to below the lips and does not bound the
    landmarks. ``PADDING`` turns it into an estimate of the 68 landmarks' tight box; it is the
    median over 334 detected faces of Helen's training part (300-W annotation), symmetrical left and
    right. The median over 961 faces (AFW and the first 750 of Helen's training part, by name),
    measured later, is (-0.070, -0.228, -0.070, 0.073). About those, a box's centre lies off the
    landmarks' by a standard deviation of 10 % (across) and 5 % (down) of its size, and its size
    varies by 9 %: ``Aligner`` cuts its crops twice for that reason.

    Args:
        smallest: Smallest face as a share of the image's shorter side.
        neighbors: Overlapping raw detections that make one face.

    Raises:
        ValueError: If an argument is outside its range.
    """

    PADDING = (-0.068, -0.228, -0.068, 0.072)
    CASCADE = "haarcascade_frontalface_alt2.xml"
    WINDOW = 20  # the side in pixels that the cascade was trained at
    ENOUGH = 60  # a larger picture is reduced until its smallest face has this side

    def __init__(self, smallest: float = 0.1, neighbors: int = 3) -> None:
        if not 0 < smallest <= 1 or neighbors < 0:
            raise ValueError(
                "`smallest` must be in (0, 1] and `neighbors` not negative. Received: "
                f"smallest={smallest}, neighbors={neighbors}"
            )
        self.smallest = smallest
        self.neighbors = neighbors
        # The stubs of OpenCV do not know its data folder.
        folder = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]
        self._cascade = cv2.CascadeClassifier(str(folder / self.CASCADE))

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns (faces, 4) boxes in image pixels for an RGB image (H, W, 3)."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        # A cascade gains nothing from more pixels, and a photograph of 24 megapixels costs seconds.
        factor = max(1.0, self.smallest * min(grey.shape) / self.ENOUGH)
        if factor > 1:
            height, width = (max(1, round(length / factor)) for length in grey.shape)
            grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
        if min(grey.shape) < self.WINDOW:
            return np.zeros((0, 4), np.float32)
        side = max(self.WINDOW, round(self.smallest * min(grey.shape)))
        found: Any = self._cascade.detectMultiScale(
            grey, scaleFactor=1.1, minNeighbors=self.neighbors, minSize=(side, side)
        )
        reduced = np.array([image.shape[1] / grey.shape[1], image.shape[0] / grey.shape[0]])
        squares = np.asarray(found, np.float32).reshape(-1, 4) * np.tile(reduced, 2)
        boxes = np.concatenate([squares[:, :2], squares[:, :2] + squares[:, 2:]], axis=1)
        return np.asarray(geometry.pad_box(boxes, self.PADDING), np.float32)


def resolve_detector(detector: Any) -> Detector | None:
    """Returns a detector from its name, a callable, boxes or None.

    Args:
        detector: ``"haar"``; a ``Detector``; an array (faces, 4) of boxes in image pixels, which
            are then found in every image; or None.

    Raises:
        ValueError: If it is none of these.
    """
    if detector is None or callable(detector):
        # A class or function of the user's; what it returns is checked where it is called.
        return cast("Detector | None", detector)
    if isinstance(detector, str) and detector == "haar":
        # Few agreeing raw detections: what is no face fails by its quality afterwards. On 60 names
        # of AFW and 60 of Helen's training part, not held out, 113 faces were aligned and 12
        # others remained, most of them faces that have no annotation; with 3, 106 and 10.
        return HaarDetector(neighbors=1)
    try:
        boxes = check_detections(detector)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`detector` must be 'haar', a callable from an RGB image (H, W, 3) to (faces, 4) "
            "boxes, an array (faces, 4) of boxes x0, y0, x1, y1 with x1 > x0 and y1 > y0, or None. "
            f"Received: detector={detector!r}"
        ) from error
    return lambda image: boxes.copy()


def check_detections(boxes: Any) -> NDArray[np.float32]:
    """Returns what a detector found as (faces, 4) float32, which may be empty.

    Raises:
        ValueError: If it is no such array, or a box is not finite or has no area.
    """
    found = np.asarray(boxes, np.float32)
    if found.size == 0:
        return np.zeros((0, 4), np.float32)
    good = found.ndim == 2 and found.shape[1] == 4 and bool(np.isfinite(found).all())
    if not good or not (found[:, 2:] > found[:, :2]).all():
        raise ValueError(
            "Boxes must be (faces, 4): finite x0, y0, x1, y1 with x1 > x0 and y1 > y0. Received: "
            f"{found.tolist() if found.size <= 16 else found.shape}"
        )
    return found


def overlap(boxes: NDArray[Any], box: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the intersection over union (faces,) of boxes (faces, 4) with one box (4,)."""
    boxes, box = np.asarray(boxes, np.float64), np.asarray(box, np.float64)
    shared, areas, area = _areas(boxes, box)
    return np.asarray(shared / (areas + area - shared), np.float64)


def same_face(boxes: NDArray[Any], box: NDArray[Any]) -> NDArray[np.bool_]:
    """Tells (faces,) which boxes (faces, 4) and one box (4,) show the same face.

    Two boxes do if they share more than half of the smaller one: this also finds a box inside
    another, whose intersection over union is small.
    """
    boxes, box = np.asarray(boxes, np.float64), np.asarray(box, np.float64)
    shared, areas, area = _areas(boxes, box)
    return np.asarray(shared > 0.5 * np.minimum(areas, area))


def distinct(boxes: NDArray[Any], scores: NDArray[Any]) -> NDArray[np.intp]:
    """Returns the indices, ascending, of the best box of every face (see ``same_face``).

    Args:
        boxes: (faces, 4).
        scores: (faces,), the higher the better.
    """
    kept: list[int] = []
    for index in np.argsort(-np.asarray(scores), kind="stable"):
        if not kept or not same_face(boxes[kept], boxes[index]).any():
            kept.append(int(index))
    return np.array(sorted(kept), np.intp)


def _areas(
    boxes: NDArray[np.float64], box: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], Any]:
    """Returns shared areas (faces,), the boxes' areas (faces,) and the one box's area."""
    extent = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = np.maximum(extent, 0.0).prod(axis=1)
    return shared, (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), (box[2:] - box[:2]).prod()
