"""Layers of TSR: warps, maps of landmarks, and normalisation across channels.

Sampling stands in the resampling column, as every interpolation does; the few multiply-adds that
move a grid or landmarks by a predicted map are elementwise, since no learned weight takes part.
"""

from __future__ import annotations

from typing import Any

from tfalign.layers import (
    InverseShapeTransform,
    LocalResponseNormalization,
    ShapeTransform,
    SpatialTransformer,
)
from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule
from tfalign.macc.rules.resampling import TAPS

_PER_COORDINATE = {"affine": 4, "similarity": 4, "projective": 7}
"""Operations for one coordinate: 2 products and 2 sums; a projective map's depth and division."""


@rule(SpatialTransformer)
def spatial_transformer(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Four taps for each element, and the grid's way through the map."""
    coordinates = 2 * size(outputs[0][:3])
    return Cost(
        resampling=TAPS["bilinear"] * size(outputs[0]),
        elementwise=coordinates * _PER_COORDINATE[layer.kind],
    )


@rule(ShapeTransform, InverseShapeTransform)
def shape_transform(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """The landmarks' way through the map; making the inverse of it is not counted."""
    return Cost(elementwise=size(outputs[0]) * _PER_COORDINATE[layer.kind])


@rule(LocalResponseNormalization)
def local_response(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """The sum of squares across channels, and one normalisation."""
    return Cost(bias_norm=size(outputs[0]), pooling=size(outputs[0]) * layer.size)
