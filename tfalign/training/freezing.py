"""Which layers a phase trains, and the model's switches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras


def layers_below(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layer and everything inside it, each once, outer ones first."""
    found: dict[int, keras.layers.Layer] = {}
    for inner in layer._flatten_layers():
        found.setdefault(id(inner), inner)
    return list(found.values())


def train_only(
    root: keras.layers.Layer,
    groups: Mapping[str, Sequence[keras.layers.Layer]],
    names: Sequence[str],
) -> None:
    """Makes the named groups trainable and freezes every other layer below ``root``.

    Args:
        root: The model whose layers are set.
        groups: ``model.groups``: name to layers.
        names: Groups to train.

    Raises:
        ValueError: If a group is unknown, or nothing is left to train.
    """
    unknown = [name for name in names if name not in groups]
    if unknown:
        raise ValueError(
            f"A phase trains groups of the model, which has {sorted(groups)}. "
            f"Received: train={tuple(names)}"
        )
    trained = {
        id(inner) for name in names for layer in groups[name] for inner in layers_below(layer)
    }
    every = layers_below(root)
    for layer in every:
        _set_trainable(layer, True)
    for layer in every:
        inside = {id(inner) for inner in layers_below(layer)}
        # A container with a trained layer inside must stay trainable, or Keras hides that layer's
        # variables too. Setting `trainable` goes down the tree: outer layers come first.
        if not inside & trained:
            layer.trainable = False
    if not root.trainable_variables:
        raise ValueError(
            f"The groups to train hold no trainable variable. Received: train={tuple(names)}"
        )


@contextmanager
def trainable_flags_kept(root: keras.layers.Layer) -> Iterator[None]:
    """Restores every layer's ``trainable`` flag afterwards, so that a saved model has its own."""
    flags = [(layer, layer.trainable) for layer in layers_below(root)]
    try:
        yield
    finally:
        for layer, flag in flags:
            _set_trainable(layer, flag)


def _set_trainable(layer: keras.layers.Layer, flag: bool) -> None:
    # On TensorFlow a layer passes over the flag that it has, and would leave single variables that
    # a callback took from the optimizer as they are.
    layer.trainable = not flag
    layer.trainable = flag


def apply_switches(model: Any, switches: Mapping[str, Any]) -> None:
    """Makes a phase's settings on the model.

    A model with a method ``set_switch(name, value)`` receives all of them. For any other,
    ``"dropout"`` sets the rate of the Dropout layers in ``model.groups["dropout"]``, or of all
    where there is no such group.

    Args:
        model: The landmark model.
        switches: Setting name to value.

    Raises:
        ValueError: If the model cannot make a setting.
    """
    for name, value in switches.items():
        if hasattr(model, "set_switch"):
            model.set_switch(name, value)
        elif name == "dropout":
            _set_dropout(model, _dropouts(model), float(value))
        else:
            raise ValueError(
                "A model without `set_switch` has only the switch 'dropout'. "
                f"Received: switch={name!r}, model={type(model).__name__}"
            )


def _dropouts(model: Any) -> Sequence[keras.layers.Layer]:
    return model.groups.get("dropout") or layers_below(model.training_model)


def _set_dropout(model: Any, candidates: Sequence[keras.layers.Layer], rate: float) -> None:
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"The dropout rate must be in [0, 1). Received: dropout={rate}")
    layers = [layer for layer in candidates if isinstance(layer, keras.layers.Dropout)]
    # Keras gives a Dropout layer its random generator only if its first rate is above zero.
    usable = [layer for layer in layers if hasattr(layer, "seed_generator")]
    if rate > 0.0 and not usable:
        raise ValueError(
            "The switch 'dropout' needs a Dropout layer that was made with a rate above zero. "
            f"Received: dropout={rate}, model={type(model).__name__}"
        )
    for layer in layers if rate == 0.0 else usable:
        layer.rate = rate
