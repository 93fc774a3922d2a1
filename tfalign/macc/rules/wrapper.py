"""Layers that apply another layer several times."""

from __future__ import annotations

from typing import Any

import keras

from tfalign.macc.cost import Cost, Shape
from tfalign.macc.registry import rule


@rule(keras.layers.TimeDistributed)
def time_distributed(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> Cost:
    """The wrapped layer once per step of the second axis."""
    from tfalign.macc.count import cost_of  # The walker imports the rules.

    batch, steps, *features = inputs[0]
    return cost_of(layer.layer, (batch, *features)) * steps
