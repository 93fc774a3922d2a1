"""Landmarks as heatmaps: one small Gaussian per landmark on a grid of cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfalign.geometry.namespace import Array, as_float, namespace


def gaussian_heatmaps(landmarks: Array, size: Sequence[int], sigma: float) -> Array:
    """Draws each landmark as a Gaussian of height 1 about its exact, sub-cell position.

    Cell ``i`` has its centre at ``i + 0.5``, as pixels have. A landmark outside the image is drawn
    at the nearest point of the image's border, so that every map has its maximum in the border
    cell where the landmark left.

    Args:
        landmarks: (…, n, 2), (x, y) in [0, 1]² of the map.
        size: (rows, columns).
        sigma: Standard deviation in cells.

    Returns:
        (…, rows, columns, n).

    Reference:
        Mahpod et al., "Facial Landmark Point Localization using Coarse-to-Fine Deep Recurrent
        Neural Network", 2018, sections 3.2 and 4.

    Reading:
        The paper says "symmetric Gaussian, with σ = 1.3" and "narrow Gaussians centered at the
        landmark location": neither the height nor whether the centre is rounded to a cell. The
        height is 1 and the centre is not rounded. Landmarks outside are not mentioned.
    """
    xp = namespace(landmarks)
    points = xp.clip(as_float(landmarks, xp), 0.0, 1.0)
    rows, columns = size
    x_cells = (np.arange(columns) + 0.5).astype("float32")[:, None]
    y_cells = (np.arange(rows) + 0.5).astype("float32")[:, None]
    factor = -0.5 / sigma**2
    along_x = xp.exp(factor * (points[..., None, :, 0] * columns - x_cells) ** 2)
    along_y = xp.exp(factor * (points[..., None, :, 1] * rows - y_cells) ** 2)
    return along_y[..., :, None, :] * along_x[..., None, :, :]
