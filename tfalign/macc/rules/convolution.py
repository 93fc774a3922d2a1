"""Convolutions: output elements times the taps and input channels that each one reads."""

from __future__ import annotations

from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule
from tfalign.macc.rules.activation import fused


@rule(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
def convolution(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A convolution; each group reads its share of the channels. Dilation changes nothing."""
    per_output = size(layer.kernel_size) * (_channels(layer, inputs[0]) // layer.groups)
    return _with_bias(layer, outputs[0], macc=size(outputs[0]) * per_output)


@rule(keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
def depthwise(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A depthwise convolution: each output channel reads one input channel."""
    return _with_bias(layer, outputs[0], macc=size(outputs[0]) * size(layer.kernel_size))


@rule(keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
def separable(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A depthwise convolution and a 1x1 convolution on the same positions."""
    positions = size(outputs[0]) // layer.filters
    middle = _channels(layer, inputs[0]) * layer.depth_multiplier
    depthwise_macc = positions * middle * size(layer.kernel_size)
    pointwise_macc = positions * middle * layer.filters
    return _with_bias(layer, outputs[0], macc=depthwise_macc + pointwise_macc)


@rule(
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
def transpose(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A transposed convolution: every input element is spread over one kernel per filter."""
    macc = size(inputs[0]) * size(layer.kernel_size) * layer.filters
    return _with_bias(layer, outputs[0], macc=macc)


@rule("Conv")
def convolution_operation(
    layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]
) -> Cost:
    """``keras.ops.conv``: the kernel is (*taps, input channels of a group, filters)."""
    return Cost(macc=size(outputs[0]) * size(inputs[1][:-1]))


@rule("DepthwiseConv")
def depthwise_operation(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """``keras.ops.depthwise_conv``: the kernel is (*taps, input channels, multiplier)."""
    return Cost(macc=size(outputs[0]) * size(inputs[1][:-2]))


def _channels(layer: Any, shape: Shape) -> int:
    return shape[1] if layer.data_format == "channels_first" else shape[-1]


def _with_bias(layer: Any, output: Shape, macc: int) -> Cost:
    bias = size(output) if layer.use_bias else 0
    return Cost(macc=macc, bias_norm=bias) + fused(layer, output)
