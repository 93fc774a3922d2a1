"""Cutting faces out of their photographs, with a margin."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import cv2
import numpy as np

from tfalign import geometry
from tfalign.data.sample import Sample

_LARGEST_REGION = 16
"""A region may be this many times larger than its photograph; a larger one is a broken box."""


def default_source_size(image_size: Sequence[int], margin: float) -> int:
    """Returns the side of source crops that gives the nominal input at least its own resolution.

    A multiple of 16: 192 for an input of 112 and a margin of 0.3, so that a face that is large in
    its photograph is kept at 120 pixels for an input of 112.
    """
    return 16 * math.ceil(max(image_size) * (1.0 + 2.0 * margin) / 16)


def cut_source_crop(
    sample: Sample,
    crop: geometry.CropConvention,
    image_size: Sequence[int],
    margin: float,
    source_size: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts a square source crop out of a sample's photograph.

    The square is aligned to whole pixels. If it has more pixels than the source crop it is reduced
    by area averaging, which lets no frequency alias; if it has fewer, it is not enlarged but shows
    more of the surroundings. Outside the photograph the border pixels are repeated.

    Args:
        sample: The face.
        crop: The convention that gives the region that the model sees.
        image_size: (height, width) of the model's input.
        margin: Share of the region's longer side added on each side.
        source_size: Side S of the source crop in pixels.

    Returns:
        The source crop (S, S, 3) uint8; ``source_from_image`` (2, 3) float32; and the nominal
        ``output_from_source`` (2, 3) float32.

    Raises:
        ValueError: If the region does not touch the photograph or is very much larger than it.
    """
    region = crop.region(np.asarray(sample.box, dtype=np.float64))
    height, width = sample.image.shape[:2]
    wanted = float(np.max(geometry.box_size(region))) * (1.0 + 2.0 * margin)
    if wanted > _LARGEST_REGION * max(width, height):
        raise ValueError(
            f"The region of a face must not exceed {_LARGEST_REGION} times its photograph of "
            f"{width}×{height} pixels. Received: box={sample.box.tolist()} of {sample.name!r}"
        )
    side = max(source_size, math.ceil(wanted))
    x0, y0 = (round(float(c) - side / 2) for c in geometry.box_center(region))
    if x0 >= width or y0 >= height or x0 + side <= 0 or y0 + side <= 0:
        raise ValueError(
            f"The region of a face must touch its photograph of {width}×{height} pixels. "
            f"Received: box={sample.box.tolist()} of {sample.name!r}"
        )
    patch = _patch(sample.image, x0, y0, side)
    if side > source_size:
        patch = cv2.resize(patch, (source_size, source_size), interpolation=cv2.INTER_AREA)
    square = np.array([x0, y0, x0 + side, y0 + side], dtype=np.float64)
    source_from_image = geometry.crop_from_image(square, (source_size, source_size))
    output_from_image = geometry.crop_from_image(region, image_size)
    output_from_source = geometry.compose(output_from_image, geometry.invert(source_from_image))
    return patch, source_from_image.astype(np.float32), output_from_source.astype(np.float32)


def _patch(image: np.ndarray, x0: int, y0: int, side: int) -> np.ndarray:
    """Returns a square of ``side`` pixels, the border repeated where it leaves the image."""
    height, width = image.shape[:2]
    left, top = max(0, -x0), max(0, -y0)
    right, bottom = max(0, x0 + side - width), max(0, y0 + side - height)
    inside = image[y0 + top : y0 + side - bottom, x0 + left : x0 + side - right]
    if left or top or right or bottom:
        return cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(inside)


class Cropped(NamedTuple):
    """A face cut out: the sample without its photograph, landmarks in source-crop pixels; the
    source crop; and the maps of ``cut_source_crop``."""

    sample: Sample
    image: np.ndarray
    source_from_image: np.ndarray
    output_from_source: np.ndarray


def crop_faces(
    source: Any,
    crop: geometry.CropConvention,
    image_size: Sequence[int],
    margin: float,
    source_size: int,
    workers: int | None,
) -> Iterator[Cropped]:
    """Yields the faces of a reader or of samples in order; decoding and cropping run in threads.

    For the arguments see ``CropCache.build`` and ``cut_source_crop``.
    """
    count = workers or os.cpu_count() or 1
    is_reader = hasattr(source, "records")

    def task(item: Any) -> Cropped | None:
        sample = source.try_load(item) if is_reader else item
        if sample is None:
            return None
        patch, source_from_image, output_from_source = cut_source_crop(
            sample, crop, image_size, margin, source_size
        )
        points = geometry.transform_points(source_from_image, sample.landmarks)
        # The photograph is dropped here, so that no more than a few are ever held.
        light = replace(
            sample,
            image=np.empty((0, 0, 3), np.uint8),
            landmarks=np.where(sample.annotated[:, None], points, 0.0),
        )
        return Cropped(light, patch, source_from_image, output_from_source)

    remaining = iter(source.records if is_reader else source)
    with ThreadPoolExecutor(count) as pool:
        # In windows, since the pool would otherwise draw every sample of a generator at once.
        while window := list(islice(remaining, 8 * count)):
            for face in pool.map(task, window):
                if face is not None:
                    yield face
