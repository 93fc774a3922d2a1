"""Rules of the counter, one per kind of layer. Importing this package registers them all."""

from tfalign.macc.rules import (
    activation,
    convolution,
    dense,
    descriptors,
    elementwise,
    movement,
    normalization,
    pooling,
    resampling,
    tfalign_layers,
    wrapper,
)

__all__ = [
    "activation",
    "convolution",
    "dense",
    "descriptors",
    "elementwise",
    "movement",
    "normalization",
    "pooling",
    "resampling",
    "tfalign_layers",
    "wrapper",
]
