"""The geometry of an augmentation: one affine map for each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfalign import geometry
from tfalign.geometry.namespace import Array, as_float, namespace


def augmented_map(
    output_from_source: Array,
    size: Sequence[int],
    flip: Array,
    rotation: Array,
    scale: Array,
    translation: Array,
) -> Array:
    """Composes flip, rotation, scale and translation of the box into the crop's map.

    The box is the one that the nominal map shows. In the source's pixels, where lengths have the
    picture's own aspect ratio, its centre moves by ``translation``, its sides grow by ``scale`` and
    it turns by ``rotation``; the new box is cropped, and the crop is mirrored where ``flip``.

    Args:
        output_from_source: (batch, 2, 3) nominal map from source-crop pixels to output pixels.
        size: (height, width) of the output.
        flip: (batch,) bool.
        rotation: (batch,) radians, clockwise to the eye; the picture turns the other way.
        scale: (batch,) factors on the box's sides; above 1 the face becomes smaller.
        translation: (batch, 2) fractions of the box's width and height.

    Returns:
        (batch, 2, 3) map from source-crop pixels to output pixels.
    """
    xp = namespace(output_from_source, flip, rotation, scale, translation)
    nominal = as_float(output_from_source, xp)
    extent = as_float([float(size[1]), float(size[0])], xp)
    source_from_output = geometry.invert(nominal)
    centre = geometry.transform_points(source_from_output, xp.reshape(extent * 0.5, (1, 1, 2)))
    centre = centre[..., 0, :]
    shift = xp.matmul(source_from_output[..., :2], (translation * extent)[..., None])[..., 0]
    # The map that brings the augmented box back onto the nominal one, both in source pixels.
    shrink = geometry.scaling(xp.stack([1.0 / scale, 1.0 / scale], axis=-1))
    turn = geometry.about(geometry.compose(shrink, geometry.rotation(-rotation)), centre)
    matrix = geometry.compose(nominal, geometry.compose(turn, geometry.translation(-shift)))
    return xp.where(flip[..., None, None], mirror(matrix, size), matrix)


def mirror(output_from_source: Array, size: Sequence[int]) -> Array:
    """Mirrors the output, ``size`` (height, width), of maps (…, 2, 3): x → width − x in pixels."""
    xp = namespace(output_from_source)
    sign = as_float([[-1.0], [1.0]], xp)
    offset = as_float([[0.0, 0.0, float(size[1])], [0.0, 0.0, 0.0]], xp)
    return output_from_source * sign + offset


def permute_flipped(values: Array, flip: Array, flip_map: Array) -> Array:
    """Renumbers the landmarks of mirrored faces.

    Args:
        values: (batch, n, …): coordinates, or visibility, of landmarks.
        flip: (batch,) bool.
        flip_map: (n,) integers: the landmark that takes each place (``LandmarkScheme.flip_map``).

    Returns:
        ``values`` with axis 1 permuted where ``flip``.
    """
    xp: Any = namespace(values, flip)
    chosen = xp.reshape(flip, (-1,) + (1,) * (len(values.shape) - 1))
    return xp.where(chosen, xp.take(values, flip_map, axis=1), values)
