"""Sobel's operator against OpenCV's, and the gradient that it stands for."""

import cv2
import numpy as np
from keras import ops

from tfalign.layers.image_gradient import sobel


def test_sobel_agrees_with_opencv(rng) -> None:
    image = rng.normal(size=(2, 9, 7, 3)).astype("float32")
    along_x, along_y = (ops.convert_to_numpy(part) for part in sobel(image))
    for b, channel in np.ndindex(2, 3):
        plane = image[b, :, :, channel]
        for found, order in ((along_x, (1, 0)), (along_y, (0, 1))):
            expected = cv2.Sobel(plane, cv2.CV_32F, *order, borderType=cv2.BORDER_REPLICATE) / 8
            np.testing.assert_allclose(found[b, :, :, channel], expected, atol=1e-5)


def test_a_ramp_has_its_slope() -> None:
    y, x = np.mgrid[:8, :10].astype("float32")
    along_x, along_y = sobel((3 * x - 2 * y)[None, :, :, None])
    np.testing.assert_allclose(along_x[0, 1:-1, 1:-1, 0], 3, atol=1e-5)
    np.testing.assert_allclose(along_y[0, 1:-1, 1:-1, 0], -2, atol=1e-5)
