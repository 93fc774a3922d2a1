"""Pictures that are free to travel: smooth noise, and rendered faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfalign import geometry

FACE_SEED = 2019


def noise_pictures(count: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Returns smooth coloured noise (count, height, width, 3) uint8: blobs of an eighth.

    Such pictures drive a network harder than faces do, so distances measured on them are no
    measure of accuracy, only of the conversion.

    Args:
        count: Number of pictures.
        size: (height, width) in pixels.
        seed: Of the generator; equal seeds give equal pictures.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    coarse = rng.uniform(0.0, 255.0, (count, 9, 9, 3))
    y, x = (np.linspace(0.0, 8.0, n, endpoint=False) for n in (height, width))
    y0, x0 = y.astype(int), x.astype(int)
    fy, fx = (y - y0)[:, None, None], (x - x0)[None, :, None]
    top = coarse[:, y0][:, :, x0] * (1 - fx) + coarse[:, y0][:, :, x0 + 1] * fx
    below = coarse[:, y0 + 1][:, :, x0] * (1 - fx) + coarse[:, y0 + 1][:, :, x0 + 1] * fx
    return np.rint(top * (1 - fy) + below * fy).astype(np.uint8)


def rendered_faces(
    count: int,
    size: tuple[int, int],
    crop: geometry.CropConvention | None = None,
    seed: int = FACE_SEED,
    box_padding: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Returns crops (count, height, width, 3) uint8 RGB of rendered faces, the same at each call.

    Args:
        count: Number of pictures.
        size: (height, width) in pixels.
        crop: How a face's box becomes the crop; None takes the box itself, squared.
        seed: Of the renderer; other seeds give other faces.
        box_padding: How a face's tight box becomes the one that the crop starts from, as
            ``Metadata`` has it; None takes the renderer's box of a whole face.
    """
    from tfalign.data.synthetic import render

    convention = geometry.CropConvention() if crop is None else crop
    crops = []
    for index in range(count):
        sample = render(seed, index)
        box = sample.box
        if box_padding is not None:
            box = np.asarray(geometry.box_from_landmarks(sample.landmarks))
            for step in (box_padding["face"], box_padding["points"]):
                box = box if step is None else np.asarray(geometry.pad_box(box, step))
        image_from_crop = geometry.invert(convention.crop_from_image(box, size))
        image = sample.image[None].astype(np.float32)
        maps = np.asarray(image_from_crop, np.float32)[None]
        crops.append(np.asarray(geometry.warp_affine(image, maps, size))[0])
    return np.rint(np.stack(crops)).astype(np.uint8)
