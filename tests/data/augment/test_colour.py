"""Colour changes against OpenCV's conversions and NumPy."""

import cv2
import numpy as np
from keras import ops

from tfalign.data.augment import colour


def test_hue_and_saturation_agree_with_opencvs_hsv(rng):
    images = rng.uniform(0, 255, (6, 15, 16, 3)).astype(np.float32)
    images[0, :4] = images[0, :4, :, :1]  # grey pixels, whose hue is undefined
    images[1, 0] = 0.0  # black, whose saturation is too
    hue = np.array([0, 15, -40, 40, 170, -350], np.float32)
    saturation = np.array([0, -20, 20, 300, -300, 5], np.float32)
    received = ops.convert_to_numpy(colour.add_hue_saturation(images, hue, saturation))
    for row in range(6):
        hsv = cv2.cvtColor(images[row] / 255, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + hue[row]) % 360
        hsv[..., 1] = np.clip(hsv[..., 1] + saturation[row] / 255, 0, 1)
        expected = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255
        np.testing.assert_allclose(received[row], expected, atol=0.05)


def test_contrast_and_brightness_are_one_linear_map(rng):
    images = rng.uniform(0, 255, (3, 5, 6, 3)).astype(np.float32)
    factor = rng.uniform(0.5, 2.0, (3, 3)).astype(np.float32)
    shift = rng.uniform(-10, 10, (3, 3)).astype(np.float32)
    received = ops.convert_to_numpy(colour.contrast_brightness(images, factor, shift))
    for row in range(3):
        for channel in range(3):
            pixels = images[row, ..., channel]
            expected = 128 + factor[row, channel] * (pixels - 128) + shift[row, channel]
            np.testing.assert_allclose(received[row, ..., channel], expected, atol=1e-3)


def test_grey_agrees_with_opencv(rng):
    images = rng.integers(0, 256, (3, 9, 8, 3), dtype=np.uint8)
    alpha = np.array([0.0, 0.4, 1.0], np.float32)
    received = ops.convert_to_numpy(colour.blend_grey(images.astype(np.float32), alpha))
    for row in range(3):
        grey = cv2.cvtColor(images[row], cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
        expected = (1 - alpha[row]) * images[row] + alpha[row] * grey
        np.testing.assert_allclose(received[row], expected, atol=0.51)  # OpenCV's grey is rounded
