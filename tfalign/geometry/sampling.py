"""Bilinear sampling of images, differentiable in the image and in the positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from keras import ops

from tfalign.geometry.affine import transform_points
from tfalign.geometry.namespace import Array, as_float

Border = Literal["clamp", "zero"]
"""What lies outside an image: its nearest border pixel (``clamp``) or zero (``zero``).

With ``zero`` the value fades to zero linearly over the pixel beyond the border pixels' centres,
because every pixel beyond the border counts as zero.
"""


def check_border(border: str) -> None:
    """Raises ``ValueError`` unless ``border`` is one of the two rules."""
    if border not in ("clamp", "zero"):
        raise ValueError(f"`border` must be 'clamp' or 'zero'. Received: border={border!r}")


def sample_bilinear(images: Array, points: Array, border: Border = "clamp") -> Array:
    """Samples images at points.

    Args:
        images: (batch, height, width, channels), any numeric dtype.
        points: (batch, m, 2), image space: pixel centres at ``i + 0.5``.
        border: What lies outside, see ``Border``.

    Returns:
        (batch, m, channels), float: the points' dtype. Gradients flow to the images (if floating)
        and to the points; the derivative with respect to a position is that of the bilinear
        surface, one-sided at pixel centres, and zero where ``clamp`` holds a coordinate.

    Raises:
        ValueError: If ``border`` is unknown.
    """
    points = as_float(points, ops)
    return sample_coordinates(images, points[..., 0], points[..., 1], border)


def sample_coordinates(images: Array, x: Array, y: Array, border: Border = "clamp") -> Array:
    """Samples images at points whose coordinates come apart: ``sample_bilinear`` of (x, y).

    What makes many points makes x and y apart; to join and part them again costs a phone more than
    the sampling.

    Args:
        images: (batch, height, width, channels), any numeric dtype.
        x, y: (batch, m), image space.
        border: What lies outside, see ``Border``.

    Returns:
        (batch, m, channels), see ``sample_bilinear``.
    """
    check_border(border)
    if not ops.is_tensor(images) or isinstance(images, np.ndarray):
        images = ops.convert_to_tensor(images)
    if border == "zero":
        # A rim of zeros; beyond one pixel outside everything is zero.
        images = ops.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)])
        x, y = x + 1.0, y + 1.0
    batch, height, width, channels = ops.shape(images)
    left, right, fx = _neighbours(x, width)
    top, bottom, fy = _neighbours(y, height)
    top, bottom = top * width, bottom * width
    if images.shape[0] != 1:
        first = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1)) * (height * width)
        top, bottom = top + first, bottom + first
    rows = ops.reshape(images, (-1, channels))

    def row(start: Array) -> Array:
        before, after = (ops.take(rows, start + column, axis=0) for column in (left, right))
        before = ops.cast(before, x.dtype)
        return before + fx * (ops.cast(after, x.dtype) - before)

    above = row(top)
    return above + fy * (row(bottom) - above)


def sample_grid(images: Array, x: Array, y: Array, border: Border = "clamp") -> Array:
    """Samples images on an upright grid: at every pair of a column of ``x`` and a row of ``y``.

    Whole rows are blended, then whole columns: the values of ``sample_coordinates`` at all pairs,
    in less time, since whole rows are copied.

    Args:
        images: (batch, height, width, channels), any numeric dtype.
        x: (batch, columns), image space.
        y: (batch, rows), image space.
        border: What lies outside, see ``Border``.

    Returns:
        (batch, rows, columns, channels), see ``sample_bilinear``.
    """
    check_border(border)
    images = ops.convert_to_tensor(images)
    if border == "zero":
        images = ops.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)])
        x, y = x + 1.0, y + 1.0
    channels = images.shape[3]
    rows = _blend_rows(images, y)
    turned = ops.transpose(rows, (0, 2, 1, 3))
    columns = _blend_rows(turned, x)
    return ops.reshape(ops.transpose(columns, (0, 2, 1, 3)), (-1, y.shape[1], x.shape[1], channels))


def _blend_rows(images: Array, y: Array) -> Array:
    """Returns (batch, rows, width, channels): whole rows of images at the heights (batch, rows)."""
    batch, height, width, channels = ops.shape(images)
    before, after, share = _neighbours(y, height)
    if images.shape[0] != 1:
        first = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1)) * height
        before, after = before + first, after + first
    flat = ops.reshape(images, (-1, width * channels))
    upper, lower = (ops.cast(ops.take(flat, i, axis=0), y.dtype) for i in (before, after))
    return ops.reshape(upper + share * (lower - upper), (-1, y.shape[1], width, channels))


def _neighbours(position: Array, size: Any) -> tuple[Array, Array, Array]:
    """Returns the pixels before and after a position, and its share (…, 1) of the way."""
    position = ops.clip(position - 0.5, 0.0, ops.cast(size - 1, position.dtype))
    whole = ops.floor(position)
    before = ops.cast(whole, "int32")
    return before, ops.minimum(before + 1, size - 1), ops.expand_dims(position - whole, -1)


def warp_affine(
    images: Array,
    image_from_output: Array,
    size: Sequence[int],
    border: Border = "clamp",
) -> Array:
    """Warps images by affine maps.

    Args:
        images: (batch, height, width, channels).
        image_from_output: (batch, 2, 3), from the output's pixels to the image's: output pixel
            ``(i, j)`` shows the image at ``image_from_output · (i + 0.5, j + 0.5)``.
        size: (height, width) of the output.
        border: What lies outside, see ``Border``.

    Returns:
        (batch, height, width, channels), float.
    """
    height, width = (int(value) for value in size)
    xs = np.arange(width, dtype=np.float32) + 0.5
    ys = np.arange(height, dtype=np.float32) + 0.5
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(1, height * width, 2)
    matrix = ops.convert_to_tensor(image_from_output)
    points = transform_points(matrix, ops.cast(ops.convert_to_tensor(grid), matrix.dtype))
    values = sample_bilinear(images, points, border)
    return ops.reshape(values, (-1, height, width, ops.shape(values)[-1]))
