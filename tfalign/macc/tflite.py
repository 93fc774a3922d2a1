"""Counting a ``.tflite`` file from its own operators."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path
from typing import Any

from tfalign.macc.cost import size
from tfalign.macc.report import LayerCount, Report
from tfalign.macc.tflite_operators import cost_of_operator, weight_operands
from tfalign.tflite import Graph, Operator, Tensor

_SAME_ELEMENTS = ("EXPAND_DIMS", "RESHAPE", "SQUEEZE", "TRANSPOSE")


@dataclasses.dataclass(frozen=True)
class TFLiteReport(Report):
    """Count of a ``.tflite`` file.

    ``params`` is the number of stored constants that operators use as weights and biases. It
    differs from the Keras count where the converter folded a batch normalisation into the
    convolution before it: two numbers per channel become one bias.

    Attributes:
        operators: how often each operator occurs, custom ones as ``CUSTOM:name``.
        tensor_types: how many tensors there are of each type, such as ``FLOAT32`` and ``INT8``.
        weight_bytes: bytes of all constants in the file.
        file_bytes: size of the file.
    """

    operators: dict[str, int]
    tensor_types: dict[str, int]
    weight_bytes: int
    file_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Totals, histograms and rows as plain data."""
        plain = super().to_dict()
        rows = plain.pop("layers")
        return {
            **plain,
            "operators": self.operators,
            "tensor_types": self.tensor_types,
            "weight_bytes": self.weight_bytes,
            "file_bytes": self.file_bytes,
            "layers": rows,
        }

    def table(self, compact: bool = False) -> str:
        """The table of ``Report``, then the histograms and sizes."""
        operators = ", ".join(f"{times} {name}" for name, times in self.operators.items())
        types = ", ".join(f"{times} {name}" for name, times in self.tensor_types.items())
        return (
            f"{super().table(compact)}\n"
            f"operators: {operators}\n"
            f"tensors: {types}\n"
            f"bytes: {self.weight_bytes:,} of weights, {self.file_bytes:,} in the file"
        )


def count_tflite(source: str | os.PathLike[str] | Graph) -> TFLiteReport:
    """Counts multiply-accumulates and parameters of a ``.tflite`` file.

    The main subgraph is read; nothing is run and TensorFlow is not needed. A batch axis that is
    left open is counted as 1, so the count is for one image.

    Args:
        source: the file's path, or its graph where it was read before.

    Returns:
        The report, with one row per operator.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no ``.tflite``, leaves sizes open that the count needs,
            or contains an operator that no rule counts.
        ImportError: ai-edge-litert is not installed.
    """
    graph = source if isinstance(source, Graph) else Graph.read(Path(source))
    try:
        graph = with_closed_sizes(graph)
        rows = _rows(graph)
    except ValueError as error:
        raise ValueError(f"{error} In file '{graph.name}'") from error
    return TFLiteReport(
        name=Path(graph.name).name,
        layers=rows,
        operators=graph.histogram(),
        tensor_types=dict(Counter(tensor.dtype for tensor in graph.tensors).most_common()),
        weight_bytes=graph.weight_bytes,
        file_bytes=len(graph.content),
    )


def _rows(graph: Graph) -> tuple[LayerCount, ...]:
    counted: set[int] = set()
    rows = []
    for operator in graph.operators:
        fresh = weight_operands(operator, graph) - counted
        counted |= fresh
        outputs = [graph.tensors[index] for index in operator.outputs]
        rows.append(
            LayerCount(
                name=outputs[0].name if outputs else operator.kind,
                type=operator.kind,
                output_shape=outputs[0].shape if outputs else (),
                params=sum(graph.tensors[index].elements for index in fresh),
                cost=cost_of_operator(operator, graph),
            )
        )
    return tuple(rows)


def with_closed_sizes(graph: Graph) -> Graph:
    """The same graph with every open axis set to its size for one image.

    A model that was converted without a fixed batch stores every axis that depends on the batch as
    1, also where batch and landmarks were flattened into one axis of n rows. The operators before
    such an axis say how long it is for one image.

    Raises:
        ValueError: an input leaves another axis open than its batch, or a size does not follow
            from the operators before it.
    """
    tensors = list(graph.tensors)
    for index in graph.inputs:
        if tensors[index].open_axes not in ((), (0,)):
            raise ValueError(
                "Only the batch axis of an input may be left open. "
                f"Received: input={tensors[index].name!r}, open axes={tensors[index].open_axes}."
            )
    for operator in graph.operators:
        for index in operator.outputs:
            if tensors[index].open_axes:
                inputs = [tensors[i] for i in operator.inputs]
                tensors[index] = _closed(operator, inputs, tensors[index])
    return dataclasses.replace(graph, tensors=tuple(tensors))


def _closed(operator: Operator, inputs: list[Tensor], output: Tensor) -> Tensor:
    """``output`` with the product of its open axes, as its inputs demand, at the first of them."""
    known = size(n for axis, n in enumerate(output.shape) if axis not in output.open_axes)
    elements = _elements(operator, inputs)
    if elements is None:
        length = max((_open_size(tensor) for tensor in _followed(operator, inputs)), default=1)
    elif known and elements % known == 0:
        length = elements // known
    else:
        length = 0
    if length < 1 or (length > 1 and len(output.open_axes) > 1):
        raise ValueError(
            "An open size does not follow from a batch of 1; convert the model with a batch of 1. "
            f"Received: operator={operator.kind!r}, output={output.name!r} of shape "
            f"{output.shape} with open axes {output.open_axes}."
        )
    shape = list(output.shape)
    for axis in output.open_axes:
        shape[axis] = 1
    shape[output.open_axes[0]] = length
    return dataclasses.replace(output, shape=tuple(shape))


def _elements(operator: Operator, inputs: list[Tensor]) -> int | None:
    """Number of output elements, for operators where the inputs alone determine it."""
    if operator.kind in _SAME_ELEMENTS and inputs:
        return inputs[0].elements
    if operator.kind == "CONCATENATION":
        return sum(tensor.elements for tensor in inputs)
    if operator.kind == "FULLY_CONNECTED" and len(inputs) > 1 and len(inputs[1].shape) == 2:
        units, features = inputs[1].shape
        return inputs[0].elements // features * units if features else None
    return None


def _followed(operator: Operator, inputs: list[Tensor]) -> list[Tensor]:
    """Inputs whose open axis the output has, too."""
    if operator.kind in ("GATHER", "GATHER_ND") and len(inputs) > 1:
        return inputs[1:2] if inputs[1].open_axes else inputs[:1]
    return inputs


def _open_size(tensor: Tensor) -> int:
    return size(tensor.shape[axis] for axis in tensor.open_axes)
