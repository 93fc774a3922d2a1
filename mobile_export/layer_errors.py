"""Which operator of a quantized file loses how much: its tensors beside those of the float file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mobile_export.converter import layer_of
from mobile_export.tensor_values import TensorValues
from tfalign.tflite import Graph


@dataclass(frozen=True)
class LayerError:
    """The error of one operator's result.

    Attributes:
        operator: Built-in name, e.g. ``"CONV_2D"``.
        layer: The Keras layer that it comes from.
        dtype: Type of the result in the quantized file, e.g. ``"INT8"``.
        error: Root mean square of the difference to the float file, relative to the root mean
            square of the float file's values about their mean.
        added: How much of it was not yet in the worst of the operator's inputs.
    """

    operator: str
    layer: str
    dtype: str
    error: float
    added: float

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return asdict(self)


def layer_errors(exact: Graph, graph: Graph, images: np.ndarray) -> list[LayerError]:
    """Compares a quantized file with the float file that it was made of, tensor by tensor.

    Tensors are told by their names, which the quantizer keeps.

    Args:
        exact: The float file.
        graph: The quantized file.
        images: Pictures (N, H, W, 3) in [0, 255].

    Returns:
        One entry for each operator whose result both files have, in the order of execution.
    """
    exact_values, values = TensorValues(exact), TensorValues(graph)
    by_name = {tensor.name: tensor.index for tensor in exact.tensors if not tensor.constant}
    places = {
        op.outputs[0]: by_name[graph.tensors[op.outputs[0]].name]
        for op in graph.operators
        if op.outputs and graph.tensors[op.outputs[0]].name in by_name
    }
    difference = dict.fromkeys(places, 0.0)
    spread = dict.fromkeys(places, 0.0)
    for image in images:
        exact_values.run(image)
        values.run(image)
        for ours, theirs in places.items():
            expected, found = exact_values.of(theirs), values.of(ours)
            difference[ours] += float(np.square(found - expected).sum())
            spread[ours] += float(np.square(expected - expected.mean()).sum())
    error = {
        place: float(np.sqrt(difference[place] / max(spread[place], 1e-12))) for place in places
    }
    # A QUANTIZE or DEQUANTIZE has no tensor of its own in the float file: what it reads counts.
    inherited = dict(error)
    rows = []
    for op in graph.operators:
        before = max((inherited.get(index, 0.0) for index in op.inputs), default=0.0)
        for index in op.outputs:
            inherited.setdefault(index, before)
        if op.outputs and op.outputs[0] in error:
            total = error[op.outputs[0]]
            dtype = graph.tensors[op.outputs[0]].dtype
            layer = layer_of(graph.layer(op))
            rows.append(LayerError(op.kind, layer, dtype, total, max(0.0, total - before)))
    return rows


def table(errors: Sequence[LayerError], most: int = 12) -> str:
    """Returns the operators that add most as text, the worst first."""
    worst = sorted(errors, key=lambda row: -row.added)[:most]
    lines = [f"{'operator':<20}{'type':<9}{'error':>9}{'added':>9}  layer"]
    for row in worst:
        figures = f"{100 * row.error:>8.2f}%{100 * row.added:>8.2f}%"
        lines.append(f"{row.operator:<20}{row.dtype:<9}{figures}  {row.layer}")
    return "\n".join(lines)
