"""Where things lie on the texture plane: brows, lips, lids, cheeks, beard, hairline, creases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from tfalign.data.synthetic import layout
from tfalign.data.synthetic.layout import smoothstep
from tfalign.data.synthetic.mesh import (
    BROW_CURVES,
    EYE_CURVES,
    LAYOUT_CENTER,
    LIP_OUTER,
    closed_curve,
    cornered_curve,
)  # fmt: skip

SCALE = 72.0
ORIGIN = np.array([-1.2, -1.75])
WIDTH, HEIGHT = 173, 249
_OVERSAMPLE = 4
_BROW_VARIANTS = 10


@dataclass(frozen=True)
class Mask:
    """An opacity (h, w) float32, 0 to 1, with the place of its corner in the texture."""

    opacity: np.ndarray
    rows: slice
    columns: slice

    def paint(self, texture: np.ndarray, color: np.ndarray, strength: float = 1.0) -> None:
        """Blends a colour (3,) or layer (3, h, w) into the texture (3, H, W) in place."""
        part = texture[:, self.rows, self.columns]
        ink = np.asarray(color, np.float32)
        ink = ink[:, None, None] if ink.ndim == 1 else ink
        part += (ink - part) * (self.opacity * np.float32(strength))

    def shade(self, texture: np.ndarray, factor: float | list[float]) -> None:
        """Multiplies the texture in place by 1 where the mask is 0, by ``factor`` where it is 1.

        Args:
            texture: (H, W), or (3, H, W).
            factor: A number, or three for a texture of three channels.
        """
        change = np.asarray(factor, np.float32) - np.float32(1)
        if change.ndim:
            change = change[:, None, None]
        texture[..., self.rows, self.columns] *= 1 + self.opacity * change


def texels(points: np.ndarray) -> np.ndarray:
    """Converts layout points (..., 2) to texture coordinates, centre of texel i at i."""
    return (points[..., :2] - ORIGIN) * SCALE - 0.5


def crop(opacity: np.ndarray) -> Mask:
    """Makes a ``Mask`` of the part of a full opacity that is not zero."""
    rows, columns = np.flatnonzero(opacity.max(1) > 0.004), np.flatnonzero(opacity.max(0) > 0.004)
    r, c = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Mask(np.ascontiguousarray(opacity[r, c], np.float32), r, c)


def _canvas() -> np.ndarray:
    return np.zeros((HEIGHT * _OVERSAMPLE, WIDTH * _OVERSAMPLE), np.uint8)


def _large(points: np.ndarray) -> np.ndarray:
    return np.rint(((points[..., :2] - ORIGIN) * SCALE * _OVERSAMPLE - 0.5) * 16).astype(np.int32)


def _reduce(canvas: np.ndarray, blur: float = 0.0) -> np.ndarray:
    small = (
        cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    )
    return cv2.GaussianBlur(small, (0, 0), blur) if blur else small


def _fill(points: np.ndarray, blur: float = 0.0) -> np.ndarray:
    canvas = _canvas()
    cv2.fillPoly(canvas, [_large(points)], 255, cv2.LINE_AA, 4)
    return _reduce(canvas, blur)


def _stroke(points: np.ndarray, width: float, blur: float) -> np.ndarray:
    canvas = _canvas()
    thickness = max(1, round(width * SCALE * _OVERSAMPLE))
    cv2.polylines(canvas, [_large(points)], False, 255, thickness, cv2.LINE_AA, 4)
    return _reduce(canvas, blur)


def plane() -> tuple[np.ndarray, np.ndarray]:
    """Gives the layout coordinates u (h, w) and v (h, w) of the texels' centres."""
    u = ORIGIN[0] + (np.arange(WIDTH) + 0.5) / SCALE
    v = ORIGIN[1] + (np.arange(HEIGHT) + 0.5) / SCALE
    grid_u, grid_v = np.meshgrid(u, v)
    return grid_u.astype(np.float32), grid_v.astype(np.float32)


