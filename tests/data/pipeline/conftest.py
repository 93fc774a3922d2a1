"""Samples with known content for the pipeline's tests."""

import cv2
import numpy as np
import pytest

from tfalign.data import Sample
from tfalign.data.pipeline import CropCache


def make_sample(index: int, size: int = 200, face: float = 60.0) -> Sample:
    """A smooth picture that differs from index to index, with a face box of ``face`` pixels."""
    rng = np.random.default_rng(index)
    small = rng.integers(0, 256, (size // 10, size // 8, 3), dtype=np.uint8)
    image = cv2.resize(small, (size + 40, size), interpolation=cv2.INTER_CUBIC)
    corner = np.array([size * 0.4, size * 0.35]) + rng.uniform(-5, 5, 2)
    box = np.concatenate([corner, corner + [face, face * 0.8]])
    return Sample(
        image=image,
        landmarks=(corner + rng.uniform(0, face, (98, 2))).astype(np.float32),
        visible=rng.random(98) < 0.8,
        box=box.astype(np.float32),
        name=f"face {index}",
        scheme="wflw98",
        attributes={"blur": bool(index % 2), "index": index},
    )


@pytest.fixture(scope="session")
def samples():
    """Ten samples."""
    return [make_sample(index) for index in range(10)]


@pytest.fixture(scope="session")
def cache(samples):
    """Their cache: inputs of 32 pixels."""
    return CropCache.build(samples, crop="300w", image_size=(32, 32))
