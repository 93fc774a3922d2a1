"""A fixed stock of noise fields, cut at random places, so that an image need not filter its own."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

_SIDE = 512
SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


@lru_cache(maxsize=1)
def _fields() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(20190617)
    fields: dict[str, np.ndarray] = {}
    for scale in SCALES:
        white = np.tile(rng.normal(size=(_SIDE, _SIDE)).astype(np.float32), (2, 2))
        smooth = cv2.GaussianBlur(white, (0, 0), scale)[
            _SIDE // 2 : _SIDE * 3 // 2, _SIDE // 2 : _SIDE * 3 // 2
        ]
        fields[f"smooth{scale:g}"] = smooth / smooth.std()
    white = np.tile(rng.normal(size=(_SIDE, _SIDE)).astype(np.float32), (2, 2))
    center = slice(_SIDE // 2, _SIDE * 3 // 2)
    for name, across in (("fine", 0.8), ("coarse", 2.2)):
        streak = cv2.GaussianBlur(white, (0, 0), sigmaX=across, sigmaY=26)[center, center]
        fields[f"streak_{name}"] = streak / streak.std()
    fields["white"] = rng.normal(size=(_SIDE, _SIDE, 3)).astype(np.float32)
    return {
        name: np.ascontiguousarray(np.tile(f, (2, 2) + (1,) * (f.ndim - 2)))
        for name, f in fields.items()
    }


def cut(rng: np.random.Generator, name: str, height: int, width: int) -> np.ndarray:
    """Cuts a (height, width[, 3]) float32 view of unit variance out of a stock field.

    Args:
        rng: Decides the place and whether it is mirrored.
        name: ``"smooth1"`` … ``"smooth32"`` (gaussian, by scale in pixels), ``"streak_fine"``,
            ``"streak_coarse"`` (vertical hair) or ``"white"`` (three channels).
        height: At most 512.
        width: At most 512.
    """
    y, x = rng.integers(0, _SIDE, 2)
    view = _fields()[name][y : y + height, x : x + width]
    return view[:, ::-1] if rng.random() < 0.5 else view


def whole(name: str) -> np.ndarray:
    """Gives a stock field, tiled twice each way: (1024, 1024[, 3]); not to be modified."""
    return _fields()[name]
