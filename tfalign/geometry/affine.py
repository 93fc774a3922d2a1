"""Affine maps of the plane as 2×3 matrices acting on column vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfalign.geometry.namespace import Array, as_float, namespace


def _rows(xp: Any, a: Array, b: Array, c: Array, d: Array, e: Array, f: Array) -> Array:
    """Stacks six (…) arrays into a (…, 2, 3) matrix [[a, b, c], [d, e, f]]."""
    top = xp.stack([a, b, c], axis=-1)
    bottom = xp.stack([d, e, f], axis=-1)
    return xp.stack([top, bottom], axis=-2)


def identity(batch: int | None = None) -> np.ndarray:
    """Returns the identity map: (2, 3), or (batch, 2, 3)."""
    eye = np.eye(2, 3, dtype=np.float32)
    return eye if batch is None else np.repeat(eye[None], batch, axis=0)


def translation(offset: Array) -> Array:
    """Returns the map ``p → p + offset``. ``offset``: (…, 2). Result: (…, 2, 3)."""
    xp = namespace(offset)
    offset = as_float(offset, xp)
    x, y = offset[..., 0], offset[..., 1]
    one, zero = xp.ones_like(x), xp.zeros_like(x)
    return _rows(xp, one, zero, x, zero, one, y)


def scaling(factors: Array) -> Array:
    """Returns the map that multiplies x and y. ``factors``: (…, 2). Result: (…, 2, 3)."""
    xp = namespace(factors)
    factors = as_float(factors, xp)
    x, y = factors[..., 0], factors[..., 1]
    zero = xp.zeros_like(x)
    return _rows(xp, x, zero, zero, zero, y, zero)


def rotation(angle: Array) -> Array:
    """Returns the rotation about the origin.

    Args:
        angle: (…) radians. Positive turns the x axis towards the y axis; as y points down in an
            image, that is clockwise to the eye.

    Returns:
        (…, 2, 3) map.
    """
    xp = namespace(angle)
    angle = as_float(angle, xp)
    cos, sin = xp.cos(angle), xp.sin(angle)
    zero = xp.zeros_like(cos)
    return _rows(xp, cos, -sin, zero, sin, cos, zero)


def compose(outer: Array, inner: Array) -> Array:
    """Returns the map that applies ``inner`` first: ``compose(c_from_b, b_from_a) = c_from_a``.

    Args:
        outer: (…, 2, 3).
        inner: (…, 2, 3); the leading dimensions broadcast.
    """
    xp = namespace(outer, inner)
    outer, inner = as_float(outer, xp), as_float(inner, xp)
    linear = xp.matmul(outer[..., :2], inner[..., :2])
    offset = xp.matmul(outer[..., :2], inner[..., 2:]) + outer[..., 2:]
    return xp.concatenate([linear, offset], axis=-1)


def about(matrix: Array, center: Array) -> Array:
    """Returns ``matrix`` acting about ``center``: move the centre to the origin, apply, move back.

    Args:
        matrix: (…, 2, 3).
        center: (…, 2), in the space of the map's argument and result.
    """
    xp = namespace(matrix, center)
    center = as_float(center, xp)
    return compose(translation(center), compose(matrix, translation(-center)))


def transform_points(matrix: Array, points: Array) -> Array:
    """Applies a map to points.

    Args:
        matrix: (…, 2, 3), e.g. ``crop_from_image``.
        points: (…, n, 2), in the space that the map leads from.

    Returns:
        (…, n, 2), in the space that the map leads to.
    """
    xp = namespace(matrix, points)
    matrix, points = as_float(matrix, xp), as_float(points, xp)
    # Written out: two multiply-adds per coordinate beat a batched 2×2 product everywhere, and no
    # runtime that the model may be exported to needs a batched matrix product for it.
    x, y = points[..., 0], points[..., 1]
    new_x = matrix[..., 0, 0, None] * x + matrix[..., 0, 1, None] * y + matrix[..., 0, 2, None]
    new_y = matrix[..., 1, 0, None] * x + matrix[..., 1, 1, None] * y + matrix[..., 1, 2, None]
    return xp.stack([new_x, new_y], axis=-1)


def invert(matrix: Array, min_determinant: float = 1e-8) -> Array:
    """Inverts a map, with a guarded determinant.

    Args:
        matrix: (…, 2, 3).
        min_determinant: The determinant of the linear part is kept at least this far from zero,
            with its sign, so that a degenerate map (all points on a line, as a spatial transformer
            may predict early in training) has a finite inverse and a finite gradient. A map whose
            determinant is above the guard is inverted exactly.

    Returns:
        (…, 2, 3).
    """
    xp = namespace(matrix)
    matrix = as_float(matrix, xp)
    a, b, tx = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 0, 2]
    c, d, ty = matrix[..., 1, 0], matrix[..., 1, 1], matrix[..., 1, 2]
    determinant = a * d - b * c
    sign = xp.where(determinant < 0, -xp.ones_like(determinant), xp.ones_like(determinant))
    guarded = sign * xp.maximum(xp.abs(determinant), min_determinant)
    ia, ib, ic, id_ = d / guarded, -b / guarded, -c / guarded, a / guarded
    return _rows(xp, ia, ib, -(ia * tx + ib * ty), ic, id_, -(ic * tx + id_ * ty))


def _centered(xp: Any, points: Array, weights: Array | None) -> tuple[Array, Array, Array]:
    """Returns points minus their (weighted) mean, the mean (…, 1, 2), and normalised weights."""
    if weights is None:
        weights = xp.ones_like(points[..., :1])
    else:
        weights = as_float(weights, xp)[..., None]
    weights = weights / xp.sum(weights, axis=-2, keepdims=True)
    mean = xp.sum(weights * points, axis=-2, keepdims=True)
    return points - mean, mean, weights


def affine_from_points(source: Array, target: Array, weights: Array | None = None) -> Array:
    """Returns the affine map that takes ``source`` to ``target`` with the least squared error.

    The normal equations are solved in closed form about the centroids; the guarded inverse of
    ``invert`` keeps collinear points finite.

    Args:
        source: (…, n, 2), n ≥ 3.
        target: (…, n, 2).
        weights: (…, n) non-negative weights of the points, or None for equal ones.

    Returns:
        (…, 2, 3) map ``target_from_source``.
    """
    xp = namespace(source, target, weights)
    source, target = as_float(source, xp), as_float(target, xp)
    x, x_mean, w = _centered(xp, source, weights)
    y, y_mean, _ = _centered(xp, target, weights)
    xt = xp.swapaxes(w * x, -1, -2)
    scatter = xp.matmul(xt, x)
    cross = xp.matmul(xt, y)
    # Scaled to unit trace, so that the guard is relative to the extent of the points.
    trace = scatter[..., 0:1, 0:1] + scatter[..., 1:2, 1:2]
    trace = xp.maximum(trace, 1e-30 if xp is np and scatter.dtype == np.float64 else 1e-20)
    zeros = xp.zeros_like(scatter[..., :1])
    inverse = invert(xp.concatenate([scatter / trace, zeros], axis=-1))[..., :2]
    linear = xp.swapaxes(xp.matmul(inverse, cross / trace), -1, -2)
    offset = xp.swapaxes(y_mean, -1, -2) - xp.matmul(linear, xp.swapaxes(x_mean, -1, -2))
    return xp.concatenate([linear, offset], axis=-1)


def similarity_from_points(source: Array, target: Array, weights: Array | None = None) -> Array:
    """Returns the rotation, uniform scale and translation from ``source`` to ``target``.

    Least squares without reflection, in closed form (the complex-number solution of the planar
    Procrustes problem).

    Args:
        source: (…, n, 2), n ≥ 2.
        target: (…, n, 2).
        weights: (…, n) non-negative weights of the points, or None for equal ones.

    Returns:
        (…, 2, 3) map ``target_from_source``.
    """
    xp = namespace(source, target, weights)
    source, target = as_float(source, xp), as_float(target, xp)
    x, x_mean, w = _centered(xp, source, weights)
    y, y_mean, _ = _centered(xp, target, weights)
    energy = xp.maximum(xp.sum(w * x * x, axis=(-1, -2)), 1e-20)
    dot = xp.sum(w * x * y, axis=(-1, -2)) / energy
    cross = xp.sum(w[..., 0] * (x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]), axis=-1) / energy
    mx, my = x_mean[..., 0, 0], x_mean[..., 0, 1]
    nx, ny = y_mean[..., 0, 0], y_mean[..., 0, 1]
    return _rows(
        xp, dot, -cross, nx - dot * mx + cross * my, cross, dot, ny - cross * mx - dot * my
    )
