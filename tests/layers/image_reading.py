"""Reading an image between its pixels, written out: the reference of several tests."""

import cv2
import numpy as np


def read(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """Interpolates an image (H, W, C) at (x, y) in pixels, pixel centres at integers, in float64.

    Outside the image the nearest border pixel is read.
    """
    rows, columns = image.shape[:2]
    left, top = int(np.floor(x)), int(np.floor(y))
    value = np.zeros(image.shape[2])
    for row, column in np.ndindex(2, 2):
        share = (1 - abs(x - left - column)) * (1 - abs(y - top - row))
        cell = np.clip(top + row, 0, rows - 1), np.clip(left + column, 0, columns - 1)
        value += share * image[cell]
    return value


def gradient_image(image: np.ndarray) -> np.ndarray:
    """Returns Sobel's gradient (H, W, 2) of a grey image (H, W), by OpenCV, per pixel."""
    parts = [
        cv2.Sobel(image.astype(np.float64), cv2.CV_64F, *order, borderType=cv2.BORDER_REPLICATE)
        for order in ((1, 0), (0, 1))
    ]
    return np.stack(parts, axis=-1) / 8
