"""What a count returns: rows, totals, a printable table and JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tfalign.macc.cost import COLUMNS, Cost, Shape

_HEADINGS = {
    "macc": "MACC",
    "bias_norm": "bias+norm",
    "activation": "activation",
    "pooling": "pooling",
    "resampling": "resampling",
    "elementwise": "elementwise",
}


@dataclasses.dataclass(frozen=True)
class LayerCount:
    """One call of one layer, Keras operation or ``.tflite`` operator.

    Attributes:
        name: name of the layer with the names of the models around it (``outer/inner``); a second
            call of a shared layer carries ``#2``. In a ``.tflite``, the name of the output tensor.
        type: class name of the layer, or name of the operator.
        output_shape: shape of the (first) output, batch axis included.
        params: weights that training changes; 0 on later calls of a shared layer.
        cost: the arithmetic, see ``Cost``; its columns are also attributes of the row.
    """

    name: str
    type: str
    output_shape: Shape
    params: int
    cost: Cost

    @property
    def macc(self) -> int:
        """Multiply-accumulates of convolutions, dense layers and matrix products."""
        return self.cost.macc

    @property
    def bias_norm(self) -> int:
        """Bias additions and multiply-adds of normalisations."""
        return self.cost.bias_norm

    @property
    def activation(self) -> int:
        """Evaluations of activation functions."""
        return self.cost.activation

    @property
    def pooling(self) -> int:
        """Elements visited by pooling windows and reductions."""
        return self.cost.pooling

    @property
    def resampling(self) -> int:
        """Multiply-adds of interpolations."""
        return self.cost.resampling

    @property
    def elementwise(self) -> int:
        """Other arithmetic, one operation per output element."""
        return self.cost.elementwise

    def to_dict(self) -> dict[str, Any]:
        """The row as plain data."""
        return {
            "name": self.name,
            "type": self.type,
            "output_shape": list(self.output_shape),
            "params": self.params,
            **self.cost.columns(),
        }


@dataclasses.dataclass(frozen=True)
class Report:
    """Multiply-accumulates and parameters of a model, row by row.

    Attributes:
        name: name of the model or path of the file.
        layers: one row per call of a layer, from the input to the output.
    """

    name: str
    layers: tuple[LayerCount, ...]

    @property
    def total(self) -> Cost:
        """Sum of all rows."""
        return sum((row.cost for row in self.layers), Cost())

    @property
    def macc(self) -> int:
        """Multiply-accumulates of one image."""
        return self.total.macc

    @property
    def params(self) -> int:
        """Number of weights that training changes."""
        return sum(row.params for row in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Totals and rows as plain data."""
        return {
            "name": self.name,
            "params": self.params,
            **self.total.columns(),
            "layers": [row.to_dict() for row in self.layers],
        }

    def to_json(self) -> str:
        """``to_dict`` as a JSON document."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def table(self, compact: bool = False) -> str:
        """A text table: one line per row, then the totals.

        Args:
            compact: leave out rows without parameters and without any arithmetic.
        """
        rows = [
            row
            for row in self.layers
            if not compact or row.params or any(row.cost.columns().values())
        ]
        lines = [
            ["layer", "type", "output", "params", *(_HEADINGS[column] for column in COLUMNS)],
            *(
                [
                    row.name,
                    row.type,
                    "x".join(map(str, row.output_shape)) or "scalar",
                    f"{row.params:,}",
                    *(f"{value:,}" for value in row.cost.columns().values()),
                ]
                for row in rows
            ),
            [
                "total",
                "",
                "",
                f"{self.params:,}",
                *(f"{value:,}" for value in self.total.columns().values()),
            ],
        ]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        text = [_aligned(line, widths) for line in lines]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([self.name, text[0], rule, *text[1:-1], rule, text[-1]])

    def __str__(self) -> str:
        return f"{self.name}: {self.macc:,} MACC, {self.params:,} parameters"


def _aligned(line: list[str], widths: list[int]) -> str:
    """Text to the left, numbers to the right."""
    cells = [
        cell.ljust(width) if column < 3 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
