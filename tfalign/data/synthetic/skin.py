"""Paints the texture of one face: skin, brows, lips, make-up, beard, wrinkles, hair on the head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from tfalign.data.synthetic import colors, noise
from tfalign.data.synthetic.masks import HEIGHT, WIDTH, Mask, brows, masks, polar

# How much darker hollows and wrinkles are at their deepest.
_HOLLOWS = {
    "socket": 0.38,
    "nose_side": 0.16,
    "under_nose": 0.26,
    "under_lip": 0.30,
    "jaw_under": 0.5,
}
_WRINKLES = {"folds": 0.50, "bags": 0.40, "forehead": 0.35, "crow": 0.25, "philtrum": 0.15}


@dataclass(frozen=True)
class Appearance:
    """The colours and habits of one person that several parts of the picture share.

    Attributes:
        skin, hair, lips, iris: RGB, 0-255.
        makeup: Whether lids, lashes, lips or cheeks are painted.
        hairline: How far from the face's middle hair begins at the top, 1 = outline; at least
            1.5 for a bald head.
        hair_side: The same beside the face.
        parting: Slant of the hairline.
        shine: Strength of the highlights on the skin.
    """

    skin: np.ndarray
    hair: np.ndarray
    lips: np.ndarray
    iris: np.ndarray
    makeup: bool
    hairline: float
    hair_side: float
    parting: float
    shine: float


def sample_appearance(rng: np.random.Generator) -> Appearance:
    """Draws an appearance."""
    skin = colors.skin(rng)
    makeup = bool(rng.random() < 0.22)
    bald = rng.random() < 0.06
    return Appearance(
        skin=skin,
        hair=colors.hair(rng),
        lips=colors.lips(rng, skin, painted=makeup and rng.random() < 0.85),
        iris=colors.iris(rng),
        makeup=makeup,
        hairline=1.5 if bald else float(np.clip(rng.normal(0.89, 0.07), 0.70, 1.05)),
        hair_side=1.5 if bald else float(rng.uniform(0.97, 1.06)),
        parting=float(rng.normal(0, 0.05)),
        shine=float(rng.gamma(1.5, 9)),
    )


def hair_grain(rng: np.random.Generator, size: int) -> np.ndarray:
    """Makes the lightness (size, size) of hair that hangs down, about 1."""
    name = "streak_fine" if rng.random() < 0.6 else "streak_coarse"
    streak = noise.cut(rng, name, size, size)
    return np.clip(1 + np.float32(rng.uniform(0.12, 0.34)) * streak, 0.2, 2.0)


@lru_cache(maxsize=1)
def _hair_zones() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gives how much a texel is over the forehead, on which side, and not on jaw or throat."""
    _, angle = polar()
    up = np.cos(angle)
    return (
        np.clip(2.2 * np.clip(up, 0, 1) - 0.35, 0, 1).astype(np.float32),
        np.sin(angle).astype(np.float32),
        (1 - np.clip((-0.45 - up) * 6, 0, 1)).astype(np.float32),
    )


def _paint_hair(texture: np.ndarray, rng: np.random.Generator, look: Appearance) -> None:
    """Covers the head beyond the hairline, with strands that radiate from the face."""
    radial, angle = polar()
    top, slant, above_jaw = _hair_zones()
    edge = radial - look.hair_side - np.float32(look.hairline - look.hair_side) * top
    edge -= np.float32(look.parting) * slant
    edge += np.float32(0.018) * noise.cut(rng, "smooth4", HEIGHT, WIDTH)
    opacity = np.clip(edge * np.float32(rng.uniform(12, 40)), 0, 1) * above_jaw
    x = angle * np.float32(rng.uniform(60, 110)) + np.float32(rng.uniform(300, 600))
    x = x + radial * np.float32(rng.normal(0, 30))
    y = radial * np.float32(60) + np.float32(rng.uniform(0, 500))
    streak = cv2.remap(noise.whole("streak_fine"), x, y, cv2.INTER_LINEAR)
    value = np.clip(1 + np.float32(rng.uniform(0.12, 0.35)) * streak, 0.3, 2)
    texture += (value * look.hair.astype(np.float32)[:, None, None] - texture) * opacity


