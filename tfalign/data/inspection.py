"""Looking at a data set before training on it: counts, sizes, faults, and the mirror pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfalign import geometry, markup
from tfalign.data.pipeline.source_crop import cut_source_crop
from tfalign.data.readers.conversion import mean_of_shapes
from tfalign.data.readers.reader import Reader, photograph_of
from tfalign.data.sample import Sample

WRONG = 0.05
"""A point is suspected where its mirror partner is off by this share of the face's larger side, and
another point is at most half as far."""

_DOT, _TEXT = (255, 60, 60), (255, 255, 0)


@dataclass(frozen=True)
class MirrorCheck:
    """What the mean shape says of the mirror pairs.

    A mean face is its own mirror image, so that mirrored and renumbered by the scheme's map it must
    fall onto itself; a pair that is wrong, or crossed with its neighbour, does not.

    Attributes:
        error: Mean distance between the mean shape and its mirror image, as a share of its larger
            side; None if the scheme has no mirror pairs, or each point is its own mirror image.
        wrong: (point, partner, better): the names of points whose mirror partner fits worse than
            another point.
        sides: False if points that say ``right`` lie on the right of the picture: the names are
            then the picture's sides, not the subject's. None if no name says a side.
        suggested: Mirror pairs that the mean shape itself suggests, by name; () if it is not
            symmetrical enough to suggest any.
    """

    error: float | None
    wrong: tuple[tuple[str, str, str], ...]
    sides: bool | None
    suggested: tuple[tuple[str, str], ...]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the mirror pairs."""
        return not self.wrong and self.sides is not False


def check_mirror(mean: np.ndarray, scheme: markup.LandmarkScheme) -> MirrorCheck:
    """Compares a mean shape with its mirror image.

    Args:
        mean: (n, 2) mean shape of upright subjects, any scale.
        scheme: Its scheme.
    """
    mean = np.asarray(mean, np.float64)
    side = float(np.ptp(mean, axis=0).max())
    mirrored = mean * (-1.0, 1.0)
    # The mean is nearly upright, so that reflection about its own middle needs no turn.
    upright = mirrored + (2.0 * _middle(mean), 0.0)
    distances = np.linalg.norm(upright[:, None] - mean[None], axis=-1) / side
    nearest = distances.argmin(axis=1)
    mutual = nearest[nearest] == np.arange(len(mean))
    symmetrical = bool((distances.min(axis=1) < WRONG).all() and mutual.all())
    suggested = tuple(
        (scheme.points[i], scheme.points[j]) for i, j in enumerate(nearest) if symmetrical and i < j
    )
    sides = _subject_sides(mean, scheme)
    if not scheme.flip_pairs:
        return MirrorCheck(None, (), sides, suggested)
    order = list(scheme.flip_map or ())
    fit = geometry.similarity_from_points(mirrored[order], mean)
    fitted = np.asarray(geometry.transform_points(fit, mirrored))
    # With a wrong map the fit is wrong, too: take whichever lays the points onto points.
    candidates = [
        np.linalg.norm(points[:, None] - mean[None], axis=-1) / side for points in (fitted, upright)
    ]
    found = min(candidates, key=lambda one: float(one.min(axis=0).mean()))  # [partner, point]
    own = found[order, np.arange(len(mean))]
    wrong = []
    for point, partner in enumerate(order):
        better = int(found[:, point].argmin())
        if own[point] > WRONG and found[better, point] < 0.5 * own[point]:
            names = (scheme.points[i] for i in (point, partner, better))
            wrong.append(tuple(names))
    return MirrorCheck(float(own.mean()), tuple(wrong), sides, suggested)  # type: ignore[arg-type]


def _middle(mean: np.ndarray) -> float:
    return float(mean[:, 0].min() + mean[:, 0].max()) / 2.0


def _subject_sides(mean: np.ndarray, scheme: markup.LandmarkScheme) -> bool | None:
    rights = [i for i, name in enumerate(scheme.points) if "right" in name.lower()]
    lefts = [i for i, name in enumerate(scheme.points) if "left" in name.lower()]
    if not rights or not lefts:
        return None
    return bool(mean[rights, 0].mean() < mean[lefts, 0].mean())


