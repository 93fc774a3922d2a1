"""Mirror images of training faces."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfalign import geometry
from tfalign.data.pipeline import CropCache


def mirrored(cache: CropCache) -> CropCache:
    """Returns the mirror image of every face of a cache, each point under its mirrored name.

    Boxes stay those of the photographs, as do the maps, which lead through the mirror.

    Args:
        cache: The faces.

    Raises:
        ValueError: If their scheme does not say which points mirror each other.
    """
    if cache.scheme.flip_map is None:
        raise ValueError(
            "Faces are mirrored by a scheme that says which points change places. Received: "
            f"scheme {cache.scheme.name!r}, which has no mirror pairs"
        )
    if not isinstance(cache.images, np.ndarray):
        raise ValueError(
            "The mirror images of faces are made in memory: give cache='memory' with mirror=True. "
            f"Received: images in {cache.images.paths[0].parent}"
        )
    order = list(cache.scheme.flip_map)
    side = cache.images.shape[2]
    # Source-crop pixels to mirrored ones and back: x becomes side - x.
    mirror = np.array([[-1.0, 0.0, side], [0.0, 1.0, 0.0]])
    width = cache.image_size[1]
    back = np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0]])
    nominal = geometry.compose(back, geometry.compose(cache.output_from_source, mirror))
    landmarks = np.asarray(geometry.transform_points(mirror, cache.landmarks))[:, order]
    annotated = cache.annotated[:, order]
    return dataclasses.replace(
        cache,
        images=np.ascontiguousarray(cache.images[:, :, ::-1]),
        landmarks=np.where(annotated[..., None], landmarks, 0.0).astype(np.float32),
        visible=cache.visible[:, order],
        annotated=annotated,
        source_from_image=np.asarray(geometry.compose(mirror, cache.source_from_image), np.float32),
        output_from_source=np.asarray(nominal, np.float32),
        names=np.array([f"{name} mirrored" for name in cache.names]),
    )
