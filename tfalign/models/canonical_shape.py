"""The canonical frame of re-initialization: where a frontal face and its parts shall lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfalign import geometry, markup
from tfalign.geometry.parametric import identity_parameters

FACE_MARGIN = 0.1
"""Surroundings of the landmarks on each side, as a share of their box. Ours: TSR's θ* maps to the
region that the shape bounds (section 3.1.1), whose border would cut chin and brows off."""
PART_MARGIN = 0.4
"""The same for a part; the paper says "a few of contexts" (section 3.2.1), the number is ours."""


def canonical_shape(shape: np.ndarray, scheme: markup.LandmarkScheme | None = None) -> np.ndarray:
    """Returns a mean shape made upright, symmetrical and filling the unit square.

    Args:
        shape: (n, 2) mean landmarks, any scale and place, nearly upright.
        scheme: Their scheme, for the mirror pairs; None leaves the shape's asymmetry.

    Returns:
        (n, 2) in [0, 1]²: the longer side of the landmarks' box and ``FACE_MARGIN`` on both sides
        of it fill the square; the aspect ratio is kept.
    """
    shape = np.asarray(shape, np.float64)
    if scheme is not None and scheme.flip_map is not None:
        flip = list(scheme.flip_map)
        # The mirror image of a shape turned by an angle is turned the other way: twice the angle
        # lies between them.
        turn = geometry.similarity_from_points(shape, (shape * (-1.0, 1.0))[flip])
        angle = 0.5 * np.arctan2(turn[1, 0], turn[0, 0])
        shape = geometry.transform_points(geometry.rotation(np.float64(angle)), shape)
        shape = shape - shape.mean(axis=0)
        shape = 0.5 * (shape + (shape * (-1.0, 1.0))[flip])
    low, high = shape.min(axis=0), shape.max(axis=0)
    side = float((high - low).max()) * (1.0 + 2.0 * FACE_MARGIN)
    return ((shape - 0.5 * (low + high)) / side + 0.5).astype(np.float32)


def part_theta(part: np.ndarray) -> np.ndarray:
    """Returns θ (6,) in [−1, 1] space of the square around a part.

    Args:
        part: (m, 2) landmarks in [0, 1]².

    Returns:
        The map from the part's patch to the image: the square of the part's longer side, enlarged
        by ``PART_MARGIN`` on every side.
    """
    signed = geometry.signed_from_unit(np.asarray(part, np.float32))
    low, high = signed.min(axis=0), signed.max(axis=0)
    half = 0.5 * float((high - low).max()) * (1.0 + 2.0 * PART_MARGIN)
    x, y = 0.5 * (low + high)
    return np.array([half, 0.0, x, 0.0, half, y], np.float32)


def in_patch(part: np.ndarray) -> np.ndarray:
    """Returns a part's landmarks (m, 2) in [0, 1]² of its own patch (see ``part_theta``)."""
    signed = geometry.signed_from_unit(np.asarray(part, np.float32))
    patch_from_image = geometry.invert(part_theta(part).reshape(2, 3))
    return np.asarray(
        geometry.unit_from_signed(geometry.transform_points(patch_from_image, signed))
    )


def similarity_weights(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the dense layer that fits a part's patch to given landmarks.

    The least-squares similarity from the canonical part in its patch to a part's landmarks is
    linear in these landmarks, hence a dense layer. At the canonical part it gives ``part_theta``.

    Args:
        part: (m, 2) canonical landmarks of the part in [0, 1]² of the face.

    Returns:
        ``kernel`` (2m, 6) and ``bias`` (6,): θ = landmarks (2m,) in [0, 1]² · kernel + bias.
    """
    source = geometry.signed_from_unit(in_patch(part)).astype(np.float64)
    count = 2 * len(source)
    # The map of the origin, and of each coordinate alone.
    unit = np.concatenate([np.zeros((1, count)), np.eye(count)]).reshape(-1, len(source), 2)
    solved = geometry.similarity_from_points(source[None], geometry.signed_from_unit(unit))
    solved = np.asarray(solved).reshape(count + 1, 6)
    return (solved[1:] - solved[0]).astype(np.float32), solved[0].astype(np.float32)


def checked_canonical(
    shape: Sequence[Sequence[float]] | np.ndarray | None, num_landmarks: int
) -> np.ndarray | None:
    """Returns a canonical shape as float32 (n, 2), or None.

    Raises:
        ValueError: If it has another shape or is not finite.
    """
    if shape is None:
        return None
    array = np.asarray(shape, np.float32)
    if array.shape != (num_landmarks, 2) or not np.isfinite(array).all():
        raise ValueError(
            f"`canonical_shape` must be finite, ({num_landmarks}, 2). Received: shape of "
            f"{array.shape}"
        )
    return array


def centre_theta() -> np.ndarray:
    """Returns θ (6,) of the image's middle half, where no canonical part is known yet."""
    return identity_parameters("affine") * np.float32(0.5)
