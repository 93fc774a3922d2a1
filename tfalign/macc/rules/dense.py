"""Dense layers and matrix products."""

from __future__ import annotations

import math
from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule
from tfalign.macc.rules.activation import fused
from tfalign.macc.rules.contraction import einsum_products


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


@rule("Tensordot", keras.layers.Dot)
def tensordot(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """A contraction over any axes; the batch axis, of size 1, is the only one shared."""
    # Left and right hold each summed axis once, the output holds it not at all.
    summed = math.isqrt(size(inputs[0]) * size(inputs[1]) // size(outputs[0]))
    return Cost(macc=size(outputs[0]) * summed)
