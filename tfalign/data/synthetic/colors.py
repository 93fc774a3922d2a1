"""Colours of skin, hair, eyes, lips and light, drawn at random (RGB, 0-255)."""

from __future__ import annotations

import numpy as np

# Skin from the lightest to the darkest; a draw interpolates, then shifts hue and lightness.
_SKIN = np.array([
    (250, 224, 205), (243, 208, 180), (232, 188, 156), (220, 168, 132), (198, 145, 108),
    (170, 116, 82), (138, 90, 62), (106, 68, 48), (74, 48, 36),
], float)  # fmt: skip
_HAIR = np.array([
    (20, 17, 16), (38, 28, 22), (62, 42, 28), (92, 62, 38), (134, 94, 56), (186, 146, 92),
    (226, 196, 140), (142, 62, 34), (176, 84, 44), (150, 148, 146), (208, 206, 202),
], float)  # fmt: skip
_IRIS = np.array([
    (52, 32, 20), (74, 46, 26), (98, 66, 38), (104, 92, 52), (86, 108, 78),
    (88, 120, 148), (112, 138, 160),
], float)  # fmt: skip


def skin(rng: np.random.Generator) -> np.ndarray:
    """Draws a skin colour (3,)."""
    position = (len(_SKIN) - 1) * rng.beta(1.1, 1.5)
    low = min(int(position), len(_SKIN) - 2)
    base = _SKIN[low] + (position - low) * (_SKIN[low + 1] - _SKIN[low])
    return np.clip(base * rng.normal(1, 0.05) + rng.normal(0, 6, 3), 25, 255)


def hair(rng: np.random.Generator) -> np.ndarray:
    """Draws a hair colour (3,): mostly natural, sometimes dyed."""
    if rng.random() < 0.03:
        return rng.uniform(20, 230, 3)
    weights = np.array([5, 5, 4, 3, 2.4, 2, 1.4, 0.8, 0.8, 1.2, 1.0])
    base = _HAIR[rng.choice(len(_HAIR), p=weights / weights.sum())]
    return np.clip(base * rng.uniform(0.75, 1.25) + rng.normal(0, 5, 3), 5, 250)


def iris(rng: np.random.Generator) -> np.ndarray:
    """Draws an iris colour (3,)."""
    weights = np.array([4, 4, 2, 1, 1, 1.5, 1])
    base = _IRIS[rng.choice(len(_IRIS), p=weights / weights.sum())]
    return np.clip(base * rng.uniform(0.7, 1.3) + rng.normal(0, 6, 3), 5, 230)


def lips(rng: np.random.Generator, skin_color: np.ndarray, painted: bool) -> np.ndarray:
    """Draws a lip colour (3,): near the skin's, or lipstick."""
    if painted:
        if rng.random() < 0.08:
            return rng.uniform(20, 220, 3)
        return np.array([rng.uniform(110, 230), rng.uniform(10, 90), rng.uniform(30, 110)])
    shade = np.array([rng.uniform(0.82, 1.0), rng.uniform(0.58, 0.82), rng.uniform(0.60, 0.86)])
    return np.clip(skin_color * shade + [6, 0, 4], 10, 245)


def anything(rng: np.random.Generator) -> np.ndarray:
    """Draws any colour (3,), with dull and dark ones more likely than vivid ones."""
    grey = rng.uniform(0, 255)
    return np.clip(grey + rng.normal(0, rng.choice([8, 30, 80]), 3), 0, 255)


def tint(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Draws a multiplicative colour (3,) around 1: warm or cool mostly, at times anything."""
    warmth = rng.normal(0, strength)
    return np.clip(
        np.array([1 + warmth, 1.0, 1 - warmth]) + rng.normal(0, strength / 3, 3), 0.4, 1.7
    )
