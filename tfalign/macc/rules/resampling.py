"""Interpolation: one multiply-add per tap and output element."""

from __future__ import annotations

from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule

TAPS = {"nearest": 1, "bilinear": 4, "bicubic": 16, "lanczos3": 36, "lanczos5": 100}
"""Samples that a two-dimensional interpolation kernel reads for one output element."""


@rule(
    keras.layers.Resizing,
    keras.layers.UpSampling2D,
    *("AffineTransform", "PerspectiveTransform", "Resize"),
)
def interpolate(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A resize or a warp of an image."""
    return Cost(resampling=size(outputs[0]) * TAPS[layer.interpolation])


@rule("MapCoordinates")
def map_coordinates(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """``keras.ops.image.map_coordinates``: nearest, or linear along every axis of the image."""
    return Cost(resampling=size(outputs[0]) * (2 ** len(inputs[0]) if layer.order else 1))


@rule(keras.layers.UpSampling1D, keras.layers.UpSampling3D)
def repeat(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Each element is repeated, which is nearest-neighbour interpolation."""
    return Cost(resampling=size(outputs[0]))
