"""Blurs, sharpening and emboss against OpenCV, with imgaug's kernels written out."""

import cv2
import numpy as np
import pytest
from keras import ops

from tfalign.data.augment import filters


@pytest.fixture
def images(rng):
    """Four noise images, where every filter changes every pixel."""
    return rng.uniform(0, 255, (4, 21, 18, 3)).astype(np.float32)


def test_gaussian_agrees_with_opencv(images):
    sigma = np.array([0.3, 0.9, 1.7, 3.0], np.float32)
    kernels = filters.gaussian_kernel(sigma, 6)
    received = ops.convert_to_numpy(filters.separable(images, kernels))
    for row in range(4):
        expected = cv2.GaussianBlur(
            images[row], (13, 13), float(sigma[row]), borderType=cv2.BORDER_REFLECT_101
        )
        np.testing.assert_allclose(received[row], expected, atol=2e-3)


def test_a_sigma_of_zero_changes_nothing(images):
    kernels = filters.gaussian_kernel(np.zeros(4, np.float32), 6)
    np.testing.assert_allclose(filters.separable(images, kernels), images, atol=1e-4)


def test_average_agrees_with_opencv_for_odd_sizes(images):
    sizes = np.array([1, 3, 5, 7], np.float32)
    received = ops.convert_to_numpy(filters.separable(images, filters.average_kernel(sizes, 3)))
    for row in range(4):
        side = int(sizes[row])
        expected = cv2.blur(images[row], (side, side), borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(received[row], expected, atol=2e-3)


def test_average_kernels_are_centred_boxes_of_any_size():
    sizes = np.array([2.0, 3.4, 6.5], np.float32)
    kernels = ops.convert_to_numpy(filters.average_kernel(sizes, 3))
    np.testing.assert_allclose(kernels, kernels[:, ::-1], atol=1e-7)
    for kernel, size in zip(kernels, sizes, strict=True):
        # Each tap is the overlap of its pixel with the box, by brute force on a fine grid.
        grid = np.arange(-3.5, 3.5, 1e-3) + 5e-4
        inside = (np.abs(grid) < size / 2).reshape(7, -1).mean(axis=1) / size
        np.testing.assert_allclose(kernel, inside, atol=2e-3)


@pytest.mark.parametrize("kind", ["sharpen", "emboss"])
def test_kernels_agree_with_imgaugs_formulas_and_opencv(images, rng, kind):
    alpha = rng.uniform(0, 1, 4).astype(np.float32)
    strength = rng.uniform(0.75, 2.0, 4).astype(np.float32)
    make = filters.sharpen_kernel if kind == "sharpen" else filters.emboss_kernel
    received = ops.convert_to_numpy(filters.convolve(images, make(alpha, strength)))
    nothing = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)
    for row in range(4):
        s = strength[row]
        if kind == "sharpen":
            effect = np.array([[-1, -1, -1], [-1, 8 + s, -1], [-1, -1, -1]], np.float32)
        else:
            effect = np.array([[-1 - s, -s, 0], [-s, 1, s], [0, s, 1 + s]], np.float32)
        kernel = (1 - alpha[row]) * nothing + alpha[row] * effect
        expected = cv2.filter2D(images[row], -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(received[row], expected, atol=5e-3)


def test_median_agrees_with_opencv(rng):
    images = rng.integers(0, 256, (3, 20, 17, 3), dtype=np.uint8)
    received = ops.convert_to_numpy(filters.median(images.astype(np.float32)))
    for row in range(3):
        np.testing.assert_array_equal(received[row], cv2.medianBlur(images[row], 3))
