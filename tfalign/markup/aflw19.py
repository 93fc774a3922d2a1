"""The 19 points of the AFLW protocols: the 21 of AFLW without the ears.

Source: Köstinger et al., ICCV-W 2011 (21 points); Zhu et al., "Unconstrained Face Alignment via
Cascaded Compositional Learning", CVPR 2016 (the 19-point release).
"""

from __future__ import annotations

from tfalign.markup.scheme import LandmarkScheme, chain

AFLW19 = LandmarkScheme(
    name="aflw19",
    points=(
        "right_brow_outer",  # 0
        "right_brow_center",
        "right_brow_inner",
        "left_brow_inner",  # 3
        "left_brow_center",
        "left_brow_outer",
        "right_eye_outer",  # 6
        "right_eye_center",
        "right_eye_inner",
        "left_eye_inner",  # 9
        "left_eye_center",
        "left_eye_outer",
        "right_nose_wing",  # 12
        "nose_tip",
        "left_nose_wing",
        "right_mouth_corner",  # 15
        "mouth_center",
        "left_mouth_corner",
        "chin",  # 18
    ),
    parts={
        "contour": (18,),
        "right_brow": (0, 1, 2),
        "left_brow": (3, 4, 5),
        "right_eye": (6, 7, 8),
        "left_eye": (9, 10, 11),
        "nose": (12, 13, 14),
        "mouth": (15, 16, 17),
    },
    eye_corners=(6, 11),
    pupils=((7,), (10,)),
    edges=(
        *chain((0, 1, 2)),
        *chain((3, 4, 5)),
        *chain((6, 7, 8)),
        *chain((9, 10, 11)),
        *chain((12, 13, 14)),
        *chain((15, 16, 17)),
    ),
)
