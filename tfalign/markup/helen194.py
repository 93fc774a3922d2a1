"""The 194 points of HELEN (Le et al., "Interactive Facial Feature Localization", ECCV 2012).

Groups, 0-based: contour 0-40, nose 41-57, outer lips 58-85, inner lips 86-113, left eye 114-133,
right eye 134-153, left brow 154-173, right brow 174-193 (left and right are the subject's).

Reading: the set documents the groups only by pictures. Contour and nose run from the image's left
to its right. The lips are closed curves of 28 points that start at the mouth corner on the image's
left and cross the upper edge first, so the other corner is 14 points on. Eyes and brows are closed
curves of 20 points that start at the inner end and cross the upper edge first, so the outer end is
10 points on; both sides are numbered alike. Group borders, starting points and the mirror
partners of contour, nose, eyes and brows agree with three public programs that use the set.
"""

from __future__ import annotations

from tfalign.markup.scheme import LandmarkScheme, chain, loop, numbered


def _lips(edge: str, upper: str, lower: str) -> tuple[str, ...]:
    """Names one closed lip curve: corner, 13 upper points, corner, 13 lower points."""
    return (
        f"right_mouth_{edge}corner",
        *numbered(f"right_{upper}", range(6)),
        upper,
        *numbered(f"left_{upper}", range(5, -1, -1)),
        f"left_mouth_{edge}corner",
        *numbered(f"left_{lower}", range(6)),
        lower,
        *numbered(f"right_{lower}", range(5, -1, -1)),
    )


def _eye(side: str) -> tuple[str, ...]:
    """Names one closed eye curve from the inner corner over the upper lid."""
    return (
        f"{side}_eye_inner",
        *numbered(f"{side}_eye_top", range(9)),
        f"{side}_eye_outer",
        *numbered(f"{side}_eye_bottom", range(9)),
    )


HELEN194 = LandmarkScheme(
    name="helen194",
    points=(
        *numbered("right_contour", range(20)),  # 0-19, from the ear down
        "chin",  # 20
        *numbered("left_contour", range(19, -1, -1)),  # 21-40, up to the ear
        *numbered("right_nose", range(8)),  # 41-48, from the bridge down
        "nose_base",  # 49
        *numbered("left_nose", range(7, -1, -1)),  # 50-57, up to the bridge
        *_lips("", "upper_lip_top", "lower_lip_bottom"),  # 58-85
        *_lips("inner_", "upper_lip_bottom", "lower_lip_top"),  # 86-113
        *_eye("left"),  # 114-133
        *_eye("right"),  # 134-153
        *numbered("left_brow", range(20)),  # 154-173
        *numbered("right_brow", range(20)),  # 174-193
    ),
    parts={
        "contour": tuple(range(41)),
        "nose": tuple(range(41, 58)),
        "mouth": tuple(range(58, 114)),
        "left_eye": tuple(range(114, 134)),
        "right_eye": tuple(range(134, 154)),
        "left_brow": tuple(range(154, 174)),
        "right_brow": tuple(range(174, 194)),
    },
    eye_corners=(144, 124),
    pupils=(tuple(range(134, 154)), tuple(range(114, 134))),
    edges=(
        *chain(range(41)),
        *chain(range(41, 58)),
        *loop(range(58, 86)),
        *loop(range(86, 114)),
        *loop(range(114, 134)),
        *loop(range(134, 154)),
        *loop(range(154, 174)),
        *loop(range(174, 194)),
    ),
)
