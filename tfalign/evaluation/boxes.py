"""Which box a face is cropped by: the data set's, the landmarks' own, or a detector's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from tfalign import geometry
from tfalign.data.sample import Sample

BoxSource = Literal["landmarks", "file", "detector"]
Detector = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""RGB image (H, W, 3) → (faces, 4) boxes in image pixels, each an estimate of the landmarks' tight
box."""

MINIMUM_OVERLAP = 0.3
"""A detection belongs to an annotated face if their intersection over union reaches this."""


def check_box_source(source: str) -> None:
    """Raises ``ValueError`` unless ``source`` is one of ``BoxSource``."""
    if source not in get_args(BoxSource):
        raise ValueError(
            f"`box` must be one of {', '.join(get_args(BoxSource))}. Received: box={source!r}"
        )


class HaarDetector:
    """OpenCV's Viola–Jones cascade for frontal faces, which ships inside the OpenCV wheel.

    A cascade's square reaches from above the brows to below the lips and does not bound the
    landmarks. ``PADDING`` turns it into an estimate of the 68 landmarks' tight box; it is the
    median over 334 detected faces of Helen's training part (300-W annotation), symmetrical left and
    right.

    Args:
        smallest: Smallest face as a share of the image's shorter side.
        neighbors: Overlapping raw detections that make one face.

    Raises:
        ValueError: If an argument is outside its range.
    """

    PADDING = (-0.068, -0.228, -0.068, 0.072)
    CASCADE = "haarcascade_frontalface_alt2.xml"

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
        side = max(20, round(self.smallest * min(grey.shape)))
        found: Any = self._cascade.detectMultiScale(
            grey, scaleFactor=1.1, minNeighbors=self.neighbors, minSize=(side, side)
        )
        squares = np.asarray(found, np.float32).reshape(-1, 4)
        boxes = np.concatenate([squares[:, :2], squares[:, :2] + squares[:, 2:]], axis=1)
        return np.asarray(geometry.pad_box(boxes, self.PADDING), np.float32)


def overlap(boxes: NDArray[Any], box: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the intersection over union (faces,) of boxes (faces, 4) with one box (4,)."""
    boxes, box = np.asarray(boxes, np.float64), np.asarray(box, np.float64)
    extent = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = np.maximum(extent, 0.0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(shared / (areas - shared), np.float64)


@dataclass(frozen=True, eq=False)
class ChosenBoxes:
    """Boxes for a list of faces.

    Attributes:
        boxes: (faces, 4) float32, image pixels.
        missed: (faces,) bool: the detector found no box for this face, and ``boxes`` holds the
            fallback.
    """

    boxes: NDArray[np.float32]
    missed: NDArray[np.bool_]


def choose_boxes(
    samples: Sequence[Sample], source: BoxSource, detector: Detector | None = None
) -> ChosenBoxes:
    """Returns the box of each sample's face.

    Args:
        samples: The faces.
        source: ``"landmarks"``: tight box of the true landmarks. ``"file"``: the data set's own.
            ``"detector"``: of the detections the one that overlaps the landmarks' box most, if by
            ``MINIMUM_OVERLAP``; a face that the detector misses gets the data set's box, or the
            landmarks' where there is none (as TSR's Table 1 does), and is counted.
        detector: For ``"detector"``; None uses ``HaarDetector``.

    Raises:
        ValueError: If the source is unknown, or is ``"file"`` and the data set has no box.
    """
    check_box_source(source)
    boxes = np.empty((len(samples), 4), np.float32)
    missed = np.zeros(len(samples), np.bool_)
    if source == "detector" and detector is None:
        detector = HaarDetector()
    for index, sample in enumerate(samples):
        tight = np.asarray(geometry.box_from_landmarks(sample.landmarks), np.float32)
        boxes[index] = tight
        if source == "file":
            if sample.box_source != "file":
                raise ValueError(
                    f"The data set gives no box for {sample.name!r}, so box='file' cannot be used; "
                    "use box='landmarks' or box='detector'. Received: box='file'"
                )
            boxes[index] = sample.box
        elif detector is not None and source == "detector":
            found = detector(sample.image)
            shares = overlap(found, tight) if len(found) else np.zeros(1)
            if shares.max() >= MINIMUM_OVERLAP:
                boxes[index] = found[int(shares.argmax())]
            else:
                missed[index] = True
                boxes[index] = sample.box if sample.box_source == "file" else tight
    return ChosenBoxes(boxes, missed)
