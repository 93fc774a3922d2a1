"""Normalisations: one multiply-add per element once the statistics are known."""

from __future__ import annotations

from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule


@rule(keras.layers.BatchNormalization, keras.layers.Normalization, "BatchNorm")
def stored_statistics(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Statistics are constants at inference, so each element takes one multiply-add."""
    return Cost(bias_norm=size(outputs[0]))


@rule(
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.UnitNormalization,
    *("LayerNorm", "Normalize", "RMSNorm"),
)
def own_statistics(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """Statistics of the input itself: two passes to gather them and one to apply them."""
    return Cost(bias_norm=3 * size(outputs[0]))
