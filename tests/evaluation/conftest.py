"""Faces whose true landmarks a backend can read out of the pixels.

Red tells each pixel's column, green its row and blue the face's number. From a crop, however it was
cut, the oracle finds the map from crop to image by least squares and so the true landmarks in the
crop: it has no error under any box, padding and rotation, if cropping and mapping back agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tfalign import geometry, markup
from tfalign.data.sample import Sample
from tfalign.inference.backends import CallableBackend

WIDTH, HEIGHT = 240, 220
# Two grey levels per pixel, so that the mean of neighbours is a whole number, too; that covers 127
# pixels in the middle, beyond which the colour stays.
FIRST = (56, 46)


def colour(columns: np.ndarray, rows: np.ndarray, index: int) -> np.ndarray:
    """The image in which the pixels (column, row) tell where they are."""
    red, green = 2 * (columns - FIRST[0]), 2 * (rows - FIRST[1])
    return np.stack([red, green, np.full_like(rows, index)], axis=-1).clip(0, 255).astype(np.uint8)


def face_shape(scheme: markup.LandmarkScheme, rng: np.random.Generator) -> np.ndarray:
    """A shape of about 60 pixels near the image's centre, eyes about 30 pixels apart."""
    points = rng.uniform(-30, 30, (scheme.num_points, 2))
    right, left = scheme.eye_corners
    points[right], points[left] = (-15, -5), (15, -5)
    for pupil, x in zip(scheme.pupils, (-10, 10), strict=True):
        points[list(pupil)] = np.stack(
            [np.full(len(pupil), float(x)), rng.uniform(-8, -2, len(pupil))], axis=1
        )
    points[right], points[left] = (-15, -5), (15, -5)
    return points + np.array([WIDTH / 2, HEIGHT / 2]) + rng.uniform(-8, 8, 2)


@dataclass
class OracleFaces:
    samples: list[Sample]

    def backend(self, scheme=None, size=(40, 48), crop="300w", error=0.0):
        """A backend that finds the truth, plus ``error`` pixels of the image in x."""
        scheme = scheme or self.samples[0].scheme
        truth = [sample.landmarks.astype(np.float64) for sample in self.samples]

        def find(crops: np.ndarray) -> np.ndarray:
            height, width = crops.shape[1:3]
            columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
            in_crop = np.stack([columns, rows], axis=-1).reshape(-1, 2)
            found = []
            for crop in crops.astype(np.float64):
                tells = crop.reshape(-1, 3)[:, :2]
                inside = ((tells > 3) & (tells < 252)).all(axis=1)
                in_image = tells[inside] / 2 + FIRST + 0.5
                crop_from_image = geometry.affine_from_points(in_image, in_crop[inside])
                shape = truth[round(float(np.median(crop[..., 2])))] + (error, 0.0)
                moved = geometry.transform_points(crop_from_image, shape)
                found.append(geometry.unit_from_pixel(moved, (height, width)))
            return np.stack(found)

        return CallableBackend(find, size, geometry.crop_convention(crop), scheme, "oracle")


@pytest.fixture
def oracle_faces(rng):
    """Returns a function ``(scheme, count) → OracleFaces``."""

    def make(scheme: str = "ibug68", count: int = 5, **changes) -> OracleFaces:
        columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
        samples = []
        for index in range(count):
            image = colour(columns, rows, index)
            points = face_shape(markup.get(scheme), rng).astype(np.float32)
            box = geometry.pad_box(geometry.box_from_landmarks(points), (0.1, 0.05, 0.1, 0.2))
            fields = {
                "image": image,
                "landmarks": points,
                "visible": np.ones(len(points), bool),
                "box": np.asarray(box, np.float32),
                "name": f"helen/testset/{index}.png",
                "scheme": scheme,
                "box_source": "file",
            }
            samples.append(Sample(**{**fields, **changes}))
        return OracleFaces(samples)

    return make
