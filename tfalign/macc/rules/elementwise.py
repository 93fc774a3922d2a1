"""Arithmetic of one operation per output element."""

from __future__ import annotations

from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule


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
)
def elementwise(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """One operation per output element, broadcasting included."""
    return Cost(elementwise=size(outputs[0]))
