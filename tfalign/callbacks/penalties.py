"""Which variables of a model are penalised, and how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Penalized:
    """A variable with the weights of its penalties.

    Attributes:
        variable: The variable.
        weight: Weight of its ℓ1 norm.
        ridge: Weight of its squared Frobenius norm.
    """

    variable: keras.Variable
    weight: float
    ridge: float


class Penalties:
    """Weights of penalties by part of a variable's path.

    Args:
        weights: Part of a path to the weight of the ℓ1 norm, >= 0.
        ridge: Weight of the squared Frobenius norm, >= 0: a number for all, or by the parts of
            ``weights``, 0 for those left out.

    Raises:
        ValueError: If an argument breaks its rule.
    """

    def __init__(
        self, weights: Mapping[str, float], ridge: float | Mapping[str, float] = 0.0
    ) -> None:
        if not weights or any(weight < 0.0 for weight in weights.values()):
            raise ValueError(
                "`weights` must name at least one part of a path and give each a weight >= 0. "
                f"Received: weights={dict(weights)}"
            )
        by_part = dict(ridge) if isinstance(ridge, Mapping) else dict.fromkeys(weights, ridge)
        if not set(by_part) <= set(weights) or any(value < 0.0 for value in by_part.values()):
            raise ValueError(
                "`ridge` must be >= 0, and its keys be among those of `weights`. "
                f"Received: ridge={ridge}, weights={dict(weights)}"
            )
        self.weights, self.ridge = dict(weights), by_part

    def of(self, model: keras.Model) -> list[Penalized]:
        """Returns the model's penalised variables, in the order of ``weights``.

        Raises:
            ValueError: If a part matches no floating-point variable of the model, or two of them
                match the same one.
        """
        found: dict[int, Penalized] = {}
        floats = [v for v in model.variables if keras.backend.is_float_dtype(v.dtype)]
        for part, weight in self.weights.items():
            matching = [variable for variable in floats if part in variable.path]
            twice = [v.path for v in matching if id(v) in found]
            if twice or not matching:
                raise ValueError(
                    "Each key of `weights` must be part of the path of at least one variable, and "
                    f"of none that another key takes: {[v.path for v in floats]}. "
                    f"Received: key={part!r}, taken twice={twice}"
                )
            ridge = self.ridge.get(part, 0.0)
            found.update({id(v): Penalized(v, weight, ridge) for v in matching})
        return list(found.values())
