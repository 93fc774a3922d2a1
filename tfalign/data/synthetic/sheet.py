"""One picture of many synthetic faces."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from tfalign.data.synthetic.draw import ellipse, polygon
from tfalign.data.synthetic.scene import render

_DOT_SHARE = 1 / 190


def contact_sheet(
    path: str | os.PathLike[str],
    rows: int = 4,
    cols: int = 8,
    seed: int = 0,
    landmarks: bool = False,
    size: int = 192,
) -> np.ndarray:
    """Writes the first ``rows * cols`` faces of a seed as one picture.

    Args:
        path: Where to write; the suffix decides the format (``.png``, ``.jpg``).
        rows: Number of rows, at least 1.
        cols: Number of columns, at least 1.
        seed: The faces' seed.
        landmarks: Whether to draw the 98 points.
        size: Side of one face in pixels.

    Returns:
        The picture, (rows * size, cols * size, 3) uint8 RGB.

    Raises:
        ValueError: If ``rows`` or ``cols`` is below 1, or OpenCV does not know the suffix.
        FileNotFoundError: If the folder does not exist.
    """
    if rows < 1 or cols < 1:
        raise ValueError(f"rows and cols must be at least 1. Received: rows={rows}, cols={cols}")
    path = Path(path)
    if not cv2.haveImageWriter(path.name):
        raise ValueError(
            f"path must end in an image suffix such as .png or .jpg. Received: path={path}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder of path must exist. Received: path={path}")
    sheet = np.empty((rows * size, cols * size, 3), np.uint8)
    for index in range(rows * cols):
        sample = render(seed, index, size)
        image = sample.image.copy()
        if landmarks:
            for point in sample.landmarks:
                radius = max(1.0, size * _DOT_SHARE)
                polygon(image, ellipse(point, (radius, radius), 0.0, 10), (60.0, 255.0, 60.0))
        row, col = divmod(index, cols)
        sheet[row * size : (row + 1) * size, col * size : (col + 1) * size] = image
    if not cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise OSError(f"OpenCV could not write {path}")
    return sheet
