"""A face's annotation without its pixels, and the rules that every annotation must satisfy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tfalign import geometry
from tfalign.data.readers.image import ImageSource
from tfalign.data.readers.report import Kind, Problem

# A landmark may lie outside the image by this share of the face's longer side. Photographs cut
# faces, and annotators place the cut points by guess (WFLW, COFW) or clip them to the border
# (300-W's Helen), so "outside" alone is no error; a whole quarter of a face outside is.
OUTSIDE_SHARE = 0.25

CORNER_FROM_ONE_BASED = -0.5  # MATLAB: the centre of the first pixel is 1; in memory it is 0.5
CORNER_FROM_ZERO_BASED = 0.5  # indices: the centre of the first pixel is 0; in memory it is 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """The annotation of one face, without pixels; image space as in ``tfalign.geometry``.

    Attributes:
        name: Unique within the data set; see ``Sample.name``.
        image: Loads the pixels.
        landmarks: (n, 2) float32, (x, y) in image pixels.
        visible: (n,) bool.
        box: (4,) float32, (x0, y0, x1, y1) in image pixels.
        box_source: ``"file"`` or ``"landmarks"``.
        attributes: Whatever else the set says of this face.
        where: The file (and line) of the annotation.
        anywhere: (n,) bool. Points whose place is meaningless, exempt from the rule that
            landmarks lie in the image (LFPW: hidden by the image's border).
    """

    name: str
    image: ImageSource
    landmarks: np.ndarray
    visible: np.ndarray
    box: np.ndarray
    box_source: Literal["file", "landmarks"]
    where: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    anywhere: np.ndarray | None = None

    def check_inside(self, size: tuple[int, int]) -> None:
        """Checks that the landmarks lie in an image of ``size`` (width, height) pixels.

        A landmark may lie outside by up to ``OUTSIDE_SHARE`` of the face's longer side (of its
        landmarks' tight box, but of no more than the image's own longer side).

        Raises:
            ValueError: If one lies further outside.
        """
        side = float(np.max(np.ptp(self.landmarks, axis=0)))
        allowed = OUTSIDE_SHARE * min(side, max(size))
        beyond = np.maximum(-self.landmarks, self.landmarks - np.asarray(size, np.float32))
        beyond = beyond.max(axis=1)
        if self.anywhere is not None:
            beyond = np.where(self.anywhere, -np.inf, beyond)
        worst = int(np.argmax(beyond))
        if beyond[worst] > allowed:
            x, y = self.landmarks[worst]
            raise self._problem(
                "outside-image",
                f"landmarks must lie in the {size[0]}×{size[1]} image or at most {allowed:.2f} "
                f"pixels outside. Received: point {worst} at ({x:.3f}, {y:.3f})",
            ).error()

    def _problem(self, kind: Kind, message: str) -> Problem:
        return Problem(kind, self.where, message, self.name)


def build_record(
    *,
    name: str,
    image: ImageSource,
    points: Any,
    num_points: int,
    where: str,
    shift: float,
    box: Any = None,
    visible: np.ndarray | None = None,
    attributes: Mapping[str, Any] | None = None,
    anywhere: np.ndarray | None = None,
) -> Record:
    """Builds a record from a file's own numbers, converting it to image space.

    Args:
        name: The face's name.
        image: Loads the pixels.
        points: (num_points, 2) numbers in the file's convention.
        num_points: How many points the set has.
        where: The file (and line), for errors.
        shift: Added to every coordinate: ``CORNER_FROM_ONE_BASED`` or ``CORNER_FROM_ZERO_BASED``.
        box: (x0, y0, x1, y1) in the file's convention, or None for the landmarks' tight box.
        visible: (num_points,) bool, or None if all are.
        attributes: What else the set says.
        anywhere: See ``Record``.

    Raises:
        ValueError: If the number of points is wrong, a value is not finite, a box has no area, or
            the box of the file does not touch the face.
    """

    def fail(kind: Kind, message: str) -> Exception:
        return Problem(kind, where, message, name).error()

    points = np.asarray(points, np.float64)
    if points.shape != (num_points, 2):
        raise fail(
            "wrong-number-of-points",
            f"a face must have {num_points} points of 2 coordinates. "
            f"Received: shape={points.shape}",
        )
    if not np.isfinite(points).all():
        raise fail("not-finite", f"coordinates must be finite. Received: {points.tolist()}")
    if np.abs(points).max() > 1e6:  # before float32, where fractions of a pixel would be lost
        raise fail("outside-image", f"no image is that large. Received: {np.abs(points).max()}")
    landmarks = (points + shift).astype(np.float32)
    tight = np.asarray(geometry.box_from_landmarks(landmarks), np.float32)
    if not (tight[2:] > tight[:2]).all():
        raise fail("empty-box", f"the landmarks must span an area. Received: {tight.tolist()}")
    return Record(
        name=name,
        image=image,
        landmarks=landmarks,
        visible=np.ones(num_points, bool) if visible is None else np.asarray(visible, bool),
        box=tight if box is None else _checked_box(box, shift, tight, fail),
        box_source="landmarks" if box is None else "file",
        where=where,
        attributes=dict(attributes or {}),
        anywhere=anywhere,
    )


def _checked_box(
    box: Any, shift: float, tight: np.ndarray, fail: Callable[[Kind, str], Exception]
) -> np.ndarray:
    corners = np.asarray(box, np.float64).reshape(-1)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise fail("not-finite", f"a box must be 4 finite numbers. Received: {box}")
    corners = (corners + shift).astype(np.float32)
    if not (corners[2:] > corners[:2]).all():
        raise fail("empty-box", f"a box must have an area, x0 < x1, y0 < y1. Received: {box}")
    if not ((corners[2:] > tight[:2]) & (corners[:2] < tight[2:])).all():
        raise fail(
            "box-misses-face",
            "a face's box must touch its landmarks. "
            f"Received: box={corners.tolist()}, landmarks in {tight.tolist()}",
        )
    return corners
