"""Counting a ``.tflite`` file from its own operators."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path
from typing import Any

from tfalign.macc.report import LayerCount, Report
from tfalign.macc.tflite_file import TFLiteFile, read_tflite
from tfalign.macc.tflite_open_sizes import with_closed_sizes
from tfalign.macc.tflite_operators import cost_of_operator, weight_operands


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


def count_tflite(path: str | os.PathLike[str]) -> TFLiteReport:
    """Counts multiply-accumulates and parameters of a ``.tflite`` file.

    The first subgraph is read from the flatbuffer; nothing is run and TensorFlow is not needed.
    A batch axis that is left open is counted as 1, so the count is for one image.

    Args:
        path: the file.

    Returns:
        The report, with one row per operator.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no ``.tflite``, leaves sizes open that the count needs,
            or contains an operator that no rule counts.
        ImportError: neither ai-edge-litert nor TensorFlow is installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no such .tflite file. Received: path='{path}'")
    file = read_tflite(path)
    try:
        file = with_closed_sizes(file)
        rows = _rows(file)
    except ValueError as error:
        raise ValueError(f"{error} In file '{path}'") from error
    return TFLiteReport(
        name=path.name,
        layers=rows,
        operators=dict(Counter(operator.kind for operator in file.operators).most_common()),
        tensor_types=dict(Counter(tensor.dtype for tensor in file.tensors).most_common()),
        weight_bytes=file.weight_bytes,
        file_bytes=file.file_bytes,
    )


def _rows(file: TFLiteFile) -> tuple[LayerCount, ...]:
    counted: set[int] = set()
    rows = []
    for operator in file.operators:
        fresh = weight_operands(operator, file) - counted
        counted |= fresh
        outputs = [file.tensors[index] for index in operator.outputs]
        rows.append(
            LayerCount(
                name=outputs[0].name if outputs else operator.kind,
                type=operator.kind,
                output_shape=outputs[0].shape if outputs else (),
                params=sum(file.tensors[index].elements for index in fresh),
                cost=cost_of_operator(operator, file),
            )
        )
    return tuple(rows)
