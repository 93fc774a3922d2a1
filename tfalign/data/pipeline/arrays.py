"""The nominal crops of a cache, for evaluation."""

from __future__ import annotations

import numpy as np

from tfalign import geometry
from tfalign.data.pipeline.crop_cache import CropCache

_CHUNK = 64  # Faces warped at once: bounds the memory that the float images take.


def evaluation_arrays(cache: CropCache) -> tuple[np.ndarray, np.ndarray]:
    """Returns model inputs and their landmarks, without augmentation.

    Args:
        cache: The faces.

    Returns:
        Images (N, h, w, 3) uint8 and landmarks (N, n, 2) float32 in [0, 1]². ``cache.to_image``
        maps predictions in [0, 1]² back to photograph pixels, where errors are measured.
    """
    images = np.empty((len(cache), *cache.image_size, 3), dtype=np.uint8)
    source_from_output = geometry.invert(cache.output_from_source)
    for start in range(0, len(cache), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        maps = source_from_output[chunk]
        values = geometry.warp_affine(cache.images[chunk], maps, cache.image_size)
        images[chunk] = np.rint(np.asarray(values)).astype(np.uint8)
    return images, np.asarray(cache.unit_landmarks, dtype=np.float32)
