"""Additive gaussian noise."""

from __future__ import annotations

from keras import ops

from tfalign.data.augment.random_bits import normal
from tfalign.geometry.namespace import Array


def add_noise(images: Array, keys: Array, sigma: Array, per_channel: Array) -> Array:
    """Adds gaussian noise.

    Args:
        images: (batch, height, width, 3) float.
        keys: (batch, 2) uint32 random keys.
        sigma: (batch,) standard deviations in grey levels.
        per_channel: (batch,) bool; False gives the three channels of a pixel the same noise.

    Returns:
        The shape of ``images``, not clipped.
    """
    height, width, channels = images.shape[1:]
    field = ops.reshape(normal(keys, height * width * channels), (-1, height, width, channels))
    field = ops.where(ops.reshape(per_channel, (-1, 1, 1, 1)), field, field[..., :1])
    return images + field * ops.reshape(sigma, (-1, 1, 1, 1))
