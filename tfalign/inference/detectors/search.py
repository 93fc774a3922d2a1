"""Searching a picture for faces of all sizes with a detector that takes small square views."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tfalign.inference.detectors.boxes import BoxRule, merged


class FaceDetector(abc.ABC):
    """Finds faces in a picture; a detector of the kind that ``Aligner`` takes.

    One detector may be used by any number of threads, and can be pickled.

    Attributes:
        name: As in ``tfalign.inference.detectors.DETECTORS``.
        rule: From its boxes to the landmarks' tight boxes.
    """

    name: str
    rule: BoxRule

    @abc.abstractmethod
    def raw(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the detector's own boxes (faces, 4) in pixels of an RGB image (H, W, 3)."""

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns (faces, 4) estimates of the landmarks' tight boxes, in image pixels.

        Args:
            image: (H, W, 3) uint8 RGB.
        """
        return self.rule(self.raw(image))


class ViewSearch(FaceDetector):
    """A detector that sees square views of one size, and finds small faces in tiles of a picture.

    First the whole picture is one view, filled up with black. Where the smallest face would be too
    small in it, the picture is searched again, as often enlarged threefold as needed, in tiles that
    overlap by more than the faces which only they show. What a tile's border cuts is left to the
    tile beside it. The detections of all views are merged once.

    Args:
        smallest: Smallest face to find, as a share of the image's shorter side; None takes
            ``SMALLEST``, but no less than ``SMALLEST_PIXELS``: smaller ones have no landmarks to
            speak of, and cost time.
        score: Least score of a detection.

    Attributes:
        side: Of a view in pixels.
        seen: Side in pixels of the smallest face that the detector finds reliably in a view.

    Raises:
        ValueError: If ``smallest`` or ``score`` is not in (0, 1].
    """

    side: int
    seen: int

    SMALLEST = 0.03
    SMALLEST_PIXELS = 64

    def __init__(self, smallest: float | None = None, score: float = 0.5) -> None:
        if not (smallest is None or 0 < smallest <= 1) or not 0 < score <= 1:
            raise ValueError(
                "`smallest` and `score` must be in (0, 1]. Received: "
                f"smallest={smallest}, score={score}"
            )
        self.smallest = smallest
        self.score = float(score)

    @abc.abstractmethod
    def detect_view(self, view: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Detects in one view, without suppressing overlapping detections.

        Args:
            view: (side, side, 3) uint8 RGB.

        Returns:
            (k, 4) boxes in the view's pixels and (k,) scores of at least ``score``.
        """

    def raw(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: list[NDArray[np.float64]] = [np.zeros((0, 4))]
        scores: list[NDArray[np.float64]] = [np.zeros(0)]
        shorter = min(image.shape[:2])
        if self.smallest is None:
            smallest = max(self.SMALLEST * shorter, self.SMALLEST_PIXELS)
        else:
            smallest = self.smallest * shorter
        for view in views(image, self.side, self.seen, smallest):
            boxes, of_boxes = self.detect_view(view.pixels)
            boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
            # What is too small for this view stands in a finer one, and there at its right place.
            whole = view.holds(boxes, 0 if view.finest else self.seen)
            found.append(view.in_image(boxes[whole]))
            scores.append(np.asarray(of_boxes, np.float64)[whole])
        return merged(np.concatenate(found), np.concatenate(scores)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class View:
    """A square part of a picture, resized.

    Attributes:
        pixels: (side, side, 3) uint8 RGB.
        origin: (x, y) of its corner in the resized picture.
        scale: (across, down) from picture pixels to pixels of the resized picture.
        size: (width, height) of the resized picture.
        finest: Whether no other view enlarges the picture more.
    """

    pixels: NDArray[np.uint8]
    origin: NDArray[np.float64]
    scale: NDArray[np.float64]
    size: NDArray[np.float64]
    finest: bool

    def holds(self, boxes: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
        """Tells (k,) which boxes (k, 4) have a side and are not cut by a border in the picture."""
        side = self.pixels.shape[0]
        inner = np.concatenate([self.origin > 0, self.origin + side < self.size])
        crosses = np.concatenate([boxes[:, :2] < 0, boxes[:, 2:] > side], axis=1)
        large = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) >= least
        return large & ~(crosses & inner).any(axis=1)

    def in_image(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Maps boxes (k, 4) from the view's pixels to the picture's."""
        return (boxes + np.tile(self.origin, 2)) / np.tile(self.scale, 2)


_STEP = 3.0  # from one scale to the next
_SPARE = 1.25  # by how much tiles overlap more than the largest face that only they show


def views(image: NDArray[np.uint8], side: int, seen: int, smallest: float) -> Iterator[View]:
    """Yields the views of a picture, the whole one first; see ``ViewSearch``.

    Args:
        image: (H, W, 3) uint8.
        side, seen: See ``ViewSearch``.
        smallest: Smallest face in pixels of the image.
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    # A part of the picture of this side, as a view, shows the smallest face large enough. Enlarging
    # a picture beyond its own pixels would show nothing new.
    finest = max(smallest * side / seen, float(side))
    levels = max(0, math.ceil(math.log(longest / finest) / math.log(_STEP)))
    step = (longest / finest) ** (1 / max(levels, 1))
    overlap = min(0.5, _SPARE * step * seen / side)
    for level in range(levels + 1):
        scale = side * step**level / longest
        size = np.array([max(1, round(length * scale)) for length in (width, height)], np.float64)
        small = _resized(image, size)
        for y in _starts(int(size[1]), side, overlap):
            for x in _starts(int(size[0]), side, overlap):
                pixels = np.zeros((side, side, 3), np.uint8)
                part = small[y : y + side, x : x + side]
                pixels[: part.shape[0], : part.shape[1]] = part
                origin = np.array([x, y], np.float64)
                yield View(pixels, origin, size / [width, height], size, level == levels)


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """Returns where tiles begin that cover a length, evenly, with at least an overlap."""
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side * (1 - overlap))) + 1
    return [round(index * (length - side) / (count - 1)) for index in range(count)]


def _resized(image: NDArray[np.uint8], size: NDArray[np.float64]) -> NDArray[np.uint8]:
    shrinks = size[0] < image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(image, (int(size[0]), int(size[1])), interpolation=method)
    return np.asarray(resized, np.uint8)
