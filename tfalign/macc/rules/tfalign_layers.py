"""Layers of this package, other than descriptors.

Sampling stands in the resampling column, as every interpolation does; the few multiply-adds that
move a grid or landmarks by a predicted map are elementwise, since no learned weight takes part.
"""

from __future__ import annotations

from typing import Any

from tfalign.layers import (
    CropTransform,
    GaussianHeatmaps,
    HeatmapArgmax,
    InverseShapeTransform,
    LandmarkwiseDense,
    LocalResponseNormalization,
    NeighborFeatures,
    PatchNetwork,
    PixelDifferences,
    ShapeIndexedCrop,
    ShapeIndexedPatches,
    ShapeMixture,
    ShapeTransform,
    SharableDetectors,
    SpatialTransformer,
)
from tfalign.macc.cost import TAPS, Cost, Shape, size
from tfalign.macc.registry import rule
from tfalign.macc.rules.keras_layers import fused
from tfalign.macc.walk import cost_of

WINDOW = 5
"""Side of the square of cells that the soft form reads."""
VERTEX = 21
"""Operations per landmark and axis from three sums to the vertex: maxima, logarithms, the rule of
the border, the bend and two clippings."""
_PER_COORDINATE = {"affine": 4, "similarity": 4, "scaling": 2, "projective": 7}
"""Operations for one coordinate: products and sums; a projective map's depth and division."""


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


@rule(SpatialTransformer)
def spatial_transformer(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Four taps for each element, and the grid's way through the map.

    A scaling blends rows, then columns, and maps each row and each column once.
    """
    coordinates = 2 * size(outputs[0][:3])
    if layer.kind == "scaling":
        batch, rows, columns, channels = outputs[0]
        return Cost(
            resampling=2 * batch * rows * (inputs[0][2] + columns) * channels,
            elementwise=batch * (rows + columns) * _PER_COORDINATE[layer.kind],
        )
    return Cost(
        resampling=TAPS["bilinear"] * size(outputs[0]),
        elementwise=coordinates * _PER_COORDINATE[layer.kind],
    )


@rule(ShapeTransform, InverseShapeTransform)
def shape_transform(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """The landmarks' way through the map; making the inverse of it is not counted."""
    return Cost(elementwise=size(outputs[0]) * _PER_COORDINATE[layer.kind])


@rule(CropTransform)
def crop_transform(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """The eyes' means and the landmarks' turn: 2 products and 2 sums for each coordinate, each.
    Making θ of the box is not counted."""
    turns = 0 if layer.eyes is None else 2
    return Cost(elementwise=turns * 4 * size(inputs[0]), pooling=2 * size(inputs[0]))


@rule(LocalResponseNormalization)
def local_response(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """The sum of squares across channels, and one normalisation."""
    return Cost(bias_norm=size(outputs[0]), pooling=size(outputs[0]) * layer.size)


@rule(PatchNetwork)
def patch_network(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Its layers, once for each landmark's patch."""
    batch, n, *patch = inputs[0]
    shape: Any = (1, *patch)
    total = Cost()
    for step in layer.steps:
        total += cost_of(step, shape)
        shape = step.compute_output_shape(shape)
    return total * (batch * n)


@rule(SharableDetectors)
def sharable_detectors(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """The responses of all latent tasks, then two mixtures of them: n · G · (k + 2)."""
    batch, n, features = inputs[0]
    return Cost(macc=batch * n * layer.latent_tasks * (features + 2))


@rule(ShapeMixture)
def shape_mixture(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A matrix product with the known shapes."""
    return Cost(macc=size(outputs[0]) * inputs[0][-1])


@rule(ShapeIndexedPatches)
def shape_indexed_patches(
    layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]
) -> Cost:
    """The crop that it is forward."""
    return shape_indexed_crop(layer.crop, inputs, outputs)


@rule(PixelDifferences)
def pixel_differences(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Two blends along y and one along x for each of two pixels, and their difference."""
    return Cost(resampling=2 * 3 * size(outputs[0]), elementwise=size(outputs[0]))


@rule(NeighborFeatures)
def neighbor_features(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A look-up: nothing to count."""
    return Cost()
