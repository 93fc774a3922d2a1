"""Layers and operations that only move, copy or convert data: no arithmetic at inference."""

from __future__ import annotations

from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape
from tfalign.macc.registry import rule


@rule(
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Concatenate,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.Dropout,
    keras.layers.Embedding,
    keras.layers.Flatten,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.InputLayer,
    keras.layers.Masking,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Reshape,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    keras.layers.ZeroPadding3D,
    *("Arange", "Array", "BroadcastTo", "Cast", "Concatenate", "ConvertToTensor", "Copy"),
    *("CropImages", "DepthToSpace", "Dstack", "ExpandDims", "ExtractPatches", "Flip", "Full"),
    *("FullLike", "GetItem", "Hstack", "Meshgrid", "Moveaxis", "OnesLike", "Pad", "PadImages"),
    *("Ravel", "Repeat", "Reshape", "Roll", "Slice", "SliceUpdate", "SpaceToDepth", "Split"),
    *("Squeeze", "Stack", "StopGradient", "Swapaxes", "Take", "TakeAlongAxis", "Tile"),
    *("Transpose", "Unstack", "Vstack", "ZerosLike"),
)
def movement(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Nothing to count."""
    return Cost()
