"""Data sets in another markup, and several sets in one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from tfalign import geometry, markup
from tfalign.data.readers.reader import Reader
from tfalign.data.readers.record import Record
from tfalign.data.readers.report import Problem, ReadingReport

Undefined = Literal["raise", "mask"]

MISFIT = 0.2
"""Sets whose points lie further than this share of their extent from the mean shape are refused: a
turned head is off by less, a mirrored or shuffled one by more."""


def convert_annotation(
    landmarks: np.ndarray,
    visible: np.ndarray,
    annotated: np.ndarray,
    source: markup.LandmarkScheme,
    target: markup.LandmarkScheme,
    undefined: Undefined = "raise",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Converts landmarks with their masks from one scheme to another.

    A converted point is visible, or annotated, if all the points that it is the mean of are.

    Args:
        landmarks: (…, n, 2) of ``source``, any space.
        visible, annotated: (…, n) bool.
        source, target: The schemes.
        undefined: What to do with points that the source lacks: ``"raise"``, or ``"mask"`` them as
            not annotated.

    Returns:
        Landmarks (…, m, 2), visible and annotated (…, m); what is not annotated lies at (0, 0).

    Raises:
        ValueError: If the schemes cannot be converted, see ``markup.convert``.
    """
    if undefined not in ("raise", "mask"):
        raise ValueError(
            f"`undefined` must be 'raise' or 'mask'. Received: undefined={undefined!r}"
        )
    how: Literal["raise", "nan"] = "nan" if undefined == "mask" else "raise"
    points = np.asarray(markup.convert(landmarks, source, target, how))

    def all_of(mask: np.ndarray) -> np.ndarray:
        # As coordinates, so that the schemes' own conversion says which points make up which.
        pairs = np.repeat(mask[..., None], 2, axis=-1).astype(np.float64)
        found = np.asarray(markup.convert(pairs, source, target, how))[..., 0]
        return np.asarray(found > 1.0 - 1e-9)  # NaN is not

    known = all_of(annotated)
    points = np.where(known[..., None], points, 0.0).astype(np.float32)
    return points, all_of(visible) & known, known


def converted(
    reader: Reader,
    scheme: str | markup.LandmarkScheme | Mapping[str, Any],
    undefined: Undefined = "raise",
) -> Reader:
    """Returns a data set's faces with their landmarks converted to another scheme.

    Models of one markup can then be trained on faces annotated in another. Boxes become the tight
    boxes of the new landmarks, since a box belongs to the points that it was drawn around.

    Args:
        reader: The data set.
        scheme: Scheme of the result, as ``tfalign.markup.get`` takes it.
        undefined: ``"raise"`` if a point is not defined by the set's scheme (see
            ``tfalign.markup.convert``), or ``"mask"``: such points are not annotated. Faces none of
            whose points remain, or whose points span no area, are left out and noted.

    Returns:
        A reader of the same faces, in the same order.

    Raises:
        ValueError: If the schemes cannot be converted.
    """
    target = markup.get(scheme)
    records = []
    for record in reader.records:
        landmarks, visible, annotated = convert_annotation(
            record.landmarks, record.visible, record.annotated, reader.scheme, target, undefined
        )
        known = landmarks[annotated]
        if not len(known) or not np.ptp(known, axis=0).all():
            message = f"too few of its points are those of {target.name}."
            reader.report.note(Problem("not-annotated", record.where, message, record.name))
            continue
        box = np.asarray(geometry.box_from_landmarks(known), np.float32)
        changed = replace(record, landmarks=landmarks, visible=visible, annotated=annotated)
        changed = replace(changed, box=box, box_source="landmarks", own_box=None, anywhere=None)
        records.append(changed)
    return Reader(reader.dataset, target, records, reader.report)


