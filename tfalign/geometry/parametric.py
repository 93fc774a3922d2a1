"""Maps of the plane given by the numbers that a network predicts (θ of a spatial transformer).

Points are in [−1, 1]², the space of the spatial transformer's papers (``signed_from_unit``).
"""

from __future__ import annotations

import numpy as np
from keras import ops

from tfalign.geometry.namespace import Array

PARAMETERS: dict[str, int] = {"affine": 6, "similarity": 4, "scaling": 4, "projective": 8}
"""How many numbers θ each kind of map has.

* ``"affine"``: the 2×3 matrix row by row.
* ``"similarity"``: (a, b, tx, ty), the matrix [[a, −b, tx], [b, a, ty]].
* ``"scaling"``: (sx, sy, tx, ty), the matrix [[sx, 0, tx], [0, sy, ty]]: sides stay upright.
* ``"projective"``: the 3×3 matrix row by row without its last entry, which is 1.
"""

_SMALLEST_DEPTH = 1e-3
"""A projective map's denominator is kept at least this large: points behind the camera go far."""


def check_kind(kind: str) -> None:
    """Raises ``ValueError`` unless ``kind`` is a key of ``PARAMETERS``."""
    if kind not in PARAMETERS:
        raise ValueError(f"`kind` must be one of {sorted(PARAMETERS)}. Received: kind={kind!r}")


def identity_parameters(kind: str = "affine") -> np.ndarray:
    """Returns θ (P,) of the identity, float32.

    Raises:
        ValueError: If ``kind`` is unknown.
    """
    check_kind(kind)
    values = {
        "affine": (1, 0, 0, 0, 1, 0),
        "similarity": (1, 0, 0, 0),
        "scaling": (1, 1, 0, 0),
        "projective": (1, 0, 0, 0, 1, 0, 0, 0),
    }
    return np.array(values[kind], np.float32)


def map_points(theta: Array, points: Array, kind: str = "affine") -> Array:
    """Applies T_θ.

    Args:
        theta: (batch, P).
        points: (batch or 1, n, 2), [−1, 1] space.
        kind: A key of ``PARAMETERS``.

    Returns:
        (batch, n, 2), [−1, 1] space.
    """
    return ops.stack(map_coordinates(theta, points[..., 0], points[..., 1], kind), axis=-1)


def map_coordinates(theta: Array, x: Array, y: Array, kind: str = "affine") -> tuple[Array, Array]:
    """Applies T_θ to points whose coordinates come apart, each (batch or 1, n): ``map_points``."""
    if kind == "scaling":
        sx, sy, tx, ty = ops.split(theta, 4, axis=-1)
        return sx * x + tx, sy * y + ty
    if kind != "projective":
        a, b, tx, c, d, ty = _affine(theta, kind)
        return a * x + b * y + tx, c * x + d * y + ty
    t = ops.split(theta, 8, axis=-1)
    depth = ops.maximum(t[6] * x + t[7] * y + 1.0, _SMALLEST_DEPTH)
    new_x = (t[0] * x + t[1] * y + t[2]) / depth
    new_y = (t[3] * x + t[4] * y + t[5]) / depth
    return new_x, new_y


def map_points_back(
    theta: Array, points: Array, kind: str = "affine", min_determinant: float = 1e-4
) -> Array:
    """Applies T_θ⁻¹, with a guard that keeps value and gradient finite for a degenerate θ.

    Args:
        theta: (batch, P).
        points: (batch or 1, n, 2), [−1, 1] space.
        kind: A key of ``PARAMETERS``.
        min_determinant: The determinant of the linear part, and of a projective map the inverse's
            denominator, is kept at least this far from zero, with its sign. A map above the guard
            is inverted exactly.

    Returns:
        (batch, n, 2), [−1, 1] space.
    """
    x, y = points[..., 0], points[..., 1]
    if kind != "projective":
        a, b, tx, c, d, ty = _affine(theta, kind)
        determinant = _away_from_zero(a * d - b * c, min_determinant)
        x, y = x - tx, y - ty
        return ops.stack([(d * x - b * y) / determinant, (a * y - c * x) / determinant], axis=-1)
    t = ops.split(theta, 8, axis=-1)
    # The adjugate is the inverse up to a factor, which the division by the depth removes.
    depth = (t[3] * t[7] - t[4] * t[6]) * x + (t[1] * t[6] - t[0] * t[7]) * y
    depth = _away_from_zero(depth + t[0] * t[4] - t[1] * t[3], min_determinant)
    new_x = (t[4] - t[5] * t[7]) * x + (t[2] * t[7] - t[1]) * y + t[1] * t[5] - t[2] * t[4]
    new_y = (t[5] * t[6] - t[3]) * x + (t[0] - t[2] * t[6]) * y + t[2] * t[3] - t[0] * t[5]
    return ops.stack([new_x / depth, new_y / depth], axis=-1)


def _affine(theta: Array, kind: str) -> list[Array]:
    """Returns the six entries (batch, 1) of the 2×3 matrices, row by row.

    Split rather than indexed: one operation instead of twelve, in both directions.
    """
    if kind == "similarity":
        a, b, tx, ty = ops.split(theta, 4, axis=-1)
        return [a, -b, tx, b, a, ty]
    if kind == "scaling":
        sx, sy, tx, ty = ops.split(theta, 4, axis=-1)
        none = ops.zeros_like(sx)
        return [sx, none, tx, none, sy, ty]
    return list(ops.split(theta, 6, axis=-1))


def _away_from_zero(values: Array, smallest: float) -> Array:
    """Keeps values at least so far from zero, with their sign; inside, the gradient is zero."""
    sign = ops.where(values < 0, -ops.ones_like(values), ops.ones_like(values))
    return sign * ops.maximum(ops.abs(values), smallest)
