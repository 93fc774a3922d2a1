"""Layers of this package."""

from __future__ import annotations

from typing import Any

from tfalign.layers import LandmarkwiseDense, ShapeIndexedCrop
from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule
from tfalign.macc.rules.activation import fused


@rule(LandmarkwiseDense)
def landmarkwise_dense(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """n landmarks, each with a k by f kernel of its own: n · k · f."""
    bias = size(outputs[0]) if layer.use_bias else 0
    macc = size(outputs[0]) * inputs[0][-1]
    return Cost(macc=macc, bias_norm=bias) + fused(layer, outputs[0])


@rule(ShapeIndexedCrop)
def shape_indexed_crop(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A blend of two cells along x on height + 1 rows, then of two rows along y."""
    height, width = layer.size
    vectors = outputs[0][0] * outputs[0][1] * inputs[0][-1]  # landmarks times channels
    return Cost(resampling=2 * vectors * width * ((height + 1) + height))
