"""Colour changes on batches of RGB images in [0, 255], with parameters for each image."""

from __future__ import annotations

from keras import ops

from tfalign.geometry.namespace import Array

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601), as OpenCV's and JPEG's grey conversion."""


def _per_image(values: Array) -> Array:
    """Reshapes (batch,) or (batch, 3) parameters so that they broadcast over the pixels."""
    return ops.reshape(values, (-1, 1, 1, values.shape[1] if len(values.shape) > 1 else 1))


def _channels(images: Array) -> tuple[Array, Array, Array]:
    return images[..., 0], images[..., 1], images[..., 2]


def add_hue_saturation(images: Array, hue: Array, saturation: Array) -> Array:
    """Turns the hue and shifts the saturation in HSV space.

    Args:
        images: (batch, height, width, 3) float, RGB in [0, 255].
        hue: (batch,) degrees.
        saturation: (batch,) in units of 1/255; the sum is clipped to [0, 255].

    Returns:
        The shape and range of ``images``. As in every HSV conversion the hue of a grey pixel is
        zero (red), which is the tint that it takes when saturation is added.
    """
    red, green, blue = _channels(images)
    value = ops.maximum(ops.maximum(red, green), blue)
    chroma = value - ops.minimum(ops.minimum(red, green), blue)
    # Where chroma is zero every numerator below is zero too, so the hue becomes 0, not NaN.
    inverse = 1.0 / ops.maximum(chroma, 1e-6)
    sector = ops.where(
        value == red,
        (green - blue) * inverse,
        ops.where(value == green, (blue - red) * inverse + 2.0, (red - green) * inverse + 4.0),
    )
    sector = sector + ops.reshape(hue, (-1, 1, 1)) / 60.0
    fraction = chroma / ops.maximum(value, 1e-6) + ops.reshape(saturation, (-1, 1, 1)) / 255.0
    chroma = value * ops.clip(fraction, 0.0, 1.0)

    def channel(offset: float) -> Array:
        # Distance on the circle of six sectors from the hue where this channel is smallest.
        turn = (sector + offset) / 6.0
        place = 6.0 * (turn - ops.floor(turn))
        return value - chroma * ops.clip(ops.minimum(place, 4.0 - place), 0.0, 1.0)

    return ops.stack([channel(5.0), channel(3.0), channel(1.0)], axis=-1)


def contrast_brightness(images: Array, factor: Array, shift: Array) -> Array:
    """Returns ``128 + factor * (images - 128) + shift``.

    Args:
        images: (batch, height, width, 3) float.
        factor: (batch, 3) for each channel.
        shift: (batch, 3) grey levels for each channel.

    Returns:
        The shape of ``images``, not clipped: both changes are one linear map, and clipping between
        them would only lose detail.
    """
    return images * _per_image(factor) + _per_image(shift + 128.0 * (1.0 - factor))


def blend_grey(images: Array, alpha: Array) -> Array:
    """Returns ``(1 - alpha) * images + alpha * luminance`` for ``alpha`` (batch,)."""
    red, green, blue = _channels(images)
    grey = LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue
    alpha = _per_image(alpha)
    return images * (1.0 - alpha) + grey[..., None] * alpha
