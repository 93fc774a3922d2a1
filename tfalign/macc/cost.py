"""The arithmetic of one operation, in separate columns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

Shape = tuple[int, ...]
"""Size of one tensor, batch axis included; the counter sets the batch axis to 1."""


TAPS = {"nearest": 1, "bilinear": 4, "bicubic": 16, "lanczos3": 36, "lanczos5": 100}
"""Samples that a two-dimensional interpolation kernel reads for one output element."""


def size(shape: Iterable[int]) -> int:
    """Number of elements of a tensor of this shape."""
    return math.prod(shape)


@dataclasses.dataclass(frozen=True)
class Cost:
    """Arithmetic of one operation at inference, counted in operations per image.

    Only ``macc`` enters the figure that papers print. The other columns are kept apart because
    papers leave them out, but a phone still has to do them.

    Attributes:
        macc: multiply-accumulates of convolutions, dense layers and matrix products. Taps that
            fall on zero padding are counted, as is usual.
        bias_norm: one addition per element for a bias, one multiply-add per element for a
            normalisation (at inference, with the statistics folded).
        activation: one evaluation per element.
        pooling: one comparison or addition per element of each pooling window; also reductions.
        resampling: one multiply-add per tap and output element of an interpolation; products with
            a matrix that a layer's definition fixes, see ``tfalign.layers.fixed_map``.
        elementwise: one operation per output element of sums, products, comparisons and the like.

    Moving data (reshape, concatenate, gather, pad) costs nothing in any column.
    """

    macc: int = 0
    bias_norm: int = 0
    activation: int = 0
    pooling: int = 0
    resampling: int = 0
    elementwise: int = 0

    def __post_init__(self) -> None:
        for column, value in self.columns().items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(
                    f"Each column of a Cost must be an integer of at least 0. "
                    f"Received: {column}={value!r}"
                )

    def __add__(self, other: Cost) -> Cost:
        mine, theirs = self.columns(), other.columns()
        return Cost(**{column: mine[column] + theirs[column] for column in mine})

    def __mul__(self, times: int) -> Cost:
        return Cost(**{column: value * times for column, value in self.columns().items()})

    def columns(self) -> dict[str, int]:
        """The columns as a dict, in the order of the table."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


COLUMNS = tuple(field.name for field in dataclasses.fields(Cost))
"""Names of the columns, in the order of the table."""
