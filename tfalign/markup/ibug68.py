"""The 68 points of 300-W (iBUG, Multi-PIE markup) and the 51 inner ones.

Source: Sagonas et al., "300 Faces in-the-Wild Challenge", ICCV-W 2013. The file numbers points
from 1; indices here are 0-based.
"""

from __future__ import annotations

from tfalign.markup.scheme import LandmarkScheme, chain, loop, numbered

_CONTOUR = (
    *numbered("right_contour", range(8)),  # 0-7, from the ear down
    "chin",  # 8
    *numbered("left_contour", range(7, -1, -1)),  # 9-16, up to the ear
)
_INNER = (
    *numbered("right_brow", range(5)),  # 17-21, outer to inner
    *numbered("left_brow", range(4, -1, -1)),  # 22-26, inner to outer
    *numbered("nose_bridge", range(4)),  # 27-30, the last is the tip
    *numbered("right_nose_base", range(2)),  # 31, 32
    "nose_base",  # 33
    *numbered("left_nose_base", (1, 0)),  # 34, 35
    "right_eye_outer",  # 36
    *numbered("right_eye_top", range(2)),
    "right_eye_inner",  # 39
    *numbered("right_eye_bottom", (1, 0)),
    "left_eye_inner",  # 42
    *numbered("left_eye_top", (1, 0)),
    "left_eye_outer",  # 45
    *numbered("left_eye_bottom", range(2)),
    "right_mouth_corner",  # 48
    *numbered("right_upper_lip_top", range(2)),
    "upper_lip_top",  # 51
    *numbered("left_upper_lip_top", (1, 0)),
    "left_mouth_corner",  # 54
    *numbered("left_lower_lip_bottom", range(2)),
    "lower_lip_bottom",  # 57
    *numbered("right_lower_lip_bottom", (1, 0)),
    "right_mouth_inner_corner",  # 60
    "right_upper_lip_bottom",
    "upper_lip_bottom",  # 62
    "left_upper_lip_bottom",
    "left_mouth_inner_corner",  # 64
    "left_lower_lip_top",
    "lower_lip_top",  # 66
    "right_lower_lip_top",
)

# Ranges of the inner points, numbered from the first inner point on.
_INNER_PARTS = {
    "right_brow": range(5),
    "left_brow": range(5, 10),
    "nose": range(10, 19),
    "right_eye": range(19, 25),
    "left_eye": range(25, 31),
    "mouth": range(31, 51),
}
_INNER_EDGES = (
    *chain(range(5)),
    *chain(range(5, 10)),
    *chain(range(10, 14)),
    *chain(range(14, 19)),
    *loop(range(19, 25)),
    *loop(range(25, 31)),
    *loop(range(31, 43)),
    *loop(range(43, 51)),
)


def _scheme(name: str, contour: tuple[str, ...]) -> LandmarkScheme:
    """Builds the scheme of the inner points after ``contour`` (which may be empty)."""
    start = len(contour)
    parts = {part: tuple(i + start for i in indices) for part, indices in _INNER_PARTS.items()}
    if contour:
        parts = {"contour": tuple(range(start)), **parts}
    return LandmarkScheme(
        name=name,
        points=(*contour, *_INNER),
        parts=parts,
        eye_corners=(start + 19, start + 28),
        pupils=(parts["right_eye"], parts["left_eye"]),
        edges=(
            *(chain(range(start)) if contour else ()),
            *((i + start, j + start) for i, j in _INNER_EDGES),
        ),
    )


IBUG68 = _scheme("ibug68", _CONTOUR)
IBUG51 = _scheme("ibug51", ())
