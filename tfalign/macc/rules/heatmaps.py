"""Heatmaps and their maxima: a search over all cells, and a little arithmetic per landmark."""

from __future__ import annotations

from typing import Any

from tfalign.layers import GaussianHeatmaps, HeatmapArgmax
from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule

WINDOW = 5
"""Side of the square of cells that the soft form reads."""
VERTEX = 21
"""Operations per landmark and axis from three sums to the vertex: maxima, logarithms, the rule of
the border, the bend and two clippings."""


@rule(HeatmapArgmax)
def heatmap_argmax(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Every cell is compared once; the soft form sums two bands of three rows of cells."""
    places = size(outputs[0])  # two for each landmark
    soft = places * (3 * (WINDOW - 1) + VERTEX) if layer.soft else 0
    return Cost(pooling=size(inputs[0]), elementwise=2 * places + soft)


@rule(GaussianHeatmaps)
def gaussian_heatmaps(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Each axis has its exponentials (difference, square, factor, power), each cell one product."""
    batch, n, _ = inputs[0]
    return Cost(elementwise=size(outputs[0]) + 4 * batch * n * sum(layer.size))
