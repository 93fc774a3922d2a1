"""How a face moves: movements of landmarks, continued over the head.

A coefficient of 1 is a full movement; lengths are in outer-eye-corner distances.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tfalign.data.synthetic.layout import smoothstep
from tfalign.data.synthetic.mesh import head_mesh
from tfalign.data.synthetic.spread import Displacement, spreader
from tfalign.markup import WFLW98

_UPPER_LID, _LOWER_LID = ((61, 62, 63), (69, 70, 71)), ((67, 66, 65), (75, 74, 73))


def both_sides(left: Displacement) -> dict[int, tuple[float, float, float]]:
    """Adds to a movement of the left half its mirror image on the right half."""
    result = dict(left)
    for index, (dx, dy, dz) in left.items():
        result[WFLW98.flip_map[index]] = (
            (-dx, dy, dz) if WFLW98.flip_map[index] != index else (0.0, dy, dz)
        )
    return result


def _lids(shift: float, lids: str, side: int) -> dict[int, tuple[float, float, float]]:
    """Moves one eye's lid towards the other by a fraction of the opening."""
    mesh = head_mesh()
    points = mesh.vertices[mesh.landmark_vertices]
    moving, other = (_UPPER_LID, _LOWER_LID) if lids == "upper" else (_LOWER_LID, _UPPER_LID)
    result = {}
    for i, j in zip(moving[side], other[side], strict=True):
        dy = shift * (points[j, 1] - points[i, 1])
        result[i] = (0.0, dy, 0.25 * abs(dy) if lids == "upper" else 0.0)
    return result


def _expression() -> dict[str, np.ndarray]:
    spread = spreader()
    jaw: dict[int, tuple[float, float, float]] = {}
    for i in range(17):
        w = float(smoothstep(np.array(i / 16), 0.22, 0.8))
        jaw[i] = (0.03 * float(np.sin(np.pi * w)), 0.30 * w, -0.12 * w)
    jaw |= {
        76: (0.035, 0.12, -0.02),
        88: (0.035, 0.14, -0.02),
        77: (0.02, 0.02, 0),
        89: (0.01, 0, 0),
        87: (0.03, 0.26, -0.07),
        86: (0.01, 0.30, -0.09),
        85: (0, 0.30, -0.09),
        95: (0.0, 0.30, -0.09),
        94: (0, 0.305, -0.09),
    }
    smile = {
        76: (-0.105, -0.050, -0.10),
        88: (-0.09, -0.045, -0.09),
        77: (-0.055, -0.018, -0.04),
        78: (-0.016, 0.0, -0.015),
        79: (0, 0.010, -0.015),
        87: (-0.07, -0.032, -0.06),
        86: (-0.028, -0.014, -0.025),
        85: (0, -0.014, -0.02),
        89: (-0.028, -0.002, -0.02),
        95: (-0.028, -0.012, -0.02),
        94: (0, -0.010, -0.02),
        55: (-0.020, -0.012, 0),
        56: (-0.006, -0.006, 0),
        67: (0, -0.010, 0),
        66: (0, -0.012, 0),
        65: (0, -0.008, 0),
        7: (-0.02, -0.01, 0),
        8: (-0.03, -0.015, 0),
        9: (-0.03, -0.015, 0),
        10: (-0.02, -0.01, 0),
    }
    part = {
        77: (0, -0.012, 0),
        78: (0, -0.020, 0),
        79: (0, -0.020, 0),
        89: (0, -0.034, 0),
        90: (0, -0.034, 0),
        87: (0, 0.016, 0),
        86: (0, 0.028, 0),
        85: (0, 0.030, 0),
        95: (0, 0.034, 0),
        94: (0, 0.036, 0),
    }
    pucker = {
        76: (0.10, 0.0, 0.10),
        88: (0.09, 0, 0.10),
        77: (0.06, -0.01, 0.08),
        78: (0.022, -0.014, 0.07),
        79: (0, -0.010, 0.07),
        87: (0.065, 0.012, 0.08),
        86: (0.025, 0.018, 0.07),
        85: (0, 0.018, 0.07),
        89: (0.03, 0, 0.08),
        90: (0, 0, 0.08),
        95: (0.03, 0, 0.08),
        94: (0, 0, 0.08),
    }
    frown = {
        76: (-0.01, 0.045, -0.01),
        88: (-0.01, 0.042, -0.01),
        77: (0, 0.012, 0),
        87: (0, 0.022, 0),
    }
    roll = {
        77: (0, 0.016, 0),
        78: (0, 0.026, -0.01),
        79: (0, 0.024, -0.01),
        87: (0, -0.020, 0),
        86: (0, -0.034, -0.01),
        85: (0, -0.036, -0.01),
    }
    raise_inner = {37: (0, -0.075, 0), 38: (0, -0.075, 0), 36: (0, -0.055, 0), 39: (0, -0.05, 0)}
    raise_outer = {
        35: (0, -0.065, 0),
        34: (0, -0.06, 0),
        33: (0, -0.035, 0),
        40: (0, -0.06, 0),
        41: (0, -0.05, 0),
    }
    furrow = {
        37: (0.035, 0.050, 0.01),
        38: (0.035, 0.045, 0.01),
        36: (0.025, 0.030, 0),
        39: (0.025, 0.025, 0),
    }
    wrinkle = {
        55: (-0.012, -0.035, 0),
        56: (0, -0.022, 0),
        57: (0, -0.012, 0),
        54: (0, -0.02, 0),
        78: (0, -0.022, 0),
        79: (0, -0.016, 0),
        77: (0, -0.016, 0),
    }
    close = {89: (0, 0.016, 0), 90: (0, 0.017, 0), 95: (0, -0.018, 0), 94: (0, -0.019, 0)}
    shift = {
        i: (0.05 * float(smoothstep(np.array(min(i, 32 - i) / 16), 0.2, 0.8)), 0, 0)
        for i in range(33)
    }
    shift |= dict.fromkeys((83, 84, 85, 86, 87, 93, 94, 95), (0.035, 0.0, 0.0)) | {
        76: (0.02, 0, 0),
        82: (0.02, 0, 0),
    }
    lift = {
        76: (-0.03, -0.04, -0.02),
        88: (-0.03, -0.038, -0.02),
        77: (-0.015, -0.02, 0),
        87: (-0.02, -0.025, 0),
    }
    puff = dict.fromkeys(range(6, 12), (-0.03, 0, 0.02))
    fields = {
        "close": both_sides(close),
        "jaw": both_sides(jaw),
        "smile": both_sides(smile),
        "part": both_sides(part),
        "pucker": both_sides(pucker),
        "frown": both_sides(frown),
        "roll": both_sides(roll),
        "raise_inner": both_sides(raise_inner),
        "furrow": both_sides(furrow),
        "wrinkle": both_sides(wrinkle),
        "shift": shift,
        "lift": lift,
        "puff": both_sides(puff),
        "raise_left": raise_outer,
        "raise_right": {WFLW98.flip_map[i]: (-d[0], d[1], d[2]) for i, d in raise_outer.items()},
        "blink_left": _lids(0.97, "upper", 0),
        "blink_right": _lids(0.97, "upper", 1),
        "squint_left": _lids(0.35, "lower", 0),
        "squint_right": _lids(0.35, "lower", 1),
    }
    return {name: spread(field) for name, field in fields.items()}


@lru_cache(maxsize=1)
def expression_modes() -> tuple[tuple[str, ...], np.ndarray]:
    """Gives the names and the fields (k, v, 3) of expression; coefficients run from 0 to 1."""
    fields = _expression()
    return tuple(fields), np.stack(list(fields.values()))
