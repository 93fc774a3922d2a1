"""The canonical face: the 98 WFLW points and the control points that give a head its depth.

Head space: origin midway between the outer eye corners, x to the right of the image, y down, z
towards the camera; the unit is the distance between the outer eye corners. The same (x, y) plane,
extended outwards around the head, is the texture plane ("layout").

The numbers are proportions: a symmetric average face, hand-set and then adjusted until the average
of rendered shapes agreed with the average of a set of real 68-point annotations.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

# One side only (x <= 0, the left of the image); the other side is the mirror image.
# Contour, every second WFLW point from the ear (0) to the chin (16): x, y, z.
_CONTOUR = (
    (-0.850, 0.000, -0.66), (-0.842, 0.220, -0.60), (-0.812, 0.438, -0.53), (-0.758, 0.640, -0.46),
    (-0.660, 0.832, -0.37), (-0.524, 0.985, -0.25), (-0.364, 1.108, -0.11), (-0.186, 1.192, 0.01),
    (0.000, 1.216, 0.06),
)  # fmt: skip
# Brow, WFLW 33-41: upper edge from the outer to the inner end, lower edge back.
_BROW = (
    (-0.678, -0.134, -0.06), (-0.568, -0.222, 0.06), (-0.420, -0.248, 0.16), (-0.268, -0.228, 0.23),
    (-0.130, -0.174, 0.275), (-0.136, -0.104, 0.245), (-0.270, -0.152, 0.205),
    (-0.412, -0.174, 0.14), (-0.556, -0.164, 0.05),
)  # fmt: skip
# Nose bridge, WFLW 51-54, and the left half of the nose bottom, 55-57.
_BRIDGE = ((0.0, -0.028, 0.245), (0.0, 0.108, 0.330), (0.0, 0.245, 0.425), (0.0, 0.386, 0.515))
_NOSE_BOTTOM = ((-0.156, 0.490, 0.270), (-0.080, 0.512, 0.335), (0.0, 0.528, 0.355))
# Eye, WFLW 60-67: outer corner, upper lid, inner corner, lower lid.
_EYE = (
    (-0.500, 0.000, 0.000), (-0.412, -0.062, 0.055), (-0.356, -0.071, 0.072),
    (-0.298, -0.058, 0.076), (-0.208, 0.020, 0.070), (-0.300, 0.046, 0.066),
    (-0.356, 0.053, 0.064), (-0.414, 0.042, 0.048),
)  # fmt: skip
# Lips, left half: outer upper 76-79, outer lower 87-85, inner upper 88-90, inner lower 95-94.
_LIP_OUTER_UPPER = (
    (-0.286, 0.726, 0.08), (-0.186, 0.690, 0.22), (-0.076, 0.668, 0.30), (0, 0.684, 0.315),
)  # fmt: skip
_LIP_OUTER_LOWER = ((-0.186, 0.808, 0.19), (-0.085, 0.846, 0.255), (0, 0.853, 0.265))
_LIP_INNER_UPPER = ((-0.246, 0.732, 0.10), (-0.080, 0.726, 0.295), (0, 0.732, 0.31))
_LIP_INNER_LOWER = ((-0.082, 0.760, 0.285), (0, 0.768, 0.295))

EYE_CENTER = (-0.356, -0.004, -0.080)
EYE_RADIUS = 0.145
IRIS_RADIUS = 0.069

# The hairline side of the face's outline, from the ear (exclusive) to the middle of the forehead.
_FOREHEAD_ARC = (
    (-0.856, -0.20, -0.63), (-0.845, -0.45, -0.58), (-0.800, -0.70, -0.50), (-0.680, -0.93, -0.40),
    (-0.500, -1.10, -0.27), (-0.260, -1.20, -0.16), (0.0, -1.23, -0.12),
)  # fmt: skip

# Further control points of the depth of the face.
_RELIEF = (
    (0, -0.35, 0.31), (0, -0.60, 0.32), (0, -0.85, 0.24), (0, -1.05, 0.08), (0, -0.14, 0.28),
    (-0.30, -0.45, 0.27), (-0.30, -0.75, 0.24), (-0.30, -1.00, 0.05), (-0.55, -0.45, 0.10),
    (-0.55, -0.75, 0.04), (-0.50, -0.95, -0.08), (-0.74, -0.35, -0.26), (-0.72, -0.60, -0.31),
    (-0.70, -0.06, -0.24), (-0.62, 0.04, -0.12), (-0.58, -0.06, -0.05),
    (-0.50, 0.20, 0.11), (-0.61, 0.26, 0.00), (-0.40, 0.40, 0.18), (-0.30, 0.27, 0.16),
    (-0.50, 0.56, 0.06), (-0.66, 0.50, -0.18), (-0.73, 0.25, -0.29), (-0.56, 0.76, -0.11),
    (-0.40, 0.92, 0.03), (-0.32, 0.58, 0.19), (-0.22, 0.58, 0.25), (-0.10, 0.60, 0.31),
    (0, 0.61, 0.325), (-0.25, 1.04, 0.10), (-0.10, 0.95, 0.20), (0, 0.95, 0.215),
    (0, 1.07, 0.25), (-0.12, 1.08, 0.21), (0, 1.16, 0.18), (-0.36, 0.75, 0.10),
    (-0.30, 0.14, 0.105), (-0.42, 0.12, 0.085), (-0.19, 0.13, 0.12), (-0.52, 0.07, 0.01),
    (-0.36, -0.12, 0.115), (-0.24, -0.08, 0.11), (-0.50, -0.10, 0.04),
    (-0.105, -0.02, 0.15), (-0.12, 0.10, 0.17), (-0.14, 0.22, 0.20), (-0.055, 0.10, 0.29),
    (-0.065, 0.24, 0.365), (-0.085, 0.37, 0.43), (-0.150, 0.41, 0.345), (-0.205, 0.42, 0.215),
    (-0.21, 0.50, 0.225), (0, 0.45, 0.475), (-0.065, 0.46, 0.42), (0, 0.34, 0.49),
)  # fmt: skip


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Rises from 0 at ``low`` to 1 at ``high`` with zero slope at both ends."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mirror(points: np.ndarray) -> np.ndarray:
    """Reflects points, (..., 3) in head space, in the plane x = 0."""
    return points * np.array([-1.0, 1.0, 1.0])


def _catmull_rom(points: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Interpolates an open polyline (n, d) at fractional vertex numbers (m,)."""
    weights = spline_weights(len(points), parameters, closed=False)
    return weights @ points


