"""Pooling and reductions: every element that a window visits counts once."""

from __future__ import annotations

from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule


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
