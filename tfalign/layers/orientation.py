"""Gradient orientation of images: what HOG and SIFT descriptors are made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from tfalign.layers.fixed_map import fixed_linear_map

# The odd polynomial by which OpenCV approximates the arc tangent on [0, 1], in radians. Its largest
# error is 0.009 degrees. Products and a quotient run on every runtime; ATAN2 is slower on phones.
_ARC_TANGENT = (0.9997878412794807, -0.3258083974640975, 0.1555786518463281, -0.04432655554792128)
_TINY = 1e-20


def central_differences(images: Any) -> tuple[Any, Any]:
    """Returns I(x + 1) − I(x − 1) and I(y + 1) − I(y − 1) of images (..., H, W, C).

    The image is reflected about its border pixels, as OpenCV's HOG has it: there the difference
    across the border is 0.
    """
    height, width, channels = (int(size) for size in images.shape[-3:])
    # A row is one run of numbers, in which the neighbour is `channels` further on: runtimes copy
    # whole rows far faster than single pixels.
    rows = ops.reshape(images, (-1, height, width * channels))
    dx = rows[..., 2 * channels :] - rows[..., : -2 * channels]
    dy = rows[:, 2:] - rows[:, :-2]
    dx = ops.pad(dx, [(0, 0), (0, 0), (channels, channels)])
    dy = ops.pad(dy, [(0, 0), (1, 1), (0, 0)])
    shape = (-1, *images.shape[1:])
    return ops.reshape(dx, shape), ops.reshape(dy, shape)


def strongest_channel(dx: Any, dy: Any) -> tuple[Any, Any]:
    """Takes at each pixel the channel of the largest gradient (the last of equals: OpenCV has
    blue first).

    Args:
        dx: (..., C).
        dy: (..., C).

    Returns:
        The two differences (...) without the channel axis.
    """
    last = int(dx.shape[-1]) - 1
    if not last:
        return ops.squeeze(dx, -1), ops.squeeze(dy, -1)
    chosen_x, chosen_y = dx[..., last], dy[..., last]
    for channel in range(last - 1, -1, -1):
        x, y = dx[..., channel], dy[..., channel]
        larger = x * x + y * y > chosen_x * chosen_x + chosen_y * chosen_y
        chosen_x = ops.where(larger, x, chosen_x)
        chosen_y = ops.where(larger, y, chosen_y)
    return chosen_x, chosen_y


def orientation_responses(dx: Any, dy: Any, bins: int, signed: bool, first: float) -> Any:
    """Splits each pixel's gradient magnitude between the two nearest orientations.

    Args:
        dx: (b, H, W), difference along x.
        dy: (b, H, W), difference along y.
        bins: Number of orientations on the full circle (signed) or the half circle.
        signed: Whether opposite directions are different orientations.
        first: Centre of bin 0, in bins: 0.5 puts the bin's edge at angle 0, as HOG has it, 0 its
            centre, as SIFT has it.

    Returns:
        (b, bins, H, W); the bins of a pixel sum to its gradient's magnitude.
    """
    x, y = ops.absolute(dx), ops.absolute(dy)
    # The floor keeps the square root's gradient finite where the image is flat.
    magnitude = ops.sqrt(ops.maximum(x * x + y * y, _TINY))
    ratio = ops.minimum(x, y) / ops.maximum(ops.maximum(x, y), math.sqrt(_TINY))
    square = ratio * ratio
    angle = ratio * _polynomial(square)
    angle = ops.where(y > x, math.pi / 2 - angle, angle)
    if signed:
        angle = ops.where(dx < 0, math.pi - angle, angle)
        angle = ops.where(dy < 0, 2 * math.pi - angle, angle)
    else:
        angle = ops.where(dx * dy < 0, math.pi - angle, angle)
    # In bins, from -first to bins - first.
    place = angle * (bins / ((2 if signed else 1) * math.pi)) - first
    centres = np.arange(bins, dtype="float32").reshape(1, bins, 1, 1)
    distance = ops.absolute(place[:, None] - centres)
    # 1 - (distance on the circle), cut at 0.
    share = ops.relu(ops.absolute(distance - bins / 2) - (bins / 2 - 1))
    return share * magnitude[:, None]


def _polynomial(square: Any) -> Any:
    value = _ARC_TANGENT[-1]
    for coefficient in _ARC_TANGENT[-2::-1]:
        value = value * square + coefficient
    return value


def both_axes(rows: np.ndarray, maps: Any, columns: np.ndarray) -> Any:
    """Returns ``rows · map · columnsᵀ`` of each map (b, c, H, W): linear work on both axes."""
    with fixed_linear_map():
        return ops.matmul(rows.astype("float32"), ops.matmul(maps, columns.T.astype("float32")))