@dataclass(frozen=True)
class Inspection:
    """What a data set holds.

    Attributes:
        scheme: The landmark scheme.
        faces: Faces that can be used.
        photographs: Different images that they are on.
        sizes: Side of the landmarks' box in pixels: least, 5 %, median, 95 %, largest.
        box_sources: Faces by where their box comes from.
        annotated, visible: Share of the points that are so, by point name, where it is not 1.
        attributes: Names of the attributes and how many different values each has.
        faults: Faces left out, by kind.
        notes: What was settled, by kind.
        problems: Every fault and note, one line each.
        mean: (n, 2) mean shape, or None if no face has all points.
        mirror: What it says of the mirror pairs, or None.
        shown: Some faces, for ``contact_sheet``.
    """

    scheme: markup.LandmarkScheme
    faces: int
    photographs: int
    sizes: tuple[float, ...]
    box_sources: dict[str, int]
    annotated: dict[str, float]
    visible: dict[str, float]
    attributes: dict[str, int]
    faults: dict[str, int]
    notes: dict[str, int]
    problems: str
    mean: np.ndarray | None
    mirror: MirrorCheck | None
    shown: tuple[Sample, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns everything but the pictures as plain data."""
        named = ("faces", "photographs", "sizes", "box_sources", "annotated", "visible")
        mirror = self.mirror
        return {
            "scheme": self.scheme.to_config(),
            **{name: getattr(self, name) for name in (*named, "attributes", "faults", "notes")},
            "mean_shape": None if self.mean is None else self.mean.tolist(),
            "mirror": None
            if mirror is None
            else {
                "error": mirror.error,
                "wrong": [list(names) for names in mirror.wrong],
                "subjects_sides": mirror.sides,
                "suggested_flip_pairs": [list(pair) for pair in mirror.suggested],
            },
        }


def inspect(reader: Reader, show: int = 12) -> Inspection:
    """Reads every face of a data set, its image too, and tells what is there.

    Args:
        reader: The faces; with ``on_error="skip"`` faults are listed instead of raised.
        show: How many faces to keep for a contact sheet, evenly over the set.

    Raises:
        ValueError: If no face can be used.
    """
    chosen = set(np.linspace(0, max(len(reader) - 1, 0), show).astype(int).tolist())
    sides: list[float] = []
    shapes, visible, annotated = [], [], []
    sources: Counter[str] = Counter()
    values: dict[str, set[str]] = {}
    images: set[str] = set()
    shown: list[Sample] = []
    for number, record in enumerate(reader.records):
        sample = reader.try_load(record)
        if sample is None:
            continue
        if number in chosen:
            shown.append(sample)
        sides.append(float(np.ptp(sample.landmarks[sample.annotated], axis=0).max()))
        sources[sample.box_source] += 1
        images.add(photograph_of(sample.name))
        visible.append(sample.visible)
        annotated.append(sample.annotated)
        if sample.annotated.all():
            shapes.append(sample.landmarks)
        for key, value in sample.attributes.items():
            values.setdefault(key, set()).add(str(value))
    report = reader.report
    if not sides:
        raise ValueError(f"There must be a face that can be used. {report.table()}")

    def shares(masks: list[np.ndarray]) -> dict[str, float]:
        means = np.mean(masks, axis=0)
        named = zip(reader.scheme.points, means, strict=True)
        return {name: round(float(share), 4) for name, share in named if share < 1}

    mean = mean_of_shapes(np.stack(shapes)) if shapes else None
    return Inspection(
        scheme=reader.scheme,
        faces=len(sides),
        photographs=len(images),
        sizes=tuple(round(float(v), 1) for v in np.percentile(sides, (0, 5, 50, 95, 100))),
        box_sources=dict(sources),
        annotated=shares(annotated),
        visible=shares(visible),
        attributes={key: len(found) for key, found in values.items()},
        faults=report.counts,
        notes=dict(Counter(problem.kind for problem in report.noted)),
        problems=report.table(),
        mean=mean,
        mirror=None if mean is None else check_mirror(mean, reader.scheme),
        shown=tuple(shown),
    )


def draw_points(mean: np.ndarray, scheme: markup.LandmarkScheme, side: int = 1000) -> np.ndarray:
    """Draws a mean shape large, with its points' numbers and edges: (side, side, 3) uint8 RGB."""
    low, high = mean.min(axis=0), mean.max(axis=0)
    scale = 0.86 * side / float((high - low).max())
    points = (mean - (low + high) / 2) * scale + side / 2
    return _drawn(np.full((side, side, 3), 24, np.uint8), points, scheme, range(len(points)), 16)


def contact_sheet(samples: Sequence[Sample], columns: int = 4, side: int = 320) -> np.ndarray:
    """Draws faces side by side with their points, numbered where there is room.

    Args:
        samples: The faces.
        columns: Faces in a row.
        side: Pixels of each.

    Returns:
        (rows * side, columns * side, 3) uint8 RGB. Points that are not annotated are not drawn.
    """
    rows = -(-len(samples) // columns)
    sheet = np.zeros((rows * side, columns * side, 3), np.uint8)
    for place, sample in enumerate(samples):
        known = np.flatnonzero(sample.annotated)
        tight = geometry.box_from_landmarks(sample.landmarks[known])
        box = np.asarray(geometry.square_box(np.asarray(tight)), np.float32)
        face = Sample(**{**_fields(sample), "box": box})
        crop = geometry.CropConvention((0.12,) * 4)
        patch, maps, _ = cut_source_crop(face, crop, (side, side), 0.0, side)
        points = np.asarray(geometry.transform_points(maps, sample.landmarks))
        drawn = _drawn(patch, points, sample.scheme, known, 10)
        row, column = divmod(place, columns)
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = drawn
    return sheet


def _fields(sample: Sample) -> dict[str, Any]:
    return {name: getattr(sample, name) for name in Sample.__dataclass_fields__}


def _drawn(
    image: np.ndarray,
    points: np.ndarray,
    scheme: markup.LandmarkScheme,
    known: Sequence[int] | np.ndarray | range,
    text: int,
) -> np.ndarray:
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=text)
    present = set(map(int, known))
    for i, j in scheme.edges:
        if i in present and j in present:
            draw.line([tuple(points[i]), tuple(points[j])], fill=(90, 160, 90))
    for index in present:
        x, y = (float(value) for value in points[index])
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=_DOT)
        draw.text((x + 3, y - text), str(index), fill=_TEXT, font=font)
    return np.asarray(picture)
