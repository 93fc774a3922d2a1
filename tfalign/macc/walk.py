"""The way through a Keras graph, with one row for each operation met."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
from keras import tree
from keras.src.models import Functional  # Not exported; the class of every functional model.

from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule_for
from tfalign.macc.report import LayerCount


def cost_of(layer: keras.Operation, *inputs: Shape) -> Cost:
    """Cost of one layer or model at these input shapes: for rules of layers made of layers.

    Args:
        layer: a layer, operation or functional model.
        *inputs: its input shapes, batch axis included.
    """
    walk = Walk()
    tensors = [keras.KerasTensor(shape) for shape in inputs]
    walk.visit(layer, "", tensors[0] if len(tensors) == 1 else tensors)
    return sum((row.cost for row in walk.rows), Cost())


class Walk:
    """Collects a row for each operation met on the way through a graph."""

    def __init__(self) -> None:
        self.rows: list[LayerCount] = []
        self._calls: Counter[int] = Counter()
        self._counted: set[int] = set()

    def graph(self, model: Any, inputs: Any, scope: str) -> Any:
        """Walks the operations of one functional model; returns its symbolic outputs."""

        def visitor(operation: keras.Operation) -> Callable[..., Any]:
            return lambda *args, **kwargs: self.visit(operation, scope, *args, **kwargs)

        return model._run_through_graph(inputs, operation_fn=visitor)

    def visit(self, operation: keras.Operation, scope: str, *args: Any, **kwargs: Any) -> Any:
        """Counts one call; returns the symbolic outputs."""
        self._calls[id(operation)] += 1
        calls = self._calls[id(operation)]
        name = scope + operation.name + (f"#{calls}" if calls > 1 else "")
        graph = graph_of(operation)
        if graph is not None:
            return self.graph(graph, args[0] if args else kwargs["inputs"], scope=name + "/")
        function = rule_for(operation)
        outputs = operation.compute_output_spec(*args, **kwargs)
        # As `call` has them: sorted by name, MultiHeadAttention's key would come before its query.
        # Keras takes `mask` and `training` for layers whose `call` has neither: those come last.
        order = list(inspect.signature(operation.call).parameters)
        keys = sorted(kwargs, key=lambda key: order.index(key) if key in order else len(order))
        inputs = [*args, *(kwargs[key] for key in keys)]
        if isinstance(operation, keras.layers.EinsumDense) and None in outputs.shape:
            # Its `output_shape` may leave an axis open that the input settles.
            kernel = keras.KerasTensor(operation.kernel.shape)
            outputs = keras.ops.einsum(operation.equation, inputs[0], kernel)
        input_shapes = _shapes(inputs, name)
        output_shapes = _shapes(outputs, name)
        self.rows.append(
            LayerCount(
                name=name,
                type=type(operation).__name__,
                output_shape=output_shapes[0] if output_shapes else (),
                params=self._new_params(operation),
                cost=function(operation, input_shapes, output_shapes),
            )
        )
        return outputs

    def _new_params(self, operation: keras.Operation) -> int:
        """Weights of this operation that no earlier row has counted."""
        if not isinstance(operation, keras.Layer):
            return 0
        total = 0
        for layer in operation._flatten_layers():
            # Not `trainable_weights`, which is empty while a phase has the layer frozen.
            for variable in layer._trainable_variables:
                if id(variable) not in self._counted:
                    self._counted.add(id(variable))
                    total += size(variable.shape)
        return total


def graph_of(operation: keras.Operation) -> Any | None:
    """The functional graph of a model; None for anything else."""
    if isinstance(operation, keras.Sequential) and type(operation).call is keras.Sequential.call:
        if not operation.built:
            raise ValueError(
                "A sequential model must be built before it is counted: give it a keras.Input. "
                f"Received: name={operation.name!r}"
            )
        return operation._functional
    if isinstance(operation, Functional) and type(operation).call is Functional.call:
        return operation
    return None


def _shapes(values: Any, name: str) -> tuple[Shape, ...]:
    """Shapes of all tensors, weights and arrays in a nested structure."""
    found = []
    for value in tree.flatten(values):
        shape = getattr(value, "shape", None)
        if shape is None:
            continue
        if any(axis is None for axis in shape):
            raise ValueError(
                f"The size of a tensor at {name!r} cannot be computed, so it cannot be counted. "
                f"Received: shape={tuple(shape)!r}"
            )
        found.append(tuple(int(axis) for axis in shape))
    return tuple(found)
