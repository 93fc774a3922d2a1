"""Gaussian heatmaps against exponentials written out cell by cell."""

from __future__ import annotations

import math

import numpy as np
from keras import ops

from tfalign.geometry.heatmaps import gaussian_heatmaps


def brute_force(point: np.ndarray, rows: int, columns: int, sigma: float) -> np.ndarray:
    x, y = (min(max(float(value), 0.0), 1.0) for value in point)
    drawn = np.zeros((rows, columns))
    for row, column in np.ndindex(rows, columns):
        square = (x * columns - column - 0.5) ** 2 + (y * rows - row - 0.5) ** 2
        drawn[row, column] = math.exp(-square / (2 * sigma**2))
    return drawn


def test_agrees_with_brute_force_inside_on_the_border_and_outside(rng) -> None:
    landmarks = rng.uniform(-0.3, 1.3, (2, 4, 2)).astype("float32")
    landmarks[0, 0], landmarks[1, 0] = (0.0, 1.0), (1.0, 0.0)
    found = gaussian_heatmaps(landmarks, (7, 9), 1.3)
    assert found.shape == (2, 7, 9, 4)
    for face, point in np.ndindex(2, 4):
        expected = brute_force(landmarks[face, point], 7, 9, 1.3)
        np.testing.assert_allclose(found[face, :, :, point], expected, atol=1e-6)
    tensors = gaussian_heatmaps(ops.convert_to_tensor(landmarks), (7, 9), 1.3)
    np.testing.assert_allclose(ops.convert_to_numpy(tensors), found, atol=1e-6)


def test_the_centre_of_a_cell_has_height_one() -> None:
    landmark = np.float32([[(3 + 0.5) / 8, (5 + 0.5) / 8]])
    drawn = gaussian_heatmaps(landmark, (8, 8), 1.3)[..., 0]
    assert drawn[5, 3] == 1.0
    np.testing.assert_allclose(drawn[5, 4], math.exp(-0.5 / 1.3**2), rtol=1e-6)