def _paint_beard(texture: np.ndarray, rng: np.random.Generator, look: Appearance) -> None:
    m = masks()
    style = rng.choice(
        ["none", "stubble", "full", "moustache", "goatee"], p=[0.68, 0.13, 0.07, 0.06, 0.06]
    )
    if style == "none":
        return
    parts = {
        "stubble": ("beard", "moustache", "goatee"), "full": ("beard", "moustache", "goatee"),
        "moustache": ("moustache",), "goatee": ("goatee", "moustache"),
    }[str(style)]  # fmt: skip
    color = look.hair * rng.uniform(0.6, 1.1)
    strength = rng.uniform(0.12, 0.42) if style == "stubble" else rng.uniform(0.65, 0.97)
    for part in parts:
        mask = m[part]
        h, w = mask.opacity.shape
        grain = np.clip(0.8 + np.float32(0.35) * noise.cut(rng, "smooth1", h, w), 0, 1.2)
        opacity = np.clip(mask.opacity * grain * np.float32(strength), 0, 1)
        shade = np.clip(1 + np.float32(0.25) * noise.cut(rng, "streak_fine", h, w), 0.4, 1.8)
        layer = shade * color.astype(np.float32)[:, None, None]
        Mask(opacity, mask.rows, mask.columns).paint(texture, layer)


def _paint_makeup(texture: np.ndarray, rng: np.random.Generator) -> None:
    m = masks()
    if rng.random() < 0.7:
        color = (
            colors.anything(rng)
            if rng.random() < 0.5
            else np.array([70, 45, 40]) * rng.uniform(0.4, 2)
        )
        m["lid_zone"].paint(texture, color, rng.uniform(0.15, 0.6))
    if rng.random() < 0.8:
        m["lash"].paint(texture, np.array([15, 12, 14]), rng.uniform(0.5, 1.0))
    if rng.random() < 0.5:
        m["blush"].paint(texture, np.array([215, 80, 90]), rng.uniform(0.1, 0.4))


def paint(rng: np.random.Generator, look: Appearance) -> np.ndarray:
    """Paints a face.

    Returns:
        (HEIGHT, WIDTH, 3) uint8 reflectance on the texture plane.
    """
    m = masks()
    texture = np.empty((3, HEIGHT, WIDTH), np.float32)
    texture[:] = look.skin[:, None, None]
    blotch = np.float32(rng.uniform(0.01, 0.05)) * noise.cut(rng, "smooth16", HEIGHT, WIDTH)
    pores = np.float32(rng.gamma(1.2, 0.007)) * noise.cut(rng, "smooth1", HEIGHT, WIDTH)
    if rng.random() < 0.10:
        spots = np.clip(noise.cut(rng, "smooth1", HEIGHT, WIDTH) - 1.8, 0, 1) * rng.uniform(
            0.2, 0.7
        )
        texture *= 1 - spots * np.array([0.35, 0.55, 0.6], np.float32)[:, None, None]
    m["blush"].shade(
        texture, [1 + rng.uniform(0, 0.08), 1 - rng.uniform(0, 0.12), 1 - rng.uniform(0, 0.10)]
    )
    m["nose_red"].shade(texture, [1.0, 1 - rng.uniform(0, 0.12), 1 - rng.uniform(0, 0.10)])

    # Hollows and wrinkles only darken: they are gathered in one channel.
    tone = 1 + blotch + pores
    relief, age = rng.uniform(0.3, 1.0), rng.beta(1.0, 2.2)
    for name, depth in _HOLLOWS.items():
        m[name].shade(tone, 1 - depth * relief)
    for name, depth in _WRINKLES.items():
        m[name].shade(tone, 1 - depth * rng.uniform(0, 1) * (0.25 + 0.75 * age))
    m["crease"].shade(tone, 1 - 0.55 * rng.uniform(0, 1))
    m["wings"].shade(tone, 1 - rng.uniform(0.15, 0.5))
    texture *= tone
    m["nostril"].paint(texture, look.skin * 0.22, rng.uniform(0.55, 1.0))

    if look.makeup:
        _paint_makeup(texture, rng)
    m["eyes"].paint(texture, look.skin * 0.45, 0.9)
    m["lash"].paint(texture, look.skin * 0.25, rng.uniform(0.2, 0.85))
    m["lips"].paint(texture, look.lips, rng.uniform(0.5, 0.95) if not look.makeup else 0.92)
    m["lip_line"].paint(texture, look.lips * 0.35, rng.uniform(0.4, 1.0))
    pair = brows()[rng.integers(len(brows()))]
    color = np.minimum(look.hair * rng.uniform(0.5, 1.0), look.skin * 0.85)
    strength = rng.uniform(0.45, 1.0) if rng.random() < 0.9 else rng.uniform(0.1, 0.45)
    for brow in pair:
        brow.paint(texture, color, strength)
    if not look.makeup:
        _paint_beard(texture, rng, look)
    if look.hairline < 1.4:
        _paint_hair(texture, rng, look)
    return cv2.merge(list(np.clip(texture, 0, 255).astype(np.uint8)))
