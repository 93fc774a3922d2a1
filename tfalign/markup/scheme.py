"""What a landmark scheme is: names, parts, mirror pairs, normaliser and drawing edges, as data."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from tfalign.files import read_json, write_json

LOCAL_PART_NAMES = ("left_eye", "right_eye", "nose", "mouth")
"""The four parts that TSR regresses locally (Lv et al., CVPR 2017, Figure 4)."""

BoxMeasure = Literal["side", "diagonal", "sqrt_area"]
"""The longer side of the face's box, its diagonal, the square root of its area."""

Points = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class LandmarkScheme:
    """An ordered set of named points, of a face or of anything else, validated when built.

    A scheme is plain data: models, crop caches and exported files hold the whole of it
    (``to_config``), so that no process has to know it beforehand.

    **Whose left.** "left" and "right" are the *subject's*: in a picture that is not mirrored,
    a point called ``right_…`` of a frontal face lies in the left half of the image.

    Attributes:
        name: Short name, e.g. ``"wflw98"``.
        points: Names of the points in the order of the data set, all different.
        parts: Part name to 0-based indices, e.g. for tables of errors by part. A point is in one
            part at most; points without a part are allowed.
        eye_corners: Indices of the outer eye corners (subject's right, subject's left), or
            ``None``. Their distance is the inter-ocular normaliser.
        pupils: Indices whose mean gives the centre of the subject's (right, left) eye, or
            ``None``. Their distance is the inter-pupil normaliser.
        edges: Index pairs to draw as line segments.
        flip_pairs: Index pairs (i, j), i < j, that change places when the image is mirrored; a
            point in no pair is its own mirror image, so ``()`` suits a hand, where each finger
            stays itself. ``"names"`` takes the pairs from the names: ``left`` and ``right``
            in a name change places; names without either word say nothing, and if none has one
            the attribute becomes ``None``. ``None`` means that the mirror image is unknown:
            such faces are never mirrored.
        normalizer: What errors are divided by where the eyes do not give it: two groups of
            indices, the distance of whose means counts, a ``BoxMeasure``, or ``None``.
        flip_map: Made from ``flip_pairs``: permutation of length n, or ``None``. Mirroring an
            image moves the shape to ``mirror(points)[flip_map]``. It is its own inverse.

    Raises:
        ValueError: If a name is repeated, a name with ``left`` has no twin with ``right`` or the
            reverse (unless ``flip_pairs`` are given), a point is in two parts or two pairs, a
            mirrored part is no part, the eyes do not mirror each other, or an index is out of
            range.
    """

    name: str
    points: tuple[str, ...]
    parts: Mapping[str, Points] = field(default_factory=dict)
    eye_corners: tuple[int, int] | None = None
    pupils: tuple[Points, Points] | None = None
    edges: Pairs = ()
    flip_pairs: Pairs | None = "names"  # type: ignore[assignment]  # Resolved when built.
    normalizer: tuple[Points, Points] | BoxMeasure | None = None
    flip_map: Points | None = field(init=False)

    def __post_init__(self) -> None:
        # A scheme of lists would be another one than the same scheme from a file.
        for key in ("points", "eye_corners", "pupils", "edges", "flip_pairs", "normalizer"):
            object.__setattr__(self, key, _tuples(getattr(self, key)))
        parts = {part: _tuples(indices) for part, indices in dict(self.parts).items()}
        object.__setattr__(self, "parts", parts)
        _check_names(self.name, self.points)
        count = len(self.points)
        if self.flip_pairs == "names":  # type: ignore[comparison-overlap]
            flip_map = _map_from_names(self.name, self.points)
        elif self.flip_pairs is None:
            flip_map = None
        else:
            flip_map = _map_from_pairs(self.name, self.flip_pairs, count)
        _check_parts(self.name, self.parts, count, flip_map)
        _check_anchors(self.name, self.eye_corners, self.pupils, count, flip_map)
        _check_normalizer(self.name, self.normalizer, count)
        _check_edges(self.name, self.edges, count)
        pairs = None
        if flip_map is not None:
            pairs = tuple((i, j) for i, j in enumerate(flip_map) if i < j)
        object.__setattr__(self, "flip_map", flip_map)
        object.__setattr__(self, "flip_pairs", pairs)

    def __hash__(self) -> int:
        # `parts` is a dict, so the generated hash would fail; name and points identify a scheme.
        return hash((self.name, self.points))

    @classmethod
    def unnamed(cls, num_points: int) -> LandmarkScheme:
        """Returns the scheme of ``num_points`` points of which nothing but the number is known.

        Its points are called by their number; it has no parts, no mirror image, no normaliser.
        """
        names = tuple(str(index) for index in range(num_points))
        return cls(f"points_{num_points}", names, flip_pairs=None)

    @classmethod
    def from_coco(
        cls, category: Mapping[str, Any], name: str | None = None, **others: Any
    ) -> LandmarkScheme:
        """Makes a scheme from a category of a COCO key points file.

        Args:
            category: Holds ``keypoints``, the names, and perhaps ``skeleton``, pairs of 1-based
                indices, which become the edges.
            name: The scheme's name; None takes the category's.
            others: Further attributes, e.g. ``flip_pairs``.

        Raises:
            ValueError: If the category has no key points, or they make no scheme.
        """
        try:
            points = tuple(str(point) for point in category["keypoints"])
            edges = tuple((int(i) - 1, int(j) - 1) for i, j in category.get("skeleton") or ())
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                "A COCO category needs `keypoints`, a list of names, and may have `skeleton`, "
                f"pairs of numbers from 1 on. Received: category={category!r}"
            ) from error
        return cls(name or str(category.get("name", "coco")), points, **{"edges": edges, **others})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LandmarkScheme:
        """Makes a scheme from what ``to_config`` returned, or from plain data written by hand.

        Wherever an index is expected, the point's name may stand. ``name`` and ``points`` are
        required. A COCO category (``keypoints``, ``skeleton``) is taken, too.

        Raises:
            ValueError: If a key is unknown or missing, or the data make no scheme.
        """
        if "keypoints" in config and "points" not in config:
            return cls.from_coco(config)
        known = [item.name for item in fields(cls) if item.init]
        unknown = sorted(set(config) - set(known))
        if unknown or not {"name", "points"} <= set(config):
            raise ValueError(
                f"A scheme is described by name and points and perhaps {', '.join(known[2:])}. "
                f"Received: keys={sorted(config)}"
            )
        points = tuple(str(point) for point in config["points"])

        def plain(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return tuple(plain(item) for item in value)
            if isinstance(value, str):
                if value not in points:
                    raise ValueError(
                        f"A point must be one of {', '.join(points)}. Received: {value!r}"
                    )
                return points.index(value)
            if isinstance(value, bool) or not (value is None or isinstance(value, int)):
                raise ValueError(
                    "Points are told by index (a whole number from 0 on) or by name. "
                    f"Received: {value!r}"
                )
            return value

        values: dict[str, Any] = {"name": str(config["name"]), "points": points}
        for key in (key for key in known[2:] if key in config):
            value = config[key]
            if key == "parts":
                value = {str(part): plain(indices) for part, indices in dict(value).items()}
            elif not isinstance(value, str):
                value = plain(value)
            values[key] = value
        return cls(**values)

    def to_config(self) -> dict[str, Any]:
        """Returns the whole scheme as plain data (lists, strings, numbers), for JSON."""

        def plain(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {key: plain(item) for key, item in value.items()}
            return [plain(item) for item in value] if isinstance(value, tuple) else value

        return {item.name: plain(getattr(self, item.name)) for item in fields(self) if item.init}

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> LandmarkScheme:
        """Reads a scheme from what ``to_json`` wrote, from a COCO category, or from a whole COCO
        file with one category that has key points.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it does not hold a scheme; the message names the file.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no such scheme file. Received: {str(path)!r}")
        try:
            value = read_json(path)
            if not isinstance(value, dict):
                raise ValueError(f"A scheme is a JSON object. Received: {type(value).__name__}")
            if "categories" in value:
                categories = [c for c in value["categories"] if c.get("keypoints")]
                if len(categories) != 1:
                    raise ValueError(
                        "A COCO file must have one category with key points. Received: "
                        f"{[c.get('name') for c in categories]}"
                    )
                value = categories[0]
            return cls.from_config(value)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} does not hold a landmark scheme: {error}") from error

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes the whole scheme as a JSON file."""
        write_json(path, self.to_config())

    @property
    def num_points(self) -> int:
        """Number of points, n."""
        return len(self.points)

    @property
    def local_parts(self) -> dict[str, Points]:
        """The parts that TSR refines on their own: those of both eyes, nose and mouth it has."""
        return {name: self.parts[name] for name in LOCAL_PART_NAMES if name in self.parts}

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
    """Returns the name of the mirror image: ``left`` and ``right`` change places, also as
    ``Left`` or ``LEFT``."""
    other = {"left": "right", "Left": "Right", "LEFT": "RIGHT"}
    other |= {value: key for key, value in other.items()}
    return re.sub("|".join(other), lambda found: other[found[0]], point)


def _tuples(value: Any) -> Any:
    """Returns sequences and arrays as tuples, all the way down; anything else as it is."""
    value = value.tolist() if hasattr(value, "tolist") else value  # of NumPy
    if isinstance(value, (list, tuple, range)):
        return tuple(_tuples(item) for item in value)
    return value


def _map_from_names(name: str, points: Sequence[str]) -> Points | None:
    position = {point: index for index, point in enumerate(points)}
    if all(twin(point) == point for point in points):
        return None
    lonely = [point for point in points if twin(point) not in position]
    if lonely:
        raise ValueError(
            f"Every point of scheme {name!r} that says left must have a twin that says right, and "
            "the reverse; otherwise give `flip_pairs`, or None if there is no mirror image. "
            f"Received without a twin: {lonely}"
        )
    return tuple(position[twin(point)] for point in points)


def _map_from_pairs(name: str, pairs: Iterable[Sequence[int]], count: int) -> Points:
    flip_map = list(range(count))
    pairs = [tuple(pair) for pair in pairs]
    used = [index for pair in pairs for index in pair]
    if any(len(pair) != 2 for pair in pairs) or len(set(used)) < len(used):
        raise ValueError(
            f"flip_pairs of scheme {name!r} must be pairs of different points, each point in one "
            f"pair at most. Received: flip_pairs={pairs}"
        )
    _check_range(name, "flip_pairs", used, count)
    for i, j in pairs:
        flip_map[i], flip_map[j] = j, i
    return tuple(flip_map)


def _check_names(name: str, points: Sequence[str]) -> None:
    repeated = sorted({point for point in points if points.count(point) > 1})
    if repeated or not points:
        raise ValueError(
            f"Scheme {name!r} needs at least one point, and point names must differ. "
            f"Received twice: {repeated}"
        )


def _check_range(name: str, what: str, indices: Sequence[int], count: int) -> None:
    if not all(0 <= index < count for index in indices):
        raise ValueError(
            f"{what} of scheme {name!r} must be indices from 0 to {count - 1}. "
            f"Received: {what}={list(indices)}"
        )


def _check_parts(
    name: str, parts: Mapping[str, Points], count: int, flip_map: Points | None
) -> None:
    covered = sorted(index for indices in parts.values() for index in indices)
    _check_range(name, "parts", covered, count)
    if len(set(covered)) < len(covered):
        raise ValueError(f"In scheme {name!r} a point may be in one part only. Received: {covered}")
    if flip_map is None:
        return
    for part, indices in parts.items():
        mirrored = {flip_map[index] for index in indices}
        other = twin(part)
        # A part whose name takes no side may still be paired by `flip_pairs`.
        allowed = [parts.get(other, ())] if other != part else parts.values()
        if mirrored not in [set(one) for one in allowed]:
            raise ValueError(
                f"In scheme {name!r} the mirror image of part {part!r} must be part "
                f"{other!r}. Received: indices {sorted(mirrored)}"
            )


def _check_anchors(
    name: str,
    eye_corners: tuple[int, int] | None,
    pupils: tuple[Points, Points] | None,
    count: int,
    flip_map: Points | None,
) -> None:
    anchors: list[tuple[Points, Points, str]] = []
    if pupils is not None:
        anchors.append((*pupils, "pupils"))
    if eye_corners is not None:
        anchors.append(((eye_corners[0],), (eye_corners[1],), "eye_corners"))
    for first, second, what in anchors:
        if not first or not second:
            raise ValueError(
                f"{what} of scheme {name!r} must be indices from 0 to {count - 1}, at least one "
                f"for each eye. Received: {what}={(first, second)}"
            )
        _check_range(name, what, [*first, *second], count)
        if flip_map and {flip_map[index] for index in first} != set(second):
            raise ValueError(
                f"{what} of scheme {name!r} must mirror each other. "
                f"Received: {what}={(first, second)}"
            )


def _check_normalizer(
    name: str, normalizer: tuple[Points, Points] | BoxMeasure | None, count: int
) -> None:
    if normalizer is None or normalizer in get_args(BoxMeasure):
        return
    groups = normalizer
    good = isinstance(groups, tuple) and len(groups) == 2
    good = good and all(isinstance(group, tuple) and group for group in groups)
    if not good or set(groups[0]) == set(groups[1]):
        raise ValueError(
            f"The normalizer of scheme {name!r} must be two different groups of points, one of "
            f"{', '.join(get_args(BoxMeasure))}, or None. Received: normalizer={normalizer!r}"
        )
    _check_range(name, "normalizer", [*groups[0], *groups[1]], count)


def _check_edges(name: str, edges: Iterable[tuple[int, int]], count: int) -> None:
    wrong = [edge for edge in edges if len(edge) != 2 or not all(0 <= i < count for i in edge)]
    if wrong:
        raise ValueError(
            f"Edges of scheme {name!r} must join two indices from 0 to {count - 1}. "
            f"Received: {wrong}"
        )
