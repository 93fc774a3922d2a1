"""What a landmark scheme is: names, parts, mirror pairs, anchors and drawing edges, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

LEFT, RIGHT = "left_", "right_"

PART_NAMES = (
    "contour",
    "left_brow",
    "right_brow",
    "left_eye",
    "right_eye",
    "nose",
    "mouth",
)

LOCAL_PART_NAMES = ("left_eye", "right_eye", "nose", "mouth")
"""The four parts that TSR regresses locally (Lv et al., CVPR 2017, Figure 4)."""


@dataclass(frozen=True)
class LandmarkScheme:
    """An ordered set of named facial points, validated when built.

    **Whose left.** "left" and "right" are the *subject's*: in a picture that is not mirrored,
    a point called ``right_…`` of a frontal face lies in the left half of the image. A point
    whose name starts with neither ``left_`` nor ``right_`` lies on the midline and is its own
    mirror image.

    Attributes:
        name: Short name, e.g. ``"wflw98"``.
        points: Names of the points in the order of the data set, all different.
        parts: Part name (one of ``PART_NAMES``) to 0-based indices. Every point belongs to
            exactly one part.
        eye_corners: Indices of the outer eye corners (subject's right, subject's left), or
            ``None``. Their distance is the inter-ocular normaliser.
        pupils: Indices whose mean gives the centre of the subject's (right, left) eye. Their
            distance is the inter-pupil normaliser.
        edges: Index pairs to draw as line segments.
        flip_pairs: Made from the names: index pairs (i, j), i < j, that change places when
            the image is mirrored.
        flip_map: Made from the names: permutation of length n. Mirroring an image moves the
            shape to ``mirror(points)[flip_map]``. It is its own inverse.

    Raises:
        ValueError: If a name is repeated, a ``left_`` point has no ``right_`` twin or the
            reverse, the parts do not cover each point once, a mirrored part is not the
            mirror image of its twin, or an index is out of range.
    """

    name: str
    points: tuple[str, ...]
    parts: Mapping[str, tuple[int, ...]]
    eye_corners: tuple[int, int] | None
    pupils: tuple[tuple[int, ...], tuple[int, ...]]
    edges: tuple[tuple[int, int], ...]
    flip_pairs: tuple[tuple[int, int], ...] = field(init=False)
    flip_map: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        _check_names(self.name, self.points)
        flip_map = _flip_map(self.points)
        _check_parts(self.name, self.parts, flip_map)
        _check_anchors(self.name, self.eye_corners, self.pupils, flip_map)
        _check_edges(self.name, self.edges, len(self.points))
        pairs = tuple((i, j) for i, j in enumerate(flip_map) if i < j)
        object.__setattr__(self, "parts", dict(self.parts))
        object.__setattr__(self, "flip_map", flip_map)
        object.__setattr__(self, "flip_pairs", pairs)

    def __hash__(self) -> int:
        # `parts` is a dict, so the generated hash would fail; name and points identify a scheme.
        return hash((self.name, self.points))

    @property
    def num_points(self) -> int:
        """Number of points, n."""
        return len(self.points)

    @property
    def local_parts(self) -> dict[str, tuple[int, ...]]:
        """The parts that TSR refines on their own: both eyes, nose and mouth."""
        return {name: self.parts[name] for name in LOCAL_PART_NAMES}

    def index(self, point: str) -> int:
        """Returns the 0-based index of a point name.

        Raises:
            ValueError: If the scheme has no such point.
        """
        if point not in self.points:
            raise ValueError(
                f"A point must be one of the scheme {self.name!r}: {', '.join(self.points)}. "
                f"Received: point={point!r}"
            )
        return self.points.index(point)


def numbered(prefix: str, numbers: Iterable[int]) -> tuple[str, ...]:
    """Returns ``prefix_0, prefix_1, …`` in the order of ``numbers``."""
    return tuple(f"{prefix}_{number}" for number in numbers)


def chain(indices: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Returns the edges of an open polyline through ``indices``."""
    return tuple(pairwise(indices))


def loop(indices: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Returns the edges of a closed polygon through ``indices``."""
    return chain([*indices, indices[0]])


def twin(point: str) -> str:
    """Returns the name of the mirror image of a point: ``left_`` and ``right_`` change places."""
    if point.startswith(LEFT):
        return RIGHT + point.removeprefix(LEFT)
    if point.startswith(RIGHT):
        return LEFT + point.removeprefix(RIGHT)
    return point


def _flip_map(points: Sequence[str]) -> tuple[int, ...]:
    position = {point: index for index, point in enumerate(points)}
    return tuple(position[twin(point)] for point in points)


def _check_names(name: str, points: Sequence[str]) -> None:
    repeated = sorted({point for point in points if points.count(point) > 1})
    if repeated:
        raise ValueError(f"Point names must differ in scheme {name!r}. Received twice: {repeated}")
    lonely = [point for point in points if twin(point) not in points]
    if lonely:
        raise ValueError(
            f"Every left_ point must have a right_ twin in scheme {name!r}, and the reverse. "
            f"Received without a twin: {lonely}"
        )


def _check_parts(name: str, parts: Mapping[str, tuple[int, ...]], flip_map: Sequence[int]) -> None:
    unknown = sorted(set(parts) - set(PART_NAMES))
    if unknown:
        raise ValueError(
            f"Parts of scheme {name!r} must be among {PART_NAMES}. Received: {unknown}"
        )
    missing = sorted(set(LOCAL_PART_NAMES) - set(parts))
    if missing:
        raise ValueError(
            f"Scheme {name!r} must have the parts {LOCAL_PART_NAMES}. Received none for: {missing}"
        )
    covered = sorted(index for indices in parts.values() for index in indices)
    if covered != list(range(len(flip_map))):
        raise ValueError(
            f"The parts of scheme {name!r} must hold each of the indices 0 to "
            f"{len(flip_map) - 1} exactly once. Received: {covered}"
        )
    for part, indices in parts.items():
        mirrored = {flip_map[index] for index in indices}
        if mirrored != set(parts.get(twin(part), ())):
            raise ValueError(
                f"In scheme {name!r} the mirror image of part {part!r} must be part "
                f"{twin(part)!r}. Received: indices {sorted(mirrored)}"
            )


def _check_anchors(
    name: str,
    eye_corners: tuple[int, int] | None,
    pupils: tuple[tuple[int, ...], tuple[int, ...]],
    flip_map: Sequence[int],
) -> None:
    right, left = pupils
    anchors = [(right, left, "pupils")]
    if eye_corners is not None:
        anchors.append(((eye_corners[0],), (eye_corners[1],), "eye_corners"))
    for first, second, what in anchors:
        used = [*first, *second]
        if not used or not all(0 <= index < len(flip_map) for index in used):
            raise ValueError(
                f"{what} of scheme {name!r} must be indices from 0 to {len(flip_map) - 1}. "
                f"Received: {what}={(first, second)}"
            )
        if {flip_map[index] for index in first} != set(second):
            raise ValueError(
                f"{what} of scheme {name!r} must mirror each other. "
                f"Received: {what}={(first, second)}"
            )


def _check_edges(name: str, edges: Iterable[tuple[int, int]], count: int) -> None:
    wrong = [edge for edge in edges if len(edge) != 2 or not all(0 <= i < count for i in edge)]
    if wrong:
        raise ValueError(
            f"Edges of scheme {name!r} must join two indices from 0 to {count - 1}. "
            f"Received: {wrong}"
        )
