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
        annotated: (n,) bool, see ``Sample``. None: all are.
        doubt: What was settled or looks wrong in the annotation without giving the face up, for the
            report.
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
    annotated: np.ndarray = None  # type: ignore[assignment]  # Filled in when made.
    doubt: Problem | None = None

    def __post_init__(self) -> None:
        if self.annotated is None:
            object.__setattr__(self, "annotated", np.ones(len(self.landmarks), bool))

    @property
    def box_missed(self) -> bool:
        """See ``Sample``."""
        return self.box_source == "landmarks" and self.doubt is not None

    def check_inside(self, size: tuple[int, int]) -> None:
        """Checks that the landmarks lie in an image of ``size`` (width, height) pixels.

        A landmark may lie outside by up to ``OUTSIDE_SHARE`` of the face's longer side (of its
        landmarks' tight box, but of no more than the image's own longer side).

        Raises:
            ValueError: If one lies further outside.
        """
        side = float(np.max(np.ptp(self.landmarks[self.annotated], axis=0)))
        if not self.annotated.all():  # A few points may span less than the face.
            side = max(side, float(np.max(self.box[2:] - self.box[:2])))
        allowed = OUTSIDE_SHARE * min(side, max(size))
        beyond = np.maximum(-self.landmarks, self.landmarks - np.asarray(size, np.float32))
        beyond = beyond.max(axis=1)
        exempt = ~self.annotated if self.anywhere is None else ~self.annotated | self.anywhere
        beyond = np.where(exempt, -np.inf, beyond)
        worst = int(np.argmax(beyond))
        if beyond[worst] > allowed:
            x, y = self.landmarks[worst]
            raise self._problem(
                "outside-image",
                f"landmarks must lie in the {size[0]}×{size[1]} image or at most {allowed:.2f} "
                f"pixels outside. Received: point {worst} at ({x:.3f}, {y:.3f})",
            ).error()

    def box_doubt(self, size: tuple[int, int]) -> Problem | None:
        """Returns what to tell of a box that leaves an image of ``size`` (width, height) pixels by
        more than ``OUTSIDE_SHARE`` of its own side, as one in another form than the file's does."""
        box = self.box.astype(np.float64)
        beyond = np.maximum(-box[:2], box[2:] - size) / (box[2:] - box[:2])
        if self.box_source != "file" or beyond.max() <= OUTSIDE_SHARE:
            return None
        return self._problem(
            "box-outside-image",
            f"a box should leave its image by {OUTSIDE_SHARE:.0%} of its side at most; is it "
            "written as this file's form demands, as corner and size or as two corners? Received: "
            f"box={self.box.tolist()} in {size[0]}×{size[1]} pixels",
        )

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
    annotated: np.ndarray | None = None,
) -> Record:
    """Builds a record from a file's own numbers, converting it to image space.

    Args:
        name: The face's name.
        image: Loads the pixels.
        points: (num_points, 2) numbers in the file's convention.
        num_points: How many points the set has.
        where: The file (and line), for errors.
        shift: Added to every coordinate: ``CORNER_FROM_ONE_BASED`` or ``CORNER_FROM_ZERO_BASED``.
        box: (x0, y0, x1, y1) in the file's convention, or None for the landmarks' tight box. A box
            that misses the face gives way to the tight box, with a ``doubt``; one that holds fewer
            than half of the landmarks stays, with a ``doubt``.
        visible: (num_points,) bool, or None if all are.
        attributes: What else the set says.
        anywhere: See ``Record``.
        annotated: (num_points,) bool, or None if all are. The others' numbers mean nothing.

    Raises:
        ValueError: If the number of points is wrong, none is annotated, a value is not finite, or a
            box has no area.
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
    known = np.ones(num_points, bool) if annotated is None else np.asarray(annotated, bool)
    if not known.any():
        raise fail("not-annotated", "a face must have at least one annotated point.")
    if not np.isfinite(points[known]).all():
        raise fail("not-finite", f"coordinates must be finite. Received: {points.tolist()}")
    largest = np.abs(points[known]).max()
    if largest > 1e6:  # before float32, where fractions of a pixel would be lost
        raise fail("outside-image", f"no image is that large. Received: {largest}")
    landmarks = np.where(known[:, None], points + shift, 0.0).astype(np.float32)
    tight = np.asarray(geometry.box_from_landmarks(landmarks[known]), np.float32)
    doubt = None
    if box is not None:
        box = _checked_box(box, shift, fail)
        inside = ((landmarks[known] >= box[:2]) & (landmarks[known] <= box[2:])).all(axis=1)
        received = f"Received: box={box.tolist()}, landmarks in {tight.tolist()}"
        if not inside.any():
            message = (
                "a face's box must hold some of its landmarks; their tight box is used instead. "
            )
            doubt, box = Problem("box-misses-face", where, message + received, name), None
        elif inside.mean() < 0.5:
            message = (
                "a face's box should hold half of its landmarks or more; it is used as it is. "
            )
            doubt = Problem("box-misses-face", where, message + received, name)
    if box is None and not (tight[2:] > tight[:2]).all():
        raise fail("empty-box", f"the landmarks must span an area. Received: {tight.tolist()}")
    return Record(
        name=name,
        image=image,
        landmarks=landmarks,
        visible=known if visible is None else np.asarray(visible, bool) & known,
        box=tight if box is None else box,
        box_source="landmarks" if box is None else "file",
        where=where,
        attributes=dict(attributes or {}),
        anywhere=anywhere,
        annotated=known,
        doubt=doubt,
    )


def _checked_box(box: Any, shift: float, fail: Callable[[Kind, str], Exception]) -> np.ndarray:
    corners = np.asarray(box, np.float64).reshape(-1)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise fail("not-finite", f"a box must be 4 finite numbers. Received: {box}")
    corners = (corners + shift).astype(np.float32)
    if not (corners[2:] > corners[:2]).all():
        raise fail("empty-box", f"a box must have an area, x0 < x1, y0 < y1. Received: {box}")
    return corners
