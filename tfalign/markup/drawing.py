"""Drawing which number is which point."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfalign.markup.scheme import LandmarkScheme


def landmark_map(image: Any, points: Any, scheme: LandmarkScheme) -> Any:
    """Draws numbered points over a faint picture.

    Args:
        image: (H, W, 3) RGB, uint8.
        points: (n, 2) in pixels of the picture.
        scheme: Their scheme.

    Returns:
        The Matplotlib figure.
    """
    from matplotlib.figure import Figure

    image, points = np.asarray(image), np.asarray(points)
    figure = Figure(figsize=(9, 9), layout="constrained")
    axes = figure.subplots()
    faint = (255 - (255 - image.astype(np.float32)) * 0.35).astype(np.uint8)
    axes.imshow(faint, extent=(0, image.shape[1], image.shape[0], 0))
    for first, second in scheme.edges:
        axes.plot(*points[[first, second]].T, color="#4477aa", linewidth=0.8)
    axes.plot(*points.T, "o", color="#bb3311", markersize=3)
    for index, (x, y) in enumerate(points):
        axes.annotate(str(index), (x, y), (2, 2), textcoords="offset points", fontsize=7)
    margin = 0.08 * np.ptp(points, axis=0).max()
    (left, top), (right, bottom) = points.min(axis=0) - margin, points.max(axis=0) + margin
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_axis_off()
    return figure
