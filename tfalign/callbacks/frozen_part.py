"""Runs a functional model in two parts: what some variables cannot change, and the rest."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras


class CutModel:
    """A functional model cut before the first layers that own one of some variables.

    ``after(before(inputs))`` are the model's outputs in inference mode. Keras can make a model of
    each part, too, but not where a layer that makes tensors at the cut is called again behind it,
    as the shared layers of recurrent models are: it takes the second call for the cut itself.

    Args:
        model: A functional model with one input; see `can_be_cut`.
        variables: Some of its variables.

    Raises:
        ValueError: If no output depends on the variables.
    """

    def __init__(self, model: keras.Model, variables: Sequence[keras.Variable]) -> None:
        self.input, self.outputs = model.inputs[0], model.output
        wanted = {id(variable) for variable in variables}
        self._before: list[Any] = []
        self._after: list[Any] = []
        changes: dict[int, bool] = {id(self.input): False}
        # An explicit stack: deep networks have more layers than Python lets calls nest.
        waiting = list(model.outputs)
        while waiting:
            tensor = waiting[-1]
            if id(tensor) in changes:
                waiting.pop()
                continue
            node = _node(tensor)
            unknown = [x for x in node.input_tensors if id(x) not in changes]
            if unknown:
                waiting += unknown
                continue
            owned = {id(variable) for variable in getattr(node.operation, "variables", ())}
            touched = bool(owned & wanted) or any(changes[id(x)] for x in node.input_tensors)
            (self._after if touched else self._before).append(node)
            changes.update({id(x): touched for x in node.outputs})
        if not any(changes[id(x)] for x in model.outputs):
            raise ValueError(
                "The model's outputs must depend on the variables. Received: variables="
                f"{[variable.path for variable in variables]}, model={model.name!r}"
            )
        needed = [x for node in self._after for x in node.input_tensors] + list(model.outputs)
        self._cut = list({id(x): x for x in needed if not changes[id(x)]}.values())

    def before(self, inputs: Any) -> list[Any]:
        """Returns the tensors at the cut for a batch of inputs."""
        start = keras.ops.cast(inputs, self.input.dtype)
        known = _run(self._before, {id(self.input): start})
        return [known[id(x)] for x in self._cut]

    def after(self, tensors: Sequence[Any]) -> Any:
        """Returns the model's outputs for what `before` returned."""
        start = {id(x): value for x, value in zip(self._cut, tensors, strict=True)}
        known = _run(self._after, start)
        return keras.tree.map_structure(lambda x: known[id(x)], self.outputs)


def can_be_cut(model: keras.Model) -> bool:
    """Returns whether the model is plainly functional with one input and Keras's own loss."""
    symbol = keras.Input(())
    functional = type(keras.Model(symbol, symbol))
    return (
        getattr(type(model), "call", None) is functional.call
        and type(model).compute_loss is functional.compute_loss
        and len(model.inputs) == 1
    )


def _node(tensor: Any) -> Any:
    """Returns the call that made a symbolic tensor."""
    operation, node_index, _ = tensor._keras_history
    return operation._inbound_nodes[node_index]


def _run(nodes: Sequence[Any], known: dict[int, Any]) -> dict[int, Any]:
    for node in nodes:
        arguments, options = node.arguments.fill_in(known)
        if "training" in inspect.signature(node.operation.call).parameters:
            options["training"] = False
        outputs = keras.tree.flatten(node.operation(*arguments, **options))
        known.update({id(x): value for x, value in zip(node.outputs, outputs, strict=True)})
    return known
