"""Convolutions, dense layers and matrix products: what the figure MACC adds up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule
from tfalign.macc.rules.keras_layers import fused


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


def einsum_products(equation: str, shapes: Sequence[Shape]) -> tuple[int, bool]:
    """Products formed by an Einstein sum of one or two operands.

    Args:
        equation: such as ``"bnk,nkf->bnf"``; an ellipsis stands for broadcast axes.
        shapes: shapes of the operands.

    Returns:
        The number of products, and whether any of them are added up.

    Raises:
        ValueError: more than two operands (their cost depends on the order of evaluation), or
            the equation does not fit the shapes.
    """
    terms, arrow, result = equation.replace(" ", "").partition("->")
    operands = terms.split(",")
    if len(operands) > 2 or len(operands) != len(shapes):
        raise ValueError(
            "An einsum is counted for one or two operands; split longer ones. "
            f"Received: equation={equation!r}, shapes={list(shapes)!r}"
        )
    sizes: dict[str, int] = {}
    broadcast: dict[int, int] = {}
    for term, shape in zip(operands, shapes, strict=True):
        before, dots, after = term.partition("...")
        spare = len(shape) - len(before) - len(after)
        if spare < 0 or (spare and not dots):
            raise ValueError(
                "The equation must name every axis. "
                f"Received: equation={equation!r}, shapes={list(shapes)!r}"
            )
        axes = [*zip(before, shape, strict=False)]
        axes += zip(after, shape[len(before) + spare :], strict=True)
        for label, length in axes:
            sizes[label] = max(sizes.get(label, 1), length)
        for place, length in enumerate(reversed(shape[len(before) : len(before) + spare])):
            broadcast[place] = max(broadcast.get(place, 1), length)
    # Without an arrow, the output has the labels that appear once.
    kept = result if arrow else "".join(label for label in sizes if terms.count(label) == 1)
    summed = any(label not in kept for label in sizes)
    return size(sizes.values()) * size(broadcast.values()), summed


@rule(keras.layers.Dense)
def dense(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Every output element reads all features of its row."""
    bias = size(outputs[0]) if layer.use_bias else 0
    macc = size(outputs[0]) * inputs[0][-1]
    return Cost(macc=macc, bias_norm=bias) + fused(layer, outputs[0])


@rule(keras.layers.EinsumDense)
def einsum_dense(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """An Einstein sum of the input and a kernel."""
    products, _ = einsum_products(layer.equation, [inputs[0], tuple(layer.kernel.shape)])
    bias = size(outputs[0]) if layer.bias_axes else 0
    return Cost(macc=products, bias_norm=bias) + fused(layer, outputs[0])


@rule("Einsum")
def einsum(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """``keras.ops.einsum``: a matrix product, or elementwise where nothing is added up."""
    products, summed = einsum_products(layer.subscripts, inputs)
    if len(inputs) == 1:
        return Cost(pooling=products) if summed else Cost()
    return Cost(macc=products) if summed else Cost(elementwise=products)


@rule("Matmul", "Dot", "Inner")
def matmul(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A (batched) matrix product: every output element adds up one row."""
    return Cost(macc=size(outputs[0]) * inputs[0][-1])


@rule(keras.layers.Dot)
def dot(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """One axis of each tensor is summed; the first axis, of any size, is shared."""
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return Cost(macc=size(outputs[0]) * inputs[0][axis])


@rule("Tensordot")
def tensordot(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A contraction over any axes, of which the tensors share none."""
    # Left and right hold each summed axis once, the output holds it not at all.
    summed = math.isqrt(size(inputs[0]) * size(inputs[1]) // size(outputs[0]))
    return Cost(macc=size(outputs[0]) * summed)


@rule(keras.layers.MultiHeadAttention)
def attention(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Four projections, the products of queries with keys, and of weights with values."""
    query, memory = inputs[0], inputs[1] if len(inputs) > 1 else inputs[0]
    batch, queries, keys = query[0], size(query[1:-1]), size(memory[1:-1])
    heads, key, value = layer.num_heads, layer.key_dim, layer.value_dim
    projections = sum(
        rows * size(dense.kernel.shape)
        for rows, dense in (
            (queries, layer.query_dense),
            (keys, layer.key_dense),
            (keys, layer.value_dense),
            (queries, layer.output_dense),
        )
    )
    # Of a picture, attention may go along one axis only, in each row by itself.
    pairs = heads * queries * size(memory[axis] for axis in layer.attention_axes)
    bias = heads * (queries * key + keys * (key + value)) + size(outputs[0][1:])
    return Cost(
        macc=batch * (projections + pairs * (key + value)),
        bias_norm=batch * bias if layer.use_bias else 0,
        activation=batch * pairs,
        elementwise=batch * heads * queries * key,
    )


@rule(keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)
def recurrent(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Every step multiplies the input and the state by all gates' kernels."""
    batch, steps, _ = inputs[0]
    cell = layer.cell
    gates = int(cell.kernel.shape[1])
    weights = size(cell.kernel.shape) + size(cell.recurrent_kernel.shape)
    return Cost(
        macc=batch * steps * weights,
        bias_norm=batch * steps * gates if cell.use_bias else 0,
        activation=batch * steps * gates,
    )
