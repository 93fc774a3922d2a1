"""Occluders against OpenCV's drawing, and the statistics of the noise."""

import cv2
import numpy as np
import pytest
from keras import ops

from tfalign.data.augment import sample_keys
from tfalign.data.augment.noise import add_noise
from tfalign.data.augment.occlusion import OCCLUDER_DRAWS, occlude

WIDTH, HEIGHT = 90, 70


@pytest.mark.parametrize("ellipse", [False, True], ids=["rectangle", "ellipse"])
def test_occluders_cover_what_opencv_draws(rng, ellipse):
    draws = rng.random((12, OCCLUDER_DRAWS)).astype(np.float32)
    draws[:, 5] = 0.9 if ellipse else 0.1
    draws[:, :2] = 0.4 + 0.2 * draws[:, :2]  # away from the border, where OpenCV's outlines end
    images = np.full((12, HEIGHT, WIDTH, 3), -1.0, np.float32)  # no colour of an occluder
    result = ops.convert_to_numpy(occlude(images, draws, 0.1, 0.5))
    for row in range(12):
        covered = (result[row] >= 0).all(axis=-1)
        side = HEIGHT * (0.1 + 0.4 * draws[row, 2:4])
        # OpenCV counts from pixel centres and draws with 4 bits of fraction.
        centre = (draws[row, 0] * WIDTH - 0.5, draws[row, 1] * HEIGHT - 0.5)
        degrees = float(draws[row, 4] * 180)
        shape = (centre, (float(side[0]), float(side[1])), degrees)
        drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
        if ellipse:
            cv2.ellipse(drawn, shape, 1, -1)
        else:
            corners = np.round(cv2.boxPoints(shape) * 16).astype(np.int32)
            cv2.fillPoly(drawn, [corners], 1, shift=4)
        # The two rasterisations may differ along the outline only.
        ring = cv2.dilate(drawn, np.ones((3, 3))) != cv2.erode(drawn, np.ones((3, 3)))
        assert not np.any((covered != drawn.astype(bool)) & ~ring)
        assert result[row].max() <= 255.0


def test_noise_has_the_drawn_deviation():
    images = np.full((3, 60, 60, 3), 100.0, np.float32)
    keys = sample_keys(0, 0, np.arange(3))
    sigma = np.array([0.0, 5.0, 12.0], np.float32)
    separate = np.array([True, True, False])
    result = ops.convert_to_numpy(add_noise(images, keys, sigma, separate)) - 100.0
    np.testing.assert_allclose(result.std(axis=(1, 2, 3)), sigma, rtol=0.03)
    assert np.abs(result.mean(axis=(1, 2, 3))).max() < 0.5
    assert abs(np.corrcoef(result[1, ..., 0].ravel(), result[1, ..., 1].ravel())[0, 1]) < 0.06
    np.testing.assert_allclose(result[2, ..., 0], result[2, ..., 2], atol=1e-4)
