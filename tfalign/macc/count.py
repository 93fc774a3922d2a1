"""Counting a Keras model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import tree
from keras.src.models import Functional  # Not exported; the class of every functional model.

from tfalign.macc import rules  # noqa: F401  (registers the rules)
from tfalign.macc.cost import Cost, Shape, size
from tfalign.macc.registry import rule_for
from tfalign.macc.report import LayerCount, Report


def count(model: keras.Model, input_shape: Sequence[Any] | None = None) -> Report:
    """Counts the multiply-accumulates and parameters of a Keras model for one image.

    The graph of a functional or sequential model is walked from the inputs to the outputs with
    a batch of 1, nested models included; shapes are computed, nothing is run. A layer that is
    called several times is counted at each call, its parameters once.

    Parameters are the weights that training changes; statistics of batch normalisation are not.
    A weight counts also while a training phase has its layer frozen, so that the figure is a
    property of the architecture.

    Args:
        model: a built functional or sequential model. A model built for a fixed batch b > 1 is
            counted for that whole batch.
        input_shape: shape of one input without the batch axis, such as ``(112, 112, 3)``, or a
            sequence of shapes for several inputs. Needed only where the model leaves a size open.

    Returns:
        The report, with one row per call of a layer.

    Raises:
        ValueError: ``model`` is not a functional or sequential Keras model, a size is left open,
            or a layer has no rule.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: model={model!r}")
    walk = _Walk()
    graph = _graph(model)
    if graph is not None:
        walk.graph(graph, _inputs(model, graph.inputs, input_shape), scope="")
    else:
        rule_for(model)  # Refuses a model that neither has a graph nor a rule of its own.
        walk.visit(model, "", _inputs(model, None, input_shape))
    return Report(name=model.name, layers=tuple(walk.rows))


def cost_of(layer: keras.Operation, *inputs: Shape) -> Cost:
    """Cost of one layer or model at these input shapes: for rules of layers made of layers.

    Args:
        layer: a layer, operation or functional model.
        *inputs: its input shapes, batch axis included.
    """
    walk = _Walk()
    tensors = [keras.KerasTensor(shape) for shape in inputs]
    walk.visit(layer, "", tensors[0] if len(tensors) == 1 else tensors)
    return sum((row.cost for row in walk.rows), Cost())


class _Walk:
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
        graph = _graph(operation)
        if graph is not None:
            return self.graph(graph, args[0] if args else kwargs["inputs"], scope=name + "/")
        function = rule_for(operation)
        outputs = operation.compute_output_spec(*args, **kwargs)
        input_shapes = _shapes((args, kwargs), name)
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


def _graph(operation: keras.Operation) -> Any | None:
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


def _inputs(model: keras.Model, declared: Any, given: Sequence[Any] | None) -> Any:
    """Symbolic inputs with a batch of 1, or with the batch that the model was built for."""
    if declared is None and given is None:
        raise ValueError(
            "`input_shape` must be given for a model without a functional graph. "
            f"Received: name={model.name!r}, input_shape=None"
        )
    if given is None:
        shapes = [tuple(tensor.shape) for tensor in declared]
    else:
        several = bool(given) and not isinstance(given[0], int)
        shapes = [(None, *shape) for shape in (given if several else [given])]
    if declared is not None and [*map(len, shapes)] != [len(tensor.shape) for tensor in declared]:
        raise ValueError(
            f"`input_shape` must fit the inputs {[tuple(t.shape) for t in declared]} of "
            f"{model.name!r}, without the batch axis. Received: input_shape={given!r}"
        )
    sizes = [(shape[0] or 1, *shape[1:]) for shape in shapes]
    if any(axis is None or axis < 1 for shape in sizes for axis in shape):
        raise ValueError(
            "Every axis but the batch must be known; pass `input_shape`. "
            f"Received: inputs={shapes!r} of model {model.name!r}"
        )
    dtypes = ["float32"] * len(sizes) if declared is None else [x.dtype for x in declared]
    tensors = [
        keras.KerasTensor(shape, dtype=dtype) for shape, dtype in zip(sizes, dtypes, strict=True)
    ]
    if declared is None and len(tensors) == 1:
        return tensors[0]
    return tensors


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
