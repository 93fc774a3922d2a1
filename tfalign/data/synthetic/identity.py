"""How heads differ in shape: smooth displacement fields, one per proportion of the face."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tfalign.data.synthetic.layout import smoothstep
from tfalign.data.synthetic.mesh import head_mesh


def _identity() -> dict[str, np.ndarray]:
    mesh = head_mesh()
    x, y, z = mesh.vertices.T
    u, v = mesh.layout.T
    side = np.sign(x)
    outer = smoothstep(np.abs(x), 0.48, 0.82)
    zero = np.zeros_like(x)

    def bump(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return np.exp(-0.5 * (((np.abs(u) - cx) / rx) ** 2 + ((v - cy) / ry) ** 2))

    def band(cy: float, ry: float) -> np.ndarray:
        return np.exp(-0.5 * ((v - cy) / ry) ** 2)

    def field(dx: np.ndarray = zero, dy: np.ndarray = zero, dz: np.ndarray = zero) -> np.ndarray:
        return np.stack([dx, dy, dz], axis=1)

    below = np.clip(y, 0, None)
    chin = smoothstep(v, 0.75, 1.2)
    brow, inner_brow, outer_brow = (
        bump(0.4, -0.21, 0.3, 0.10),
        bump(0.13, -0.16, 0.08, 0.09),
        bump(0.64, -0.14, 0.10, 0.09),
    )
    nose, tip, alar = (
        bump(0, 0.42, 0.16, 0.13),
        bump(0, 0.40, 0.07, 0.08),
        bump(0.17, 0.47, 0.08, 0.08),
    )
    mouth = bump(0, 0.76, 0.30, 0.12)
    eye = bump(0.355, 0.0, 0.15, 0.06)
    lateral = np.clip(np.abs(u) / 0.29, 0, 1)
    return {
        "face_length": field(dy=0.062 * below),
        "face_width": field(dx=0.058 * side * outer),
        "jaw_width": field(dx=0.055 * side * smoothstep(np.abs(u), 0.1, 0.5) * band(0.95, 0.28)),
        "chin_width": field(dx=0.030 * side * smoothstep(np.abs(u), 0.0, 0.25) * band(1.2, 0.12)),
        "chin_length": field(dy=0.065 * chin),
        "chin_forward": field(dz=0.06 * chin * np.exp(-0.5 * (u / 0.3) ** 2)),
        "ear_height": field(
            dy=0.045 * smoothstep(np.abs(u), 0.55, 0.8) * smoothstep(-v, -1.0, -0.4)
        ),
        "forehead_height": field(dy=-0.08 * smoothstep(-y, 0.3, 1.2)),
        "forehead_slope": field(dz=-0.07 * smoothstep(-v, 0.4, 1.2)),
        "depth": field(dz=0.07 * z),
        "nose_length": field(dy=0.042 * nose + 0.030 * mouth),
        "nose_width": field(dx=0.020 * side * np.clip(np.abs(u) / 0.08, 0, 1) * alar),
        "nose_protrusion": field(dz=0.06 * nose),
        "nose_tip": field(dy=0.026 * tip, dz=-0.01 * tip),
        "nose_bridge": field(dz=0.045 * bump(0, 0.06, 0.08, 0.13)),
        "nose_top": field(dy=0.024 * bump(0, 0.0, 0.08, 0.10)),
        "nose_broad": field(dx=0.02 * side * bump(0.12, 0.2, 0.05, 0.15)),
        "nose_bend": field(dx=0.016 * bump(0, 0.38, 0.10, 0.12)),
        "brow_height": field(dy=0.028 * brow + 0.02 * outer_brow),
        "brow_inner": field(dy=0.020 * inner_brow),
        "brow_outer": field(dy=0.026 * outer_brow),
        "brow_gap": field(
            dx=0.028 * side * np.clip(np.abs(u) / 0.1, 0, 1) * bump(0.14, -0.16, 0.10, 0.07)
        ),
        "brow_thick": field(dy=0.010 * np.tanh((v + 0.19) / 0.03) * brow),
        "brow_depth": field(dz=0.03 * brow),
        "eye_open": field(dy=0.010 * np.tanh((v + 0.005) / 0.03) * eye),
        "eye_inner": field(
            dx=0.014 * side * bump(0.21, 0.02, 0.04, 0.05), dy=0.008 * bump(0.21, 0.02, 0.05, 0.05)
        ),
        "eye_slant": field(dy=0.012 * bump(0.28, 0.0, 0.09, 0.07)),
        "mouth_width": field(dx=0.034 * side * lateral * bump(0.24, 0.76, 0.14, 0.12)),
        "mouth_height": field(dy=0.026 * mouth),
        "upper_lip": field(dy=-0.016 * bump(0.05, 0.672, 0.14, 0.022)),
        "lower_lip": field(dy=0.018 * bump(0.0, 0.85, 0.14, 0.03)),
        "lip_forward": field(dz=0.03 * mouth),
        "cheek_full": field(
            dx=0.025 * side * bump(0.65, 0.6, 0.14, 0.25), dz=0.05 * bump(0.45, 0.55, 0.16, 0.2)
        ),
        "cheek_bone": field(
            dx=0.02 * side * bump(0.7, 0.25, 0.12, 0.15), dz=0.05 * bump(0.55, 0.22, 0.12, 0.1)
        ),
        "eye_deep": field(dz=-0.025 * bump(0.33, -0.02, 0.16, 0.10)),
        "skew_mouth": field(dy=0.020 * u / 0.3 * mouth, dx=0.012 * mouth),
        "skew_brow": field(dy=0.020 * np.sign(u) * brow),
        "skew_jaw": field(dx=0.022 * smoothstep(v, 0.5, 1.1)),
        "cranium": field(
            dy=-0.08 * smoothstep(-y, 0.5, 1.3), dx=0.04 * side * smoothstep(-y, 0.3, 1.0)
        ),
    }


@lru_cache(maxsize=1)
def identity_modes() -> tuple[tuple[str, ...], np.ndarray]:
    """Gives the names and the fields (k, v, 3) of identity; a coefficient is standard normal."""
    fields = _identity()
    return tuple(fields), np.stack(list(fields.values()))
