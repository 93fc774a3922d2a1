"""The 29 points of COFW (Burgos-Artizzu, Perona, Dollár, ICCV 2013), in the order of its files.

The file's ``phis`` row holds 29 x, 29 y and 29 occlusion flags in this order.
"""

from __future__ import annotations

from tfalign.markup.scheme import LandmarkScheme, chain, loop

POINTS_29 = (
    "right_brow_outer",  # 0
    "left_brow_outer",
    "right_brow_inner",
    "left_brow_inner",
    "right_brow_top",  # 4
    "right_brow_bottom",
    "left_brow_top",
    "left_brow_bottom",
    "right_eye_outer",  # 8
    "left_eye_outer",
    "right_eye_inner",
    "left_eye_inner",
    "right_eye_top",  # 12
    "right_eye_bottom",
    "left_eye_top",
    "left_eye_bottom",
    "right_pupil",  # 16
    "left_pupil",
    "right_nose_wing",  # 18
    "left_nose_wing",
    "nose_tip",
    "nose_base",
    "right_mouth_corner",  # 22
    "left_mouth_corner",
    "upper_lip_top",
    "upper_lip_bottom",
    "lower_lip_top",
    "lower_lip_bottom",
    "chin",  # 28
)
"""The order that LFPW introduced and COFW took over."""


def scheme_29(name: str) -> LandmarkScheme:
    """Builds a scheme of the 29 points under the name of the data set that it is read from."""
    return LandmarkScheme(
        name=name,
        points=POINTS_29,
        parts={
            "contour": (28,),
            "right_brow": (0, 2, 4, 5),
            "left_brow": (1, 3, 6, 7),
            "right_eye": (8, 10, 12, 13, 16),
            "left_eye": (9, 11, 14, 15, 17),
            "nose": (18, 19, 20, 21),
            "mouth": tuple(range(22, 28)),
        },
        eye_corners=(8, 9),
        pupils=((16,), (17,)),
        edges=(
            *loop((0, 4, 2, 5)),
            *loop((3, 6, 1, 7)),
            *loop((8, 12, 10, 13)),
            *loop((11, 14, 9, 15)),
            *chain((18, 21, 19)),
            *chain((20, 21)),
            *loop((22, 24, 23, 27)),
            *loop((22, 25, 23, 26)),
        ),
    )


COFW29 = scheme_29("cofw29")
