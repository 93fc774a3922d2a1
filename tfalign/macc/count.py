"""Counting a Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfalign.macc import rules  # noqa: F401  (registers the rules)
from tfalign.macc.registry import rule_for
from tfalign.macc.report import Report
from tfalign.macc.walk import Walk, graph_of


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
    walk = Walk()
    graph = graph_of(model)
    if graph is not None:
        walk.graph(graph, _inputs(model, graph.inputs, input_shape), scope="")
    else:
        rule_for(model)  # Refuses a model that neither has a graph nor a rule of its own.
        walk.visit(model, "", _inputs(model, None, input_shape))
    return Report(name=model.name, layers=tuple(walk.rows))


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
