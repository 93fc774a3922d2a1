"""Building a crop cache from a reader or from samples, in parallel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import keras
import numpy as np

from tfalign import geometry
from tfalign.data.pipeline.crop_cache import CropCache
from tfalign.data.pipeline.source_crop import cut_source_crop, default_source_size
from tfalign.data.sample import Sample

Cropped = tuple[Sample, np.ndarray, np.ndarray, np.ndarray]


def build_cache(
    source: Any,
    crop: str | geometry.CropConvention | Mapping[str, Any],
    image_size: Sequence[int],
    margin: float,
    source_size: int | None,
    workers: int | None,
    progress: bool,
) -> CropCache:
    """Crops every face of ``source``; see ``CropCache.build`` for arguments and errors."""
    convention = geometry.crop_convention(crop)
    size = (int(image_size[0]), int(image_size[1]))
    if margin < 0:
        raise ValueError(f"`margin` must not be negative. Received: margin={margin}")
    side = default_source_size(size, margin) if source_size is None else int(source_size)
    if side < 1 or min(size) < 1:
        raise ValueError(
            "`source_size` and `image_size` must be positive. "
            f"Received: source_size={source_size}, image_size={size}"
        )

    def prepare(sample: Sample) -> Cropped:
        patch, source_from_image, output_from_source = cut_source_crop(
            sample, convention, size, margin, side
        )
        light = Sample(
            # The photograph is dropped here, so that no more than a few are ever held.
            image=np.empty((0, 0, 3), np.uint8),
            landmarks=geometry.transform_points(source_from_image, sample.landmarks),
            visible=sample.visible,
            box=sample.box,
            name=sample.name,
            scheme=sample.scheme,
            box_source=sample.box_source,
            attributes=sample.attributes,
        )
        return light, patch, source_from_image, output_from_source

    faces: list[Cropped] = []
    total = len(source) if hasattr(source, "__len__") else None
    bar = keras.utils.Progbar(total, unit_name="face", verbose=1) if progress else None
    # The crops go straight to their place: stacking a list would hold them all twice.
    images = np.empty((total or 0, side, side, 3), np.uint8)
    for face in _cropped(source, prepare, workers):
        if total is not None:
            images[len(faces)] = face[1]
            face = (face[0], images[len(faces)], *face[2:])
        faces.append(face)
        if bar is not None:
            bar.update(len(faces))
    if not faces:
        raise ValueError(f"A crop cache needs at least one face. Received: none from {source!r}")
    images = np.stack([face[1] for face in faces]) if total is None else images[: len(faces)]
    return _packed(faces, images, size, convention)


def _cropped(
    source: Any, prepare: Callable[[Sample], Cropped], workers: int | None
) -> Iterator[Cropped]:
    """Yields the prepared faces in order; decoding and cropping run in threads."""
    count = workers or os.cpu_count() or 1
    is_reader = hasattr(source, "records")

    def task(item: Any) -> Cropped | None:
        sample = source.try_load(item) if is_reader else item
        return None if sample is None else prepare(sample)

    remaining = iter(source.records if is_reader else source)
    with ThreadPoolExecutor(count) as pool:
        # In windows, since the pool would otherwise draw every sample of a generator at once.
        while window := list(islice(remaining, 8 * count)):
            for face in pool.map(task, window):
                if face is not None:
                    yield face


def _packed(
    faces: Sequence[Cropped],
    images: np.ndarray,
    image_size: tuple[int, int],
    crop: geometry.CropConvention,
) -> CropCache:
    samples = [face[0] for face in faces]
    scheme = samples[0].scheme
    if any(sample.scheme != scheme for sample in samples):
        names = sorted({sample.scheme.name for sample in samples})
        raise ValueError(f"A crop cache holds one landmark scheme. Received: schemes={names}")
    attributes = np.empty(len(samples), dtype=object)
    attributes[:] = [dict(sample.attributes) for sample in samples]
    return CropCache(
        images=images,
        landmarks=np.stack([sample.landmarks for sample in samples]).astype(np.float32),
        visible=np.stack([sample.visible for sample in samples]).astype(bool),
        source_from_image=np.stack([face[2] for face in faces]),
        output_from_source=np.stack([face[3] for face in faces]),
        boxes=np.stack([sample.box for sample in samples]).astype(np.float32),
        names=np.array([sample.name for sample in samples]),
        attributes=attributes,
        scheme=scheme,
        image_size=image_size,
        crop=crop,
    )