def spline_weights(n: int, parameters: np.ndarray, closed: bool) -> np.ndarray:
    """Gives the weights of a Catmull-Rom spline through n points.

    Args:
        n: Number of points that the curve passes through.
        parameters: (m,) positions along the curve; the integer i is point i.
        closed: Whether point n - 1 is joined to point 0.

    Returns:
        (m, n) weights; ``weights @ points`` are the points of the curve.
    """
    base = np.floor(parameters).astype(int)
    if not closed:
        base = np.clip(base, 0, n - 2)
    t = parameters - base
    basis = (
        -0.5 * t + t**2 - 0.5 * t**3,
        1 - 2.5 * t**2 + 1.5 * t**3,
        0.5 * t + 2 * t**2 - 1.5 * t**3,
        -0.5 * t**2 + 0.5 * t**3,
    )
    weights = np.zeros((len(parameters), n))
    rows = np.arange(len(parameters))
    for offset, value in enumerate(basis, start=-1):
        index = base + offset
        if closed:
            np.add.at(weights, (rows, index % n), value)
            continue
        # Beyond the ends the curve is continued in a straight line: p(-1) = 2 p(0) - p(1).
        low, high = index < 0, index > n - 1
        np.add.at(weights, (rows[~low & ~high], index[~low & ~high]), value[~low & ~high])
        np.add.at(weights, (rows[low], 0), 2 * value[low])
        np.add.at(weights, (rows[low], 1), -value[low])
        np.add.at(weights, (rows[high], n - 1), 2 * value[high])
        np.add.at(weights, (rows[high], n - 2), -value[high])
    return weights


@lru_cache(maxsize=1)
def landmarks() -> np.ndarray:
    """Gives the canonical 98 points in WFLW order, (98, 3) float64 in head space."""
    half = _catmull_rom(np.array(_CONTOUR), np.arange(17) / 2)
    brow, eye = np.array(_BROW), np.array(_EYE)
    bottom = np.array(_NOSE_BOTTOM)
    upper, lower = np.array(_LIP_OUTER_UPPER), np.array(_LIP_OUTER_LOWER)
    inner_upper, inner_lower = np.array(_LIP_INNER_UPPER), np.array(_LIP_INNER_LOWER)
    iris = np.array([EYE_CENTER]) + [0, 0, EYE_RADIUS]
    return np.concatenate([
        half, mirror(half[-2::-1]),                                     # 0-32
        brow, mirror(brow[[4, 3, 2, 1, 0, 8, 7, 6, 5]]),                # 33-41, 42-50
        np.array(_BRIDGE), bottom, mirror(bottom[-2::-1]),              # 51-54, 55-59
        eye, mirror(eye[[4, 3, 2, 1, 0, 7, 6, 5]]),                     # 60-67, 68-75
        upper, mirror(upper[-2::-1]), mirror(lower[:-1]), lower[::-1],  # 76-82, 83-87
        inner_upper, mirror(inner_upper[-2::-1]), mirror(inner_lower[:-1]), inner_lower[::-1],
        iris, mirror(iris),                                             # 96, 97
    ])  # fmt: skip


@lru_cache(maxsize=1)
def relief() -> np.ndarray:
    """Gives the control points of the face's depth that are not landmarks, (m, 3)."""
    points = np.array(_RELIEF, float)
    return np.concatenate([points, mirror(points[points[:, 0] < 0])])


@lru_cache(maxsize=1)
def outline() -> np.ndarray:
    """Gives the face's closed outline: contour 0-32, then over the forehead, (46, 3)."""
    arc = np.array(_FOREHEAD_ARC)
    return np.concatenate([landmarks()[:33], mirror(arc), arc[-2::-1]])
