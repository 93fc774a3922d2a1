"""Layers of DSSD and R-DSSD."""

from __future__ import annotations

from typing import Any

from tfalign.layers import (
    NeighborFeatures,
    PatchNetwork,
    PixelDifferences,
    ShapeIndexedPatches,
    ShapeMixture,
    SharableDetectors,
)
from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule
from tfalign.macc.rules.tfalign_layers import shape_indexed_crop


@rule(PatchNetwork)
def patch_network(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Its layers, once for each landmark's patch."""
    from tfalign.macc.count import cost_of  # The walker imports the rules.

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
