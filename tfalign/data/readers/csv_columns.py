"""What the columns of a table of faces hold: points, a box, or anything else; see ``csv_table``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfalign.data.readers.report import Problem

_CORNERS = ("box_left", "box_top", "box_right", "box_bottom")
_SIZED = ("box_left", "box_top", "box_width", "box_height")
_FORMS = (
    "NAME_x, NAME_y (and perhaps NAME_v), or x0, y0 (and perhaps v0), x1, y1, …, or 0, 1, 2, … of "
    "whole points"
)

# How others call a box's columns. Without "box" their first two tell, since a width and a height
# may as well be the picture's.
_OF_A_BOX = re.compile(
    "(face_?)?b?box|(face|(face_?)?(b?box|rect))_?"
    "([xywh]|[xy][0-9]|[xy]_?(min|max)|left|top|right|bottom|width|height)"
)
_FIRST_CORNERS = (("left", "top"), ("x", "y"), ("xmin", "ymin"), ("x_min", "y_min"))
# How others call a point's v; theirs may count otherwise, e.g. 1 for a visible point.
_FLAGS = "(v|vis|visible|visibility|occluded)"


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a table's points and box, by their places.

    Attributes:
        names: The points' names; [] where they have numbers only.
        points: (n, 3) the columns of x, y and v; -1 where there is none.
        box: The four columns of the box, or [].
        sized: Whether the box's last two are its width and height, not its right and bottom.
    """

    names: list[str]
    points: np.ndarray
    box: list[int]
    sized: bool


def find_columns(path: Path, columns: Sequence[str]) -> Columns:
    """Returns what the columns of a header are; the first is the image's.

    Raises:
        ValueError: If they are of no form, or of two, or a box's have other names than ours.
    """
    at = {name: place for place, name in enumerate(columns) if place > 0}
    box = next((names for names in (_CORNERS, _SIZED) if set(names) <= set(at)), ())
    _check_boxes(path, [name for name in at if name not in box])
    names, points = _points(path, at)
    return Columns(names, points, [at[name] for name in box], box == _SIZED)


def _check_boxes(path: Path, others: Sequence[str]) -> None:
    """Checks that no box is among the columns that are not read as one."""
    lower = {name.lower(): name for name in others}
    found = [name for key, name in lower.items() if _OF_A_BOX.fullmatch(key)]
    found += [lower[key] for pair in _FIRST_CORNERS if set(pair) <= set(lower) for key in pair]
    if found:
        message = (
            f"the columns of a box must be {', '.join(_CORNERS)}, or {', '.join(_SIZED)}; rename "
            f"them so, or leave them out. Received: {found}"
        )
        raise Problem("malformed-line", f"{path}:1", message).error()


def _points(path: Path, at: Mapping[str, int]) -> tuple[list[str], np.ndarray]:
    """Returns the points' names ([] where they have numbers only) and their columns."""
    bare = [name for name in at if re.fullmatch("[0-9]+", name)]
    ends = [name[1:] for name in at if re.fullmatch("x_?[0-9]+", name)]
    ends.sort(key=lambda end: int(end.strip("_")))
    names = [name[:-2] for name in at if name.endswith("_x") and name[:-2] + "_y" in at]
    firsts = [*bare[:1], *(f"x{end}" for end in ends[:1]), *(f"{name}_x" for name in names[:1])]
    if len(firsts) > 1:
        message = (
            f"the points' columns must be of one form: {_FORMS}; a box's are "
            f"{', '.join(_CORNERS)}. Rename the others, or leave them out. Received: {firsts}"
        )
        raise Problem("malformed-line", f"{path}:1", message).error()
    if bare:
        order, wanted = bare, [str(i) for i in range(len(bare) + len(bare) % 2)]
        triples = [(*wanted[i : i + 2], "") for i in range(0, len(wanted), 2)]
    elif ends:
        order = [end.strip("_") for end in ends]
        wanted = [str(int(order[0] != "0") + i) for i in range(len(ends))]
        flagged = any(f"v{end}" in at for end in ends)
        triples = [(f"x{end}", f"y{end}", f"v{end}" if flagged else "") for end in ends]
    else:
        order = wanted = names
        flagged = any(f"{name}_v" in at for name in names)
        triples = [(f"{name}_x", f"{name}_y", f"{name}_v" if flagged else "") for name in names]
        _check_named(path, at, names, flagged)
    missing = [name for triple in triples for name in triple if name and name not in at]
    if order != wanted or missing or not triples:
        message = (
            f"the columns after the image's must be {_FORMS}. Received: {list(at)[:6]}, none of "
            f"{missing[:6]}"
        )
        raise Problem("malformed-line", f"{path}:1", message).error()
    _check_flags(path, at, {name for triple in triples for name in triple}, names)
    return names, np.array([[at[x], at[y], at.get(v, -1)] for x, y, v in triples])


def _check_named(path: Path, at: Mapping[str, int], names: Sequence[str], flagged: bool) -> None:
    """Checks that the columns of each named point are neighbours, and none is left over."""
    endings = ("_x", "_y", "_v")[: 2 + flagged]
    for name in names:
        found = [at.get(f"{name}{ending}") for ending in endings]
        first = at[f"{name}_x"]
        if found != list(range(first, first + len(endings))):
            message = (
                f"the columns {', '.join(name + ending for ending in endings)} must be neighbours "
                f"in this order. Received: {list(at)[first - 1 :][:3]}"
            )
            raise Problem("malformed-line", f"{path}:1", message).error()
    alone = [n for n in at if n.endswith(("_x", "_y", "_v")) and n[:-2] not in names]
    if alone:
        message = f"every point needs its x and its y. Received: {alone} alone"
        raise Problem("malformed-line", f"{path}:1", message).error()


def _check_flags(
    path: Path, at: Mapping[str, int], used: Collection[str], names: Sequence[str]
) -> None:
    """Checks that no column tells a point's visibility by another name than ours."""
    point = "|".join(map(re.escape, names)) or "(?!)"
    flag = re.compile(f"(({point})_{_FLAGS}|{_FLAGS}_?[0-9]+)", re.IGNORECASE)
    found = [name for name in at if name not in used and flag.fullmatch(name)]
    if found:
        message = (
            "a point's visibility must be in the column NAME_v (or v0, v1, … beside x0, y0, x1, "
            "y1, …): 0 for not annotated, 1 for hidden, 2 for visible; rename these columns, or "
            f"leave them out. Received: {found[:6]}"
        )
        raise Problem("malformed-line", f"{path}:1", message).error()
