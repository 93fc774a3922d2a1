"""Cutting faces out of images for a model, on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from tfalign import geometry
from tfalign.geometry import Border, CropConvention

_LONGEST_SIDE = 2**15 - 2  # of a picture that cv2.warpAffine takes
_CV_BORDER = {"clamp": cv2.BORDER_REPLICATE, "zero": cv2.BORDER_CONSTANT}


def check_image(image: Any) -> np.ndarray:
    """Returns the image, or raises ``ValueError`` unless it is a uint8 (height, width, 3) array."""
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or 0 in image.shape
    ):
        what = f"{getattr(image, 'dtype', type(image).__name__)} of shape {np.shape(image)}"
        raise ValueError(f"An image must be uint8 (height, width, 3), RGB. Received: {what}")
    return image


def check_boxes(boxes: Any, count: int) -> np.ndarray:
    """Returns (count, 4) float32 boxes, or raises ``ValueError`` if one has no area."""
    boxes = np.asarray(boxes, np.float32)
    if boxes.shape != (count, 4):
        raise ValueError(
            f"`boxes` must be ({count}, 4), one (x0, y0, x1, y1) per image. Received: boxes of "
            f"shape {boxes.shape}"
        )
    good = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if not good.all():
        first = int(np.flatnonzero(~good)[0])
        raise ValueError(
            "A box must be finite with x1 > x0 and y1 > y0. Received: "
            f"boxes[{first}]={boxes[first].tolist()}"
        )
    return boxes


def cut_crop(
    image: np.ndarray,
    crop_from_image: np.ndarray,
    size: Sequence[int],
    border: Border = "clamp",
) -> np.ndarray:
    """Cuts one crop out of an image.

    A face that is more than twice as large as the crop is first reduced by a whole factor with area
    averaging, so that bilinear sampling does not skip pixels (aliasing).

    Args:
        image: (height, width, 3) uint8.
        crop_from_image: (2, 3) map from image pixels to crop pixels, both with pixel centres at
            ``i + 0.5`` (see ``tfalign.geometry``).
        size: (height, width) of the crop.
        border: What lies outside the image, see ``tfalign.geometry.Border``.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: If the image is not uint8 (H, W, 3).
    """
    image = check_image(image)
    matrix = np.asarray(crop_from_image, np.float64)
    height, width = int(size[0]), int(size[1])
    shrink = 1.0 / math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    factor = max(1, int(shrink))
    # Also where nothing is reduced: OpenCV's images end at 32,767 pixels a side.
    if factor > 1 or max(image.shape) > _LONGEST_SIDE:
        image, small_from_image = _reduced(image, matrix, (height, width), factor, border)
        matrix = np.asarray(geometry.compose(matrix, geometry.invert(small_from_image)))
    # OpenCV puts pixel centres at whole numbers: shift by half a pixel on both sides.
    cv_matrix = matrix.copy()
    cv_matrix[:, 2] += 0.5 * matrix[:, :2].sum(axis=1) - 0.5
    return cv2.warpAffine(
        image,
        cv_matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=_CV_BORDER[border],
    )


def _reduced(
    image: np.ndarray,
    crop_from_image: np.ndarray,
    size: tuple[int, int],
    factor: int,
    border: Border,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the part of the image under the crop, reduced, and the map to it from the image."""
    right, bottom = size[1], size[0]
    corners = np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]], np.float64)
    in_image = np.asarray(geometry.transform_points(geometry.invert(crop_from_image), corners))
    height, width = image.shape[:2]
    margin = 2 * factor
    # At least one row and column remain, so that a box outside the image sees its border.
    x0, y0 = (
        int(v) for v in np.clip(np.floor(in_image.min(axis=0)) - margin, 0, (width - 1, height - 1))
    )
    x1, y1 = (int(v) for v in np.ceil(in_image.max(axis=0)) + margin)
    part = image[y0 : max(min(y1, height), y0 + 1), x0 : max(min(x1, width), x0 + 1)]
    # Whole blocks of pixels, as apps average them; the last ones are filled up as the border says.
    rows, columns = (math.ceil(side / factor) for side in part.shape[:2])
    missing = (rows * factor - part.shape[0], columns * factor - part.shape[1])
    part = cv2.copyMakeBorder(part, 0, missing[0], 0, missing[1], _CV_BORDER[border])
    reduced = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    factors = np.full(2, 1.0 / factor)
    shift = geometry.translation(np.array([-x0, -y0], np.float64))
    return reduced, np.asarray(geometry.compose(geometry.scaling(factors), shift))


def cut_crops(
    images: Sequence[np.ndarray],
    boxes: Any,
    convention: CropConvention,
    size: Sequence[int],
    angles: Any = None,
    border: Border = "clamp",
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts one crop per image and box by a model's convention.

    Args:
        images: Images (H, W, 3) uint8 of any sizes; one image may stand several times.
        boxes: (faces, 4) boxes in image pixels, one per image, before padding.
        convention: The model's crop convention (``model.crop``).
        size: (height, width) of the model's input.
        angles: (faces,) radians by which each region is turned about its centre, or None.
        border: What lies outside an image.

    Returns:
        (faces, height, width, 3) uint8 crops, and (faces, 2, 3) float64 maps ``crop_from_image``.

    Raises:
        ValueError: If an image or a box is unusable, or the counts differ.
    """
    # float64: a crop's inverse map multiplies coordinates of several thousand pixels.
    boxes = check_boxes(boxes, len(images)).astype(np.float64)
    turn: Any = 0.0 if angles is None else np.asarray(angles, np.float64)
    maps = np.asarray(convention.crop_from_image(boxes, size, turn))
    crops = np.empty((len(images), int(size[0]), int(size[1]), 3), np.uint8)
    for index, (image, matrix) in enumerate(zip(images, maps, strict=True)):
        crops[index] = cut_crop(image, matrix, size, border)
    return crops, maps
