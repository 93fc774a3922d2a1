"""Blurs, sharpening and emboss on batches, with parameters of their own for each image.

Images are (batch, height, width, channels) float. A filter with its own kernel for each image is
written as a sum of shifted, weighted copies: no convolution op takes a kernel for each image, and
the kernels are so small that the sum is as fast.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from keras import ops

from tfalign.geometry.namespace import Array


def _pad(images: Array, top: int, left: int, mode: str) -> Array:
    return ops.pad(images, [[0, 0], [top, top], [left, left], [0, 0]], mode=mode)


def _column(values: Array, index: int) -> Array:
    return ops.reshape(values[:, index], (-1, 1, 1, 1))


def gaussian_kernel(sigma: Array, radius: int) -> Array:
    """Returns (batch, 2·radius + 1) normalised gaussian taps for ``sigma`` (batch,) in pixels."""
    offsets = np.arange(-radius, radius + 1, dtype=np.float32)[None]
    # Below a tenth of a pixel the taps are an impulse in float32; the bound avoids 0 / 0.
    sigma = ops.maximum(sigma, 0.1)[:, None]
    taps = ops.exp(-0.5 * ops.square(offsets / sigma))
    return taps / ops.sum(taps, axis=-1, keepdims=True)


def average_kernel(size: Array, radius: int) -> Array:
    """Returns (batch, 2·radius + 1) taps of a centred box of ``size`` (batch,) pixels.

    A box whose size is not odd has fractional weights at both ends, so that it stays centred and
    the picture does not move against its landmarks.
    """
    offsets = np.abs(np.arange(-radius, radius + 1, dtype=np.float32))[None]
    taps = ops.clip(size[:, None] * 0.5 + 0.5 - offsets, 0.0, 1.0)
    return taps / ops.sum(taps, axis=-1, keepdims=True)


def separable(images: Array, kernels: Array) -> Array:
    """Filters each image with its own symmetric kernel, along both axes.

    Args:
        images: (batch, height, width, channels) float.
        kernels: (batch, 2·radius + 1) symmetric taps; the static length gives the radius, which
            must be smaller than the image. Outside, the image is mirrored about its border pixel.
    """
    radius = kernels.shape[-1] // 2
    height, width = images.shape[1:3]
    rows = _pad(images, radius, 0, "reflect")
    images = _symmetric_sum(lambda i: rows[:, i : i + height], kernels, radius)
    columns = _pad(images, 0, radius, "reflect")
    return _symmetric_sum(lambda i: columns[:, :, i : i + width], kernels, radius)


def _symmetric_sum(shifted: Callable[[int], Array], kernels: Array, radius: int) -> Array:
    total = shifted(radius) * _column(kernels, radius)
    for offset in range(1, radius + 1):
        # The kernel is symmetric: one product serves two taps.
        pair = shifted(radius - offset) + shifted(radius + offset)
        total = total + pair * _column(kernels, radius + offset)
    return total


def sharpen_kernel(alpha: Array, lightness: Array) -> Array:
    """Returns (batch, 3, 3) kernels: ``(1 - alpha) * identity + alpha * edges + lightness``."""
    edges = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], dtype=np.float32)[None]
    alpha, lightness = alpha[:, None, None], lightness[:, None, None]
    return (1.0 - alpha) * _identity() + alpha * (edges + lightness * _identity())


def emboss_kernel(alpha: Array, strength: Array) -> Array:
    """Returns (batch, 3, 3) kernels that light the picture's relief from one corner."""
    relief = np.array([[-1, -1, 0], [-1, 0, 1], [0, 1, 1]], dtype=np.float32)[None]
    corner = np.array([[-1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)[None]
    alpha, strength = alpha[:, None, None], strength[:, None, None]
    return (1.0 - alpha) * _identity() + alpha * (corner + strength * relief)


def _identity() -> np.ndarray:
    kernel = np.zeros((1, 3, 3), dtype=np.float32)
    kernel[0, 1, 1] = 1.0
    return kernel


def convolve(images: Array, kernels: Array) -> Array:
    """Correlates each image with its own 3×3 kernel; borders mirrored about the border pixel.

    Args:
        images: (batch, height, width, channels) float.
        kernels: (batch, 3, 3).
    """
    height, width = images.shape[1:3]
    padded = _pad(images, 1, 1, "reflect")
    taps = ops.reshape(kernels, (-1, 9))
    total = None
    for index in range(9):
        y, x = divmod(index, 3)
        term = padded[:, y : y + height, x : x + width] * _column(taps, index)
        total = term if total is None else total + term
    return total


def median(images: Array) -> Array:
    """Returns the median of each pixel's 3×3 neighbourhood; borders repeated.

    Sorts every column of three once and shares it between its three neighbourhoods; the median is
    then the median of (greatest minimum, median of medians, least maximum): 20 minima and maxima
    for a pixel instead of a sort (Smith, "Implementing median filters in XC4000E FPGAs", 1996).
    """
    height, width = images.shape[1:3]
    padded = _pad(images, 1, 1, "symmetric")
    a, b, c = (padded[:, y : y + height] for y in range(3))
    low, high = ops.minimum(a, b), ops.maximum(a, b)
    middle = ops.maximum(low, ops.minimum(high, c))
    low, high = ops.minimum(low, c), ops.maximum(high, c)

    def columns(values: Array) -> list[Array]:
        return [values[:, :, x : x + width] for x in range(3)]

    lows, middles, highs = columns(low), columns(middle), columns(high)
    return _median_of_three(
        ops.maximum(ops.maximum(lows[0], lows[1]), lows[2]),
        _median_of_three(*middles),
        ops.minimum(ops.minimum(highs[0], highs[1]), highs[2]),
    )


def _median_of_three(a: Array, b: Array, c: Array) -> Array:
    return ops.maximum(ops.minimum(a, b), ops.minimum(ops.maximum(a, b), c))