def _brow(curve: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws one brow: hairs from the lower edge that lean outwards, over a soft fill."""
    upper, lower = curve[:5], curve[[8, 7, 6, 5, 5]]
    lower[4], lower[0] = curve[5], (curve[0] + curve[8]) / 2
    canvas = _canvas()
    density = rng.integers(120, 420)
    for _ in range(density):
        s = rng.uniform(0, 4)
        i, f = min(int(s), 3), s - min(int(s), 3)
        top = upper[i] * (1 - f) + upper[i + 1] * f
        bottom = lower[i] * (1 - f) + lower[i + 1] * f
        h0, h1 = rng.uniform(0, 0.6), rng.uniform(0.4, 1.0)
        start, end = bottom + (top - bottom) * h0, bottom + (top - bottom) * max(h1, h0)
        outward = np.sign(curve[0, 0]) * rng.uniform(0.01, 0.06) * (1 if s < 3.3 else 0.2)
        end = end + [outward, 0]
        ends = _large(np.stack([start, end]))
        cv2.polylines(
            canvas,
            [ends],
            False,
            int(rng.integers(120, 255)),
            int(rng.integers(1, 4)),
            cv2.LINE_AA,
            4,
        )
    fill = _fill(closed_curve(curve, 4), 0.9) * rng.uniform(0.25, 0.95)
    return np.clip(np.maximum(_reduce(canvas, 0.4), fill), 0, 1)


@lru_cache(maxsize=1)
def brows() -> tuple[tuple[Mask, Mask], ...]:
    """Gives variants of the pair of brows."""
    points = layout.landmarks()[:, :2]
    rng = np.random.default_rng(98)
    return tuple(
        (
            crop(_brow(points[list(BROW_CURVES[0])], rng)),
            crop(_brow(points[list(BROW_CURVES[1])], rng)),
        )
        for _ in range(_BROW_VARIANTS)
    )


@lru_cache(maxsize=1)
def polar() -> tuple[np.ndarray, np.ndarray]:
    """Gives, for each texel, its distance from the face's middle, where 1 is the face's outline,
    and its angle: 0 upwards, growing to the right, in radians."""
    u, v = plane()
    du, dv = u - LAYOUT_CENTER[0], v - LAYOUT_CENTER[1]
    angle = np.arctan2(du, -dv)
    outline = closed_curve(layout.outline()[:, :2], 2) - LAYOUT_CENTER
    rim_angle = np.arctan2(outline[:, 0], -outline[:, 1])
    order = np.argsort(rim_angle)
    rim = np.interp(angle, rim_angle[order], np.hypot(*outline.T)[order], period=2 * np.pi)
    return (np.hypot(du, dv) / rim).astype(np.float32), angle.astype(np.float32)


def _gauss(u: np.ndarray, v: np.ndarray, cu: float, cv: float, su: float, sv: float) -> np.ndarray:
    return np.exp(-0.5 * (((np.abs(u) - cu) / su) ** 2 + ((v - cv) / sv) ** 2))


@lru_cache(maxsize=1)
def masks() -> dict[str, Mask]:
    """Gives the named masks that do not vary between faces."""
    p = layout.landmarks()[:, :2]
    u, v = plane()
    outer = _fill(cornered_curve(p[list(LIP_OUTER)], 6, 6), 0.5)
    eyes = [_fill(cornered_curve(p[list(c)], 6, 4), 0.6) for c in EYE_CURVES]
    # Between the upper lid and the lower edge of the brow.
    wide = np.concatenate([p[60:65], p[38:42]])
    lid_zone = np.maximum(_fill(wide, 1.5), _fill(wide * [-1, 1], 1.5))
    lifted = p[60:65] - [[-0.01, 0.02], [0, 0.042], [0, 0.05], [0, 0.042], [0, 0.02]]
    crease = np.maximum(_stroke(lifted, 0.014, 0.7), _stroke(lifted * [-1, 1], 0.014, 0.7))
    lash = np.maximum(*(_stroke(p[c[0] : c[0] + 5], 0.022, 0.5) for c in EYE_CURVES))
    fold = np.array([(-0.20, 0.40), (-0.235, 0.48), (-0.30, 0.58), (-0.345, 0.68), (-0.37, 0.77)])
    folds = np.maximum(_stroke(fold, 0.022, 1.4), _stroke(fold * [-1, 1], 0.022, 1.4))
    bag = np.array([(-0.49, 0.06), (-0.42, 0.11), (-0.34, 0.13), (-0.25, 0.10), (-0.20, 0.06)])
    bags = np.maximum(_stroke(bag, 0.020, 1.3), _stroke(bag * [-1, 1], 0.020, 1.3))
    forehead = np.zeros_like(u)
    for y in (-0.42, -0.54, -0.67):
        x = np.linspace(-0.42, 0.42, 9)
        forehead = np.maximum(
            forehead, _stroke(np.stack([x, y + 0.03 * np.cos(4 * x + 8 * y)], 1), 0.014, 1.0)
        )
    nostril = np.clip(1.25 * _gauss(u, v, 0.080, 0.492, 0.030, 0.016), 0, 1)
    alar = np.array([(-0.15, 0.36), (-0.178, 0.42), (-0.170, 0.475), (-0.145, 0.497)])
    wings = np.maximum(_stroke(alar, 0.014, 0.9), _stroke(alar * [-1, 1], 0.014, 0.9))
    jaw = smoothstep(v + 0.25 * np.clip(np.abs(u) - 0.3, 0, 1), 0.55, 0.75)
    cheek_edge = smoothstep(np.abs(u) + 0.22 * (v - 0.6), 0.36, 0.55)
    radial, _ = polar()
    under = smoothstep(1.28 - radial, 0, 0.1) * (v > 0)
    beard = (
        np.clip(
            jaw * np.maximum(smoothstep(v, 0.84, 0.98), cheek_edge * smoothstep(v, 0.05, 0.6)), 0, 1
        )
        * under
    )
    moustache = np.clip(
        1.3 * _gauss(u, v, 0.0, 0.615, 0.19, 0.035) + _gauss(u, v, 0.26, 0.68, 0.06, 0.05), 0, 1
    )
    goatee = np.clip(
        1.6 * _gauss(u, v, 0.0, 1.04, 0.17, 0.12) + _gauss(u, v, 0.30, 0.86, 0.05, 0.12), 0, 1
    )
    upper_line = _stroke(p[[88, 89, 90, 91, 92]], 0.016, 0.6)
    lower_line = _stroke(p[[88, 95, 94, 93, 92]], 0.012, 0.6)
    socket = _gauss(u, v, 0.23, -0.06, 0.09, 0.06) + 0.7 * _gauss(u, v, 0.36, -0.09, 0.14, 0.045)
    free = (1 - outer) * (1 - 0.5 * _fill(cornered_curve(p[list(LIP_OUTER)], 6, 6), 1.2))
    full = {
        "lips": np.clip(outer, 0, 1),
        "lip_line": np.clip(upper_line + lower_line, 0, 1),
        "eyes": np.maximum(*eyes),
        "lid_zone": lid_zone,
        "crease": crease,
        "lash": lash,
        "folds": folds,
        "bags": bags,
        "forehead": forehead,
        "nostril": nostril,
        "wings": wings,
        "blush": _gauss(u, v, 0.48, 0.36, 0.14, 0.12),
        "nose_red": _gauss(u, v, 0, 0.40, 0.09, 0.09),
        "beard": beard * free,
        "moustache": moustache * free,
        "goatee": goatee * free,
        "socket": np.clip(socket, 0, 1),
        "nose_side": _gauss(u, v, 0.125, 0.18, 0.035, 0.16),
        "under_nose": _gauss(u, v, 0.0, 0.56, 0.12, 0.028),
        "under_lip": _gauss(u, v, 0.0, 0.92, 0.15, 0.032),
        "philtrum": _gauss(u, v, 0.0, 0.61, 0.016, 0.04),
        "jaw_under": smoothstep(radial, 1.01, 1.10) * smoothstep(v, 0.3, 0.8),
        "crow": _gauss(u, v, 0.57, 0.03, 0.045, 0.05),
    }
    return {name: crop(mask.astype(np.float32)) for name, mask in full.items()}