def union(*readers: Reader, scheme: str | markup.LandmarkScheme | Mapping[str, Any]) -> Reader:
    """Joins data sets of several markups into one of one markup.

    Each face keeps those of its points that the scheme has; the others are not annotated and count
    in no loss. So that every face is cut out alike, boxes are those of whole shapes: where points
    are missing, the mean shape of the faces that have all is laid over the known ones (by the
    similarity that fits best) and stands in for the missing ones.

    Args:
        readers: The sets; at least one face must have all points of ``scheme``.
        scheme: Scheme of the result, as ``tfalign.markup.get`` takes it.

    Returns:
        A reader of all faces, named ``SET/NAME`` (``SET-2/NAME`` for the second set of that name).
        ``report`` holds what the sets' reports hold; an image that cannot be decoded raises where
        one of them does.

    Raises:
        ValueError: If there is no set, a set cannot be converted, no face has all points, or a
            set's points do not lie where their names say: about as in the first set that has
            whole faces.
    """
    target = markup.get(scheme)
    parts = [
        reader if reader.scheme == target else converted(reader, target, "mask")
        for reader in readers
    ]
    whole = [r.landmarks for part in parts for r in part.records if r.annotated.all()]
    if not whole:
        raise ValueError(
            "At least one face must have all points of the common scheme, to cut the others out "
            f"by. Received: {len(readers)} sets, scheme={target.name!r}"
        )
    mean = mean_of_shapes(np.stack(whole))
    # The other sets are measured by the first, which says what the names mean: a mean of all would
    # follow a large set with wrong names halfway.
    first = next(part for part in parts if any(r.annotated.all() for r in part.records))
    known = mean_of_shapes(np.stack([r.landmarks for r in first.records if r.annotated.all()]))
    strict = any(reader.report.on_error == "raise" for reader in readers)
    report = ReadingReport("raise" if strict else "skip")
    counter: Counter[str] = Counter()
    records = []
    for part in parts:
        counter[part.dataset] += 1
        number = counter[part.dataset]
        name = part.dataset if number == 1 else f"{part.dataset}-{number}"
        for problem in (*part.report.skipped, *part.report.noted):
            report.note(problem)
        for record in part.records:
            box = record.box if record.annotated.all() else _whole_box(record, mean)
            records.append(replace(record, name=f"{name}/{record.name}", box=box))
        misfits = [] if part is first else [_misfit(record, known) for record in part.records]
        if misfits and np.median(misfits) > MISFIT:
            raise ValueError(
                f"The points of a set must lie about where those of {target.name!r} with the same "
                "names do; are names, left and right, or the order wrong? Received: points of "
                f"{name} that are off by {np.median(misfits):.0%} of their extent in the median"
            )
    return Reader("union", target, records, report)


def mean_of_shapes(shapes: np.ndarray) -> np.ndarray:
    """Returns the mean of shapes (N, n, 2) that are first moved and scaled onto each other."""
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    sizes = np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    return np.asarray((centred / sizes).mean(axis=0), np.float64)


def _whole_box(record: Record, mean: np.ndarray) -> np.ndarray:
    """Returns the box of a face's known points and, for the missing ones, of the mean shape's."""
    shape = np.where(record.annotated[:, None], record.landmarks, _laid_over(record, mean))
    return np.asarray(geometry.box_from_landmarks(shape), np.float32)


def _misfit(record: Record, mean: np.ndarray) -> float:
    """Returns how far a face's known points lie from the mean shape's, as a share of their
    extent."""
    points = record.landmarks[record.annotated]
    distances = np.linalg.norm(_laid_over(record, mean)[record.annotated] - points, axis=-1)
    extent = max(float(np.ptp(points, axis=0).max()), 1e-6)
    return float(distances.mean()) / extent


def _laid_over(record: Record, mean: np.ndarray) -> np.ndarray:
    """Returns the mean shape moved, turned and scaled to lie best on a face's known points."""
    known = record.annotated
    points = record.landmarks[known].astype(np.float64)
    return geometry.transform_points(geometry.similarity_from_points(mean[known], points), mean)
