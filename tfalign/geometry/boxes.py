"""Boxes ``(x0, y0, x1, y1)`` in image pixels, and the crops made from them."""

from __future__ import annotations

from collections.abc import Sequence

from tfalign.geometry.affine import about, compose, rotation, scaling, translation
from tfalign.geometry.namespace import Array, as_float, namespace


def box_from_landmarks(landmarks: Array) -> Array:
    """Returns the tight box of (…, n, 2) landmarks: (…, 4), in the landmarks' space."""
    xp = namespace(landmarks)
    landmarks = as_float(landmarks, xp)
    return xp.concatenate([xp.min(landmarks, axis=-2), xp.max(landmarks, axis=-2)], axis=-1)


def box_center(box: Array) -> Array:
    """Returns the centre (…, 2) of boxes (…, 4)."""
    box = as_float(box, namespace(box))
    return (box[..., :2] + box[..., 2:]) * 0.5


def box_size(box: Array) -> Array:
    """Returns (width, height) as (…, 2) of boxes (…, 4)."""
    box = as_float(box, namespace(box))
    return box[..., 2:] - box[..., :2]


def _box(center: Array, size: Array) -> Array:
    xp = namespace(center, size)
    return xp.concatenate([center - 0.5 * size, center + 0.5 * size], axis=-1)


def pad_box(box: Array, padding: Sequence[float]) -> Array:
    """Moves each side of a box outwards by a fraction of the box's extent along that axis.

    Args:
        box: (…, 4).
        padding: (left, top, right, bottom) fractions; negative values move a side inwards, as the
            top of a WFLW box does (GRegLRef, section 4.3).

    Returns:
        (…, 4).

    Raises:
        ValueError: If ``padding`` has not four values or leaves nothing of the box.
    """
    padding = tuple(float(value) for value in padding)
    if len(padding) != 4:
        raise ValueError(
            f"`padding` must be (left, top, right, bottom). Received: padding={padding}"
        )
    left, top, right, bottom = padding
    if 1 + left + right <= 0 or 1 + top + bottom <= 0:
        raise ValueError(
            "`padding` must leave a box of positive width and height: left + right and "
            f"top + bottom must exceed -1. Received: padding={padding}"
        )
    xp = namespace(box)
    box = as_float(box, xp)
    x0, y0, x1, y1 = (box[..., i] for i in range(4))
    width, height = x1 - x0, y1 - y0
    sides = [x0 - left * width, y0 - top * height, x1 + right * width, y1 + bottom * height]
    return xp.stack(sides, axis=-1)


def square_box(box: Array) -> Array:
    """Returns the square of the box's longer side about the same centre: (…, 4) → (…, 4)."""
    xp = namespace(box)
    box = as_float(box, xp)
    side = xp.max(box_size(box), axis=-1, keepdims=True)
    return _box(box_center(box), side)


def clip_box(box: Array, size: Sequence[float]) -> Array:
    """Clips boxes (…, 4) to an image of ``size``, (height, width)."""
    xp = namespace(box)
    box = as_float(box, xp)
    height, width = (float(value) for value in size)
    x = xp.clip(box[..., 0::2], 0.0, width)
    y = xp.clip(box[..., 1::2], 0.0, height)
    return xp.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], axis=-1)


def perturb_box(box: Array, scale: Array = 1.0, shift: Array = 0.0) -> Array:
    """Scales a box about its centre and shifts it.

    Args:
        box: (…, 4).
        scale: Factor on width and height: a number, or (…, 1) or (…, 2).
        shift: Shift as a fraction of the box's own width and height, before scaling: a number, or
            (…, 2).

    Returns:
        (…, 4). A rotation is no property of a box: give ``angle`` to ``crop_from_image``.
    """
    box = as_float(box, namespace(box, scale, shift))
    size = box_size(box)
    return _box(box_center(box) + size * shift, size * scale)


def crop_from_image(box: Array, size: Sequence[int], angle: Array | float = 0.0) -> Array:
    """Returns the map from image pixels to the pixels of a crop of a box.

    The box fills the crop; a box of another aspect ratio than ``size`` is stretched (use
    ``square_box`` first to avoid that).

    Args:
        box: (…, 4), image pixels.
        size: (height, width) of the crop in pixels.
        angle: (…) radians by which the box is turned about its centre (clockwise to the eye); the
            picture inside the crop turns the other way.

    Returns:
        (…, 2, 3) map ``crop_from_image``.

    Raises:
        ValueError: If ``size`` is not two positive numbers.
    """
    if len(size) != 2 or min(size) <= 0:
        raise ValueError(f"`size` must be a positive (height, width). Received: size={tuple(size)}")
    xp = namespace(box, angle)
    box = as_float(box, xp)
    extent = box_size(box)
    factors = as_float([float(size[1]), float(size[0])], xp) / extent
    matrix = compose(scaling(factors), translation(-box[..., :2]))
    if isinstance(angle, (int, float)) and angle == 0:
        return matrix
    turn = about(rotation(-as_float(angle, xp)), box_center(box))
    return compose(matrix, turn)
