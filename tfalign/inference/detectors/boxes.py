"""Boxes of faces: checking and merging them, and from a detector's box to the landmarks'."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfalign import geometry


@dataclass(frozen=True)
class BoxRule:
    """How the boxes of one detector become estimates of the 68 landmarks' tight boxes.

    Attributes:
        padding: (left, top, right, bottom), fractions of the detector's box that are added, or
            taken away where negative: the median over ``faces`` faces, symmetrical left and right.
        faces: Number of faces that the rule was fitted on.
        center_spread: (across, down), standard deviation of the estimate's centre about the
            landmarks' box, in sizes of that box; None where it was not measured.
        size_spread: Standard deviation of the logarithm of the estimate's size, or None likewise.
        fitted_on: Which faces these were; none of them is held out for tests.
    """

    padding: tuple[float, float, float, float]
    faces: int
    center_spread: tuple[float, float] | None
    size_spread: float | None
    fitted_on: str

    def __call__(self, boxes: Any) -> NDArray[np.float32]:
        """Turns a detector's boxes (faces, 4) into estimates of the landmarks' tight boxes."""
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        return np.asarray(geometry.pad_box(boxes, self.padding), np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Returns the rule as plain data, e.g. for the metadata of an exported model."""
        plain = asdict(self)
        return {key: list(v) if isinstance(v, tuple) else v for key, v in plain.items()}


def fit_box_rule(detected: Any, tight: Any, fitted_on: str) -> BoxRule:
    """Fits the rule of a detector.

    Args:
        detected: (faces, 4) the detector's own boxes.
        tight: (faces, 4) the same faces' tight boxes of the landmarks.
        fitted_on: Which faces these are.
    """
    detected, tight = np.asarray(detected, np.float64), np.asarray(tight, np.float64)
    size = np.tile(detected[:, 2:] - detected[:, :2], 2)
    left, top, right, bottom = np.median(
        (tight - detected) / size * np.array([-1, -1, 1, 1]), axis=0
    )
    side = (left + right) / 2
    padding = (float(side), float(top), float(side), float(bottom))
    padding = tuple(round(value, 4) for value in padding)
    estimate = np.asarray(geometry.pad_box(detected, padding), np.float64)
    extent = tight[:, 2:] - tight[:, :2]
    apart = ((estimate[:, :2] + estimate[:, 2:]) - (tight[:, :2] + tight[:, 2:])) / 2 / extent
    sizes = np.log((estimate[:, 2:] - estimate[:, :2]).prod(axis=1) / extent.prod(axis=1)) / 2
    across, down = apart.std(axis=0)
    return BoxRule(
        padding,
        len(tight),
        (round(float(across), 3), round(float(down), 3)),
        round(float(sizes.std()), 3),
        fitted_on,
    )


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
            "Boxes must be (faces, 4): finite x0, y0, x1, y1 with x1 > x0 and y1 > y0; "
            "(x, y, width, height) becomes (x, y, x + width, y + height). Received: "
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


def merged(boxes: NDArray[Any], scores: NDArray[Any], limit: float = 0.3) -> NDArray[np.float64]:
    """Merges detections of the same faces: weighted suppression, then one box of nested ones.

    The best detection takes all that overlap it by more than ``limit`` (intersection over union);
    the face's box is their mean, weighted with the scores. This goes on with what remains. It is
    the merging of MediaPipe's face detectors (BlazeFace, section 4.2 of the paper). Small boxes
    inside a better one, which views of other scales add, are left out (see ``same_face``).

    Args:
        boxes: (k, 4).
        scores: (k,), positive.
        limit: As above.

    Returns:
        (faces, 4), the best first.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    faces: list[NDArray[Any]] = []
    best: list[float] = []
    while len(boxes):
        near = overlap(boxes, boxes[0]) > limit
        near[0] = True
        faces.append((boxes[near] * scores[near, None]).sum(axis=0) / scores[near].sum())
        best.append(float(scores[0]))
        boxes, scores = boxes[~near], scores[~near]
    if not faces:
        return np.zeros((0, 4))
    stacked = np.stack(faces)
    return stacked[distinct(stacked, np.array(best))]
