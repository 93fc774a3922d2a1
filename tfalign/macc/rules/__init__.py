"""Rules of the counter, one per kind of layer. Importing this package registers them all."""

from tfalign.macc.rules import (
    activation,
    convolution,
    dense,
    descriptors,
    detectors,
    elementwise,
    heatmaps,
    movement,
    normalization,
    pooling,
    resampling,
    spatial_transformer,
    tfalign_layers,
    wrapper,
)

__all__ = [
    "activation",
    "convolution",
    "dense",
    "descriptors",
    "detectors",
    "elementwise",
    "heatmaps",
    "movement",
    "normalization",
    "pooling",
    "resampling",
    "spatial_transformer",
    "tfalign_layers",
    "wrapper",
]
