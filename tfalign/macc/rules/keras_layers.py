"""Keras layers and ``keras.ops`` that do anything but products.

Activations take one evaluation per element, elementwise arithmetic one operation per output
element, normalisations one multiply-add once the statistics are known, pooling and reductions one
operation for every element that a window visits, interpolation one multiply-add per tap and output
element.
What only moves, copies or converts data costs nothing.
"""

from __future__ import annotations

from typing import Any

import keras

from tfalign.macc.cost import TAPS, Cost, Shape, size
from tfalign.macc.registry import rule
from tfalign.macc.walk import cost_of


@rule(
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
)
def activation(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A layer that does nothing but activate."""
    return fused(layer, outputs[0])


@rule(
    *("Relu", "Relu6", "Sigmoid", "Softplus", "Softsign", "Silu", "LogSigmoid", "LeakyRelu"),
    *("HardSigmoid", "HardSilu", "HardTanh", "Elu", "Selu", "Gelu", "Celu", "Tanh"),
    *("Softmax", "LogSoftmax", "SoftShrink", "HardShrink", "TanhShrink", "Threshold"),
)
def operation(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """An activation called as a function of ``keras.ops``."""
    return Cost(activation=size(outputs[0]))


def fused(layer: Any, output: Shape) -> Cost:
    """Cost of the activation that a layer applies to its own output; nothing for linear."""
    linear = getattr(layer, "activation", None) is keras.activations.linear
    return Cost() if linear else Cost(activation=size(output))


@rule(
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.Subtract,
)
def merge(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Merging k tensors takes k - 1 operations per element."""
    return Cost(elementwise=size(outputs[0]) * (len(inputs) - 1))


@rule(
    keras.layers.Rescaling,
    *("Absolute", "Add", "Ceil", "Clip", "Cos", "Divide", "DivideNoNan", "Equal", "Erf", "Exp"),
    *("Floor", "FloorDivide", "Greater", "GreaterEqual", "Less", "LessEqual", "Log", "Log1p"),
    *("LogicalAnd", "LogicalNot", "LogicalOr", "Maximum", "Minimum", "Mod", "Multiply"),
    *("Negative", "NotEqual", "OneHot", "Power", "Reciprocal", "Round", "Rsqrt", "Sign", "Sin"),
    *("Sqrt", "Square", "Subtract", "Tan", "TrueDivide", "Arctan2", "Where", "RGBToGrayscale"),
    "LayerScale",
)
def elementwise(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """One operation per output element, broadcasting included."""
    return Cost(elementwise=size(outputs[0]))


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
    *("Transpose", "Unstack", "Vstack", "ZerosLike", "StochasticDepth"),
)
def movement(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Nothing to count."""
    return Cost()


@rule(keras.layers.BatchNormalization, keras.layers.Normalization, "BatchNorm")
def stored_statistics(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Statistics are constants at inference, so each element takes one multiply-add."""
    return Cost(bias_norm=size(outputs[0]))


def existing(*names: str) -> tuple[type, ...]:
    """The layers of these names that the installed Keras has."""
    return tuple(getattr(keras.layers, name) for name in names if hasattr(keras.layers, name))


@rule(
    *existing("RandomBrightness", "RandomColorDegeneration", "RandomColorJitter"),
    *existing("RandomContrast", "RandomElasticTransform", "RandomErasing", "RandomFlip"),
    *existing("RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert"),
    *existing("RandomPerspective", "RandomPosterization", "RandomRotation", "RandomSaturation"),
    *existing("RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom"),
    *existing("AutoContrast", "AugMix", "CutMix", "MixUp", "RandAugment", "Solarization"),
)
def augmentation(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Nothing at inference, where an augmenting layer hands its input on."""
    return Cost()


@rule(*existing("AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D"))
def adaptive(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Windows that cover the input once."""
    return Cost(pooling=size(inputs[0]))


@rule(
    *existing("RMSNormalization"),
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.UnitNormalization,
    *("LayerNorm", "Normalize", "RMSNorm"),
)
def own_statistics(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Statistics of the input itself: two passes to gather them and one to apply them."""
    return Cost(bias_norm=3 * size(outputs[0]))


@rule(
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)
def window(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A window of fixed size per output element."""
    return Cost(pooling=size(outputs[0]) * size(layer.pool_size))


@rule("AveragePool", "MaxPool")
def window_operation(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """``keras.ops.max_pool`` and ``average_pool``: an int stands for all spatial axes."""
    taps = layer.pool_size
    if isinstance(taps, int):
        taps = (taps,) * (len(inputs[0]) - 2)
    return Cost(pooling=size(outputs[0]) * size(taps))


@rule(
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D,
    *("All", "Amax", "Amin", "Any", "Argmax", "Argmin", "Logsumexp", "Max", "Mean", "Min"),
    *("Norm", "Prod", "Std", "Sum", "Var"),
)
def whole(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A reduction visits every input element."""
    return Cost(pooling=size(inputs[0]))


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


@rule(keras.layers.SpectralNormalization)
def spectral(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """The wrapped layer: its kernel is scaled once, not for each input."""
    return cost_of(layer.layer, *inputs)


@rule(keras.layers.TimeDistributed)
def time_distributed(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """The wrapped layer once per step of the second axis."""
    batch, steps, *features = inputs[0]
    return cost_of(layer.layer, (batch, *features)) * steps
