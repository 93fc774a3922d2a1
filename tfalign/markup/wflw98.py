"""The 98 points of WFLW (Wu et al., "Look at Boundary", CVPR 2018)."""

from __future__ import annotations

from tfalign.markup.scheme import LandmarkScheme, chain, loop, numbered

_CONTOUR = (
    *numbered("right_contour", range(16)),  # 0-15, from the ear down
    "chin",  # 16
    *numbered("left_contour", range(15, -1, -1)),  # 17-32, up to the ear
)
_BROWS = (
    *numbered("right_brow_upper", range(5)),  # 33-37, outer to inner
    *numbered("right_brow_lower", range(3, -1, -1)),  # 38-41, inner to outer
    *numbered("left_brow_upper", range(4, -1, -1)),  # 42-46, inner to outer
    *numbered("left_brow_lower", range(4)),  # 47-50, outer to inner
)
_NOSE = (
    *numbered("nose_bridge", range(4)),  # 51-54, the last is the tip
    *numbered("right_nose_base", range(2)),  # 55, 56
    "nose_base",  # 57
    *numbered("left_nose_base", (1, 0)),  # 58, 59
)
_EYES = (
    "right_eye_outer",  # 60
    *numbered("right_eye_top", range(3)),
    "right_eye_inner",  # 64
    *numbered("right_eye_bottom", (2, 1, 0)),
    "left_eye_inner",  # 68
    *numbered("left_eye_top", (2, 1, 0)),
    "left_eye_outer",  # 72
    *numbered("left_eye_bottom", range(3)),
)
_MOUTH = (
    "right_mouth_corner",  # 76
    *numbered("right_upper_lip_top", range(2)),
    "upper_lip_top",  # 79
    *numbered("left_upper_lip_top", (1, 0)),
    "left_mouth_corner",  # 82
    *numbered("left_lower_lip_bottom", range(2)),
    "lower_lip_bottom",  # 85
    *numbered("right_lower_lip_bottom", (1, 0)),
    "right_mouth_inner_corner",  # 88
    "right_upper_lip_bottom",
    "upper_lip_bottom",  # 90
    "left_upper_lip_bottom",
    "left_mouth_inner_corner",  # 92
    "left_lower_lip_top",
    "lower_lip_top",  # 94
    "right_lower_lip_top",
)
_PUPILS = ("right_pupil", "left_pupil")  # 96, 97

WFLW98 = LandmarkScheme(
    name="wflw98",
    points=(*_CONTOUR, *_BROWS, *_NOSE, *_EYES, *_MOUTH, *_PUPILS),
    parts={
        "contour": tuple(range(33)),
        "right_brow": tuple(range(33, 42)),
        "left_brow": tuple(range(42, 51)),
        "nose": tuple(range(51, 60)),
        "right_eye": (*range(60, 68), 96),
        "left_eye": (*range(68, 76), 97),
        "mouth": tuple(range(76, 96)),
    },
    eye_corners=(60, 72),
    pupils=((96,), (97,)),
    edges=(
        *chain(range(33)),
        *loop(range(33, 42)),
        *loop(range(42, 51)),
        *chain(range(51, 55)),
        *chain(range(55, 60)),
        *loop(range(60, 68)),
        *loop(range(68, 76)),
        *loop(range(76, 88)),
        *loop(range(88, 96)),
    ),
)
