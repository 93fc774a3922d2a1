"""Bilinear sampling of images, differentiable in the image and in the positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from keras import ops

from tfalign.geometry.affine import transform_points
from tfalign.geometry.namespace import Array

Border = Literal["clamp", "zero"]
"""What lies outside an image: its nearest border pixel (``clamp``) or zero (``zero``).

With ``zero`` the value fades to zero linearly over the pixel beyond the border pixels' centres,
because every pixel beyond the border counts as zero.
"""


def check_border(border: str) -> None:
    """Raises ``ValueError`` unless ``border`` is one of the two rules."""
    if border not in ("clamp", "zero"):
        raise ValueError(f"`border` must be 'clamp' or 'zero'. Received: border={border!r}")


def _sample(images: Array, points: Array, border: Border) -> Array:
    batch, height, width, channels = ops.shape(images)
    dtype = points.dtype
    x, y = points[..., 0] - 0.5, points[..., 1] - 0.5
    if border == "clamp":
        x = ops.clip(x, 0.0, ops.cast(width - 1, dtype))
        y = ops.clip(y, 0.0, ops.cast(height - 1, dtype))
    else:
        # Beyond one pixel outside everything is zero; the clip keeps the integer cast defined.
        x = ops.clip(x, -1.0, ops.cast(width, dtype))
        y = ops.clip(y, -1.0, ops.cast(height, dtype))
    x_floor, y_floor = ops.floor(x), ops.floor(y)
    fx, fy = (x - x_floor)[..., None], (y - y_floor)[..., None]
    x0, y0 = ops.cast(x_floor, "int32"), ops.cast(y_floor, "int32")
    rows = ops.reshape(images, (-1, channels))
    base = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1)) * (height * width)

    def tap(xi: Array, yi: Array) -> Array:
        index = base + ops.clip(yi, 0, height - 1) * width + ops.clip(xi, 0, width - 1)
        value = ops.cast(ops.take(rows, index, axis=0), dtype)
        if border == "zero":
            inside = (xi >= 0) & (xi < width) & (yi >= 0) & (yi < height)
            value = value * ops.cast(inside, dtype)[..., None]
        return value

    top = tap(x0, y0) * (1.0 - fx) + tap(x0 + 1, y0) * fx
    bottom = tap(x0, y0 + 1) * (1.0 - fx) + tap(x0 + 1, y0 + 1) * fx
    return top * (1.0 - fy) + bottom * fy


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
    check_border(border)
    points = ops.convert_to_tensor(points)
    if not ops.is_tensor(images) or isinstance(images, np.ndarray):
        images = ops.convert_to_tensor(images)
    return _sample(images, points, border)


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
