"""Activation functions: one evaluation per element."""

from __future__ import annotations

from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule


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
