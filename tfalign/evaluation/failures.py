"""Naming the faces that a check failed on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SHOWN = 5


def listed(bad: NDArray[np.bool_], values: NDArray[Any] | None = None, unit: str = "") -> str:
    """Returns e.g. ``"2 of 40 faces: 3 (0 px), 17 (0.2 px)"`` for a (faces,) mask."""
    where = np.flatnonzero(bad)
    shown = [
        str(i) if values is None else f"{i} ({values[i]:.4g} {unit})".replace(" )", ")")
        for i in where[:SHOWN]
    ]
    more = ", …" if len(where) > SHOWN else ""
    return f"{len(where)} of {len(bad)} faces: {', '.join(shown)}{more}"
