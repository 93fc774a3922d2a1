"""The simplest predictor there is, below which no model may fall: the mean shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfalign import geometry, markup
from tfalign.evaluation.protocols import Floats
from tfalign.geometry import CropConvention
from tfalign.inference.backends import CallableBackend


def shapes_in_crops(
    landmarks: Iterable[Any],
    crop: str | CropConvention,
    image_size: Sequence[int] = (112, 112),
    boxes: Iterable[Any] | None = None,
) -> Floats:
    """Returns shapes in the [0, 1]² space of the crops that a model would see.

    Args:
        landmarks: Shapes (n, 2) in image pixels, e.g. ``record.landmarks`` of a reader's records.
        crop: Crop convention.
        image_size: (height, width) of the crop; only its aspect ratio matters.
        boxes: (4,) boxes in image pixels; None takes each shape's tight box.

    Returns:
        (faces, n, 2).

    Raises:
        ValueError: If there is no shape.
    """
    shapes = np.asarray(list(landmarks), np.float64)
    if shapes.ndim != 3 or shapes.shape[-1] != 2:
        raise ValueError(
            "`landmarks` must be at least one shape (n, 2), all with the same n. Received: an "
            f"array of shape {shapes.shape}"
        )
    tight = geometry.box_from_landmarks(shapes) if boxes is None else np.asarray(list(boxes))
    convention = geometry.crop_convention(crop)
    maps = convention.crop_from_image(np.asarray(tight, np.float64), image_size)
    in_crop = geometry.transform_points(maps, shapes)
    return np.asarray(geometry.unit_from_pixel(in_crop, image_size), np.float64)


def mean_shape_predictor(
    shapes: Any,
    crop: str | CropConvention,
    scheme: str | markup.LandmarkScheme,
    image_size: tuple[int, int] = (112, 112),
) -> CallableBackend:
    """Returns a backend that answers every crop with the mean training shape.

    Args:
        shapes: (faces, n, 2) training shapes in [0, 1]² of their crops, see ``shapes_in_crops``.
        crop: The same crop convention.
        scheme: Their landmark scheme.
        image_size: (height, width) of the crops.

    Raises:
        ValueError: If ``shapes`` is not (faces, n, 2) with the scheme's n.
    """
    shapes = np.asarray(shapes, np.float64)
    found = markup.get(scheme)
    if shapes.ndim != 3 or shapes.shape[1:] != (found.num_points, 2) or len(shapes) == 0:
        raise ValueError(
            f"`shapes` must be (faces, {found.num_points}, 2) for the scheme {found.name!r}. "
            f"Received: shapes of shape {shapes.shape}"
        )
    mean = shapes.mean(axis=0)

    def answer(crops: np.ndarray) -> np.ndarray:
        return np.broadcast_to(mean, (len(crops), *mean.shape))

    return CallableBackend(
        answer, image_size, geometry.crop_convention(crop), found, name="mean shape"
    )
