"""Random occluders."""

from __future__ import annotations

import numpy as np
from keras import ops

from tfalign.geometry.namespace import Array

OCCLUDER_DRAWS = 12
"""Uniform numbers that one occluder takes."""


def occlude(images: Array, draws: Array, low: float, high: float) -> Array:
    """Draws one shaded ellipse or rectangle into each image.

    Args:
        images: (batch, height, width, 3) float in [0, 255].
        draws: (batch, OCCLUDER_DRAWS) uniform in [0, 1): centre (2), side lengths (2), angle,
            ellipse or rectangle, colour (3), shading along the occluder (3).
        low: Least side length, as a fraction of the image's shorter side.
        high: Greatest side length.

    Returns:
        The shape and range of ``images``.
    """
    height, width = images.shape[1:3]

    def draw(index: int) -> Array:
        return ops.reshape(draws[:, index], (-1, 1, 1))

    half = 0.5 * min(height, width)
    half_x = half * (low + (high - low) * draw(2)) + 1e-3
    half_y = half * (low + (high - low) * draw(3)) + 1e-3
    x = ops.convert_to_tensor(np.arange(width, dtype=np.float32).reshape(1, 1, -1) + 0.5)
    y = ops.convert_to_tensor(np.arange(height, dtype=np.float32).reshape(1, -1, 1) + 0.5)
    x, y = x - draw(0) * width, y - draw(1) * height
    angle = draw(4) * np.float32(np.pi)
    cosine, sine = ops.cos(angle), ops.sin(angle)
    u, v = (x * cosine + y * sine) / half_x, (y * cosine - x * sine) / half_y
    rectangle = ops.maximum(ops.abs(u), ops.abs(v))
    ellipse = ops.sqrt(ops.square(u) + ops.square(v))
    inside = ops.where(draw(5) < 0.5, rectangle, ellipse) <= 1.0
    colour = ops.reshape(draws[:, 6:9], (-1, 1, 1, 3)) * 255.0
    shading = (ops.reshape(draws[:, 9:12], (-1, 1, 1, 3)) - 0.5) * 128.0
    occluder = ops.clip(colour + shading * u[..., None], 0.0, 255.0)
    return ops.where(inside[..., None], occluder, images)
