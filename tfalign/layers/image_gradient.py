"""The gradient of what is read from an image by where it is read: Sobel's operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops


def sobel(images: Any) -> tuple[Any, Any]:
    """Returns the image gradient by Sobel's 3×3 operator.

    Args:
        images: (batch, H, W, C).

    Returns:
        Along x and along y, each (batch, H, W, C), in grey levels per pixel: the operator's sums
        are divided by 8, so that a ramp of slope 1 has gradient 1. Border pixels are repeated
        outside the image.
    """
    padded = ops.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="symmetric")
    smooth_y = padded[:, :-2] + 2.0 * padded[:, 1:-1] + padded[:, 2:]
    smooth_x = padded[:, :, :-2] + 2.0 * padded[:, :, 1:-1] + padded[:, :, 2:]
    along_x = (smooth_y[:, :, 2:] - smooth_y[:, :, :-2]) / 8.0
    along_y = (smooth_x[:, 2:] - smooth_x[:, :-2]) / 8.0
    return along_x, along_y


def with_position_gradient(
    values: Any, images: Any, landmarks: Any, slopes: Callable[[Any, Any, Any], Any]
) -> Any:
    """Returns ``values`` with a gradient by the landmarks at which they were read.

    Args:
        values: What was read from the images, with the positions treated as constants.
        images: Where from; its own gradient is that of ``values``.
        landmarks: (batch, n, 2).
        slopes: Function of (upstream, images, landmarks), of which ``upstream`` is the loss's
            gradient by ``values``; returns the loss's gradient by the landmarks. It runs backward
            only.
    """

    @ops.custom_gradient
    def identity(values: Any, images: Any, landmarks: Any) -> Any:
        def backward(*arguments: Any, upstream: Any = None) -> tuple[Any, Any, Any]:
            upstream = arguments[0] if upstream is None else upstream
            return upstream, ops.zeros_like(images), slopes(upstream, images, landmarks)

        return values, backward

    return identity(values, ops.stop_gradient(images), landmarks)
