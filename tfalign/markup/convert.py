"""Conversions from one scheme to another, for those pairs where the points exist."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from keras import ops

from tfalign.markup.cofw29 import POINTS_29
from tfalign.markup.ibug68 import IBUG68
from tfalign.markup.registry import SCHEMES, get
from tfalign.markup.scheme import LandmarkScheme
from tfalign.markup.wflw98 import WFLW98

Sources = tuple[tuple[int, ...], ...]
"""For each target point the source indices whose mean it is; empty where it is undefined."""


def _from_names(
    source: LandmarkScheme, recipe: Mapping[str, str], target: tuple[str, ...]
) -> Sources:
    """Resolves a recipe ``target name: "source name + source name"``; missing means undefined."""
    return tuple(
        tuple(source.index(name) for name in recipe[point].split(" + ")) if point in recipe else ()
        for point in target
    )


def _both_sides(recipe: Mapping[str, str]) -> dict[str, str]:
    """Adds the left twin of each entry that is written for the right side only."""
    left = {
        key.replace("right_", "left_"): value.replace("right_", "left_")
        for key, value in recipe.items()
    }
    return {**recipe, **left}


_29_FROM_98 = _both_sides(
    {
        "right_brow_outer": "right_brow_upper_0",
        "right_brow_inner": "right_brow_upper_4 + right_brow_lower_3",
        "right_brow_top": "right_brow_upper_2",
        "right_brow_bottom": "right_brow_lower_1 + right_brow_lower_2",
        "right_eye_outer": "right_eye_outer",
        "right_eye_inner": "right_eye_inner",
        "right_eye_top": "right_eye_top_1",
        "right_eye_bottom": "right_eye_bottom_1",
        "right_pupil": "right_pupil",
        "right_nose_wing": "right_nose_base_0",
        "nose_tip": "nose_bridge_3",
        "nose_base": "nose_base",
        "right_mouth_corner": "right_mouth_corner",
        "upper_lip_top": "upper_lip_top",
        "upper_lip_bottom": "upper_lip_bottom",
        "lower_lip_top": "lower_lip_top",
        "lower_lip_bottom": "lower_lip_bottom",
        "chin": "chin",
    }
)

# The 68 points draw a brow as one line, so its lower edge does not exist; the pupil is the centre
# of the eye's six points, as the inter-pupil normaliser has it.
_29_FROM_68 = _both_sides(
    {
        "right_brow_outer": "right_brow_0",
        "right_brow_inner": "right_brow_4",
        "right_brow_top": "right_brow_2",
        "right_eye_outer": "right_eye_outer",
        "right_eye_inner": "right_eye_inner",
        "right_eye_top": "right_eye_top_0 + right_eye_top_1",
        "right_eye_bottom": "right_eye_bottom_0 + right_eye_bottom_1",
        "right_pupil": " + ".join(IBUG68.points[i] for i in IBUG68.parts["right_eye"]),
        "right_nose_wing": "right_nose_base_0",
        "nose_tip": "nose_bridge_3",
        "nose_base": "nose_base",
        "right_mouth_corner": "right_mouth_corner",
        "upper_lip_top": "upper_lip_top",
        "upper_lip_bottom": "upper_lip_bottom",
        "lower_lip_top": "lower_lip_top",
        "lower_lip_bottom": "lower_lip_bottom",
        "chin": "chin",
    }
)

# Every second contour point; the brows' upper edges; of each lid the two outer of three points.
_68_FROM_98 = (
    *range(0, 33, 2),
    *range(33, 38),
    *range(42, 47),
    *range(51, 60),
    *(60, 61, 63, 64, 65, 67),
    *(68, 69, 71, 72, 73, 75),
    *range(76, 96),
)

_TABLE: dict[tuple[str, str], Sources] = {
    ("wflw98", "ibug68"): tuple((i,) for i in _68_FROM_98),
    ("wflw98", "ibug51"): tuple((i,) for i in _68_FROM_98[17:]),
    ("wflw98", "cofw29"): _from_names(WFLW98, _29_FROM_98, POINTS_29),
    ("wflw98", "lfpw29"): _from_names(WFLW98, _29_FROM_98, POINTS_29),
    ("ibug68", "ibug51"): tuple((i,) for i in range(17, 68)),
    ("ibug68", "cofw29"): _from_names(IBUG68, _29_FROM_68, POINTS_29),
    ("ibug68", "lfpw29"): _from_names(IBUG68, _29_FROM_68, POINTS_29),
}


@dataclass(frozen=True)
class Conversion:
    """How each point of ``target`` is made from points of ``source``.

    Attributes:
        source, target: The two schemes.
        sources: For each target point the source indices whose mean it is; empty where the
            source has no such point.
    """

    source: LandmarkScheme
    target: LandmarkScheme
    sources: Sources

    @property
    def undefined(self) -> tuple[str, ...]:
        """Names of the target points that the source does not have."""
        return tuple(
            point for point, used in zip(self.target.points, self.sources, strict=True) if not used
        )


def conversion(source: str | LandmarkScheme, target: str | LandmarkScheme) -> Conversion:
    """Returns how ``target`` is made from ``source``.

    Pairs of the library's schemes have a table, also the other way round where a point is one
    point. Points of other pairs agree where their names do; numbered points
    (``right_contour_3``) only where both schemes have equally many of them.

    Args:
        source, target: As ``markup.get`` takes them.

    Raises:
        ValueError: If no point of the target is made from any of the source.
    """
    first, second = get(source), get(target)
    if first.points == second.points:
        return Conversion(first, second, tuple((i,) for i in range(first.num_points)))
    known = first == SCHEMES.get(first.name) and second == SCHEMES.get(second.name)
    if known and (first.name, second.name) in _TABLE:
        return Conversion(first, second, _TABLE[first.name, second.name])
    # The mean of several points cannot be taken apart: only the single ones lead back.
    back = _TABLE.get((second.name, first.name), ()) if known else ()
    inverse = {used[0]: place for place, used in enumerate(back) if len(used) == 1}
    same = _same_names(first, second)
    sources: list[tuple[int, ...]] = []
    for place, point in enumerate(second.points):
        index = inverse.get(place, first.points.index(point) if point in same else None)
        sources.append(() if index is None else (index,))
    if not any(sources):
        raise ValueError(
            "A conversion is one of the library's own "
            f"({', '.join(f'{a} -> {b}' for a, b in _TABLE)}) or joins points of equal names, of "
            f"which there are none. Received: source={first.name!r}, target={second.name!r}"
        )
    return Conversion(first, second, tuple(sources))


def _same_names(first: LandmarkScheme, second: LandmarkScheme) -> set[str]:
    """Returns the names that mean the same place in both schemes.

    A numbered point (``chin_3``) means a place only among its fellows: the third of eight is not
    the third of sixteen, so that numbers count where both schemes number alike. A bare number is
    no name.
    """

    def families(scheme: LandmarkScheme) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for point in scheme.points:
            found.setdefault(point.rstrip("0123456789"), set()).add(point)
        return found

    one, two = families(first), families(second)
    alike = [family for family in one if family.strip("_- ") and one[family] == two.get(family)]
    return {point for family in alike for point in one[family]}


def convert(
    points: Any,
    source: str | LandmarkScheme,
    target: str | LandmarkScheme,
    undefined: Literal["raise", "nan"] = "raise",
) -> Any:
    """Converts shapes from one scheme to another; a target point is a source point or the mean
    of some.

    98 → 68 keeps every second contour point, the upper edges of the brows and, of the three
    points of each eyelid, the outer two. This is the mapping in general use; the lids' points
    divide the lid in quarters there and in thirds in 300-W, so they differ by a little.

    Args:
        points: (…, n, 2), any coordinate space. NumPy in gives NumPy out, a tensor of the back
            end gives a tensor.
        source: Scheme of ``points``.
        target: Scheme of the result.
        undefined: What to do where the source lacks a point (the lower edges of the brows in
            68 → 29): ``"raise"``, or fill it with ``"nan"``.

    Returns:
        (…, m, 2) in the same space and floating type. Whole numbers become floating where a mean is
        taken or a point is undefined.

    Raises:
        ValueError: If the conversion is not defined, a target point is undefined and
            ``undefined="raise"``, or ``points`` has another number of points than ``source``.
    """
    plan = conversion(source, target)
    if undefined not in ("raise", "nan"):
        raise ValueError(f"undefined must be 'raise' or 'nan'. Received: undefined={undefined!r}")
    if plan.undefined and undefined == "raise":
        raise ValueError(
            f"{plan.source.name} has no points for {', '.join(plan.undefined)} of "
            f"{plan.target.name}; undefined='nan' fills them with NaN. "
            f"Received: source={plan.source.name!r}, target={plan.target.name!r}"
        )
    if isinstance(points, (list, tuple)):
        points = np.asarray(points)
    shape = tuple(points.shape)
    if len(shape) < 2 or shape[-2:] != (plan.source.num_points, 2):
        raise ValueError(
            f"points must be (…, {plan.source.num_points}, 2) for the scheme "
            f"{plan.source.name!r}. Received: points of shape {shape}"
        )
    # Repeating indices up to a common length makes one gather and one mean of all the means, and
    # unlike a product with a matrix of weights it never mixes a NaN into points that do not use it.
    width = math.lcm(*(max(len(used), 1) for used in plan.sources))
    table = np.array([((used or (0,)) * width)[:width] for used in plan.sources], "int32")
    missing = np.array([not used for used in plan.sources])[:, None]
    if isinstance(points, np.ndarray):
        gathered = np.take(points, table, axis=-2)
        result = gathered[..., 0, :] if width == 1 else gathered.mean(axis=-2)
        if not missing.any():
            return result
        # Whole numbers have no NaN: they become float64.
        floating = np.issubdtype(result.dtype, np.floating)
        filled = np.where(missing, np.nan, result)
        return filled.astype(result.dtype) if floating else filled
    gathered = ops.take(points, table, axis=-2)
    result = gathered[..., 0, :] if width == 1 else ops.mean(gathered, axis=-2)
    return ops.where(missing, float("nan"), result) if missing.any() else result
