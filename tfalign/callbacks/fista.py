"""Accelerated proximal gradient descent on a smooth function plus an ℓ1 norm; no Keras model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tfalign.geometry.namespace import namespace

Value = Callable[[Any], float]
"""A smooth function of one array."""
ValueAndGradient = Callable[[Any], tuple[float, Any]]
"""The same function with its gradient, an array like the point."""

# Where V‖d‖² is fewer units in the last place of the function's value, the values of two points
# that lie d apart say little about their difference.
_NEAR_ULPS = 1000.0
# Rounding errors of gradients and steps.
_ROUNDING_ULPS = 4.0
_MOST_TRIALS = 100


@dataclass
class FistaResult:
    """What `fista` returns.

    Attributes:
        point: The solution, in which the ℓ1 norm's zeros are exact.
        v: V at the end, a good start for a neighbouring problem.
        objectives: Smooth function plus weighted ℓ1 norm at the start and after each accepted
            step; it never rises.
        rejected: Steps that would have raised the objective and were not taken.
        converged: Whether no further step could lower the objective, within rounding.
    """

    point: Any
    v: float
    objectives: list[float] = field(default_factory=list)
    rejected: int = 0
    converged: bool = False


def soft_threshold(values: Any, threshold: Any) -> Any:
    """Moves every value towards zero by a threshold; what lies within it becomes exactly +0.

    Args:
        values: NumPy array or tensor.
        threshold: >= 0, a number or an array of the same shape.

    Returns:
        ``max(|values| - threshold, 0) * sign(values)``, like ``values``.

    Reference:
        Liu et al., IEEE TIP 2017, the shrinkage operator T below Equation 10.
    """
    xp = namespace(values)
    return values - xp.minimum(xp.maximum(values, -threshold), threshold)


def proximal_step(point: Any, gradient: Any, v: Any, weight: Any) -> Any:
    """Takes one gradient step of length ``1 / v`` on the smooth part and shrinks the result.

    Args:
        point: Search point, a NumPy array or tensor.
        gradient: Gradient of the smooth part there.
        v: The Lipschitz constant V, > 0; a number, or an array for a V per entry.
        weight: Weight of the ℓ1 norm, >= 0.

    Returns:
        The new point, like ``point``.

    Reference:
        Liu et al., IEEE TIP 2017, Equations 10 and 12.
    """
    return soft_threshold(point - gradient / v, weight / v)


def fista(
    value: Value,
    value_and_gradient: ValueAndGradient,
    start: Any,
    weight: float,
    *,
    steps: int,
    v: float = 1.0,
    factor: float = 2.0,
) -> FistaResult:
    """Minimises ``value(x) + weight * ‖x‖₁`` from a starting point.

    Each step evaluates one gradient at the search point ``x + (p' - 1) / p (x - x')`` with
    ``p = (1 + √(1 + 4 p'²)) / 2`` and searches V so that the function lies below its quadratic
    bound. V only grows from one step to the next; the first step also tries smaller ones.

    Args:
        value: The smooth function; convex for the known rate of convergence, but the objective
            falls without that.
        value_and_gradient: The same with its gradient.
        start: Starting point: floating-point NumPy array or tensor; iterates keep its type.
        weight: Weight of the ℓ1 norm, >= 0.
        steps: Gradient evaluations at most, >= 0.
        v: V to begin with, > 0.
        factor: Factor on V in the line search, > 1.

    Returns:
        Solution, V and the course of the objective.

    Raises:
        ValueError: If an argument is outside its range.
        FloatingPointError: If the function is not finite at the start, or no V is large enough.

    Reference:
        Liu et al., IEEE TIP 2017, Equations 9 to 13 and Algorithm 1; Beck and Teboulle, SIAM J.
        Imaging Sciences 2009, FISTA with back-tracking.

    Reading:
        Plain FISTA is not monotone. A step with momentum that would raise the objective is not
        taken; momentum begins anew at p = 1 (O'Donoghue and Candès, Foundations of Computational
        Mathematics 2015, restart by function value). A step without momentum under a valid V never
        raises the objective; if it seems to, rounding is all that is left, and the search ends.
        Near the solution the values of a float32 function do not tell two points apart, long before
        its gradients are done; differences are then taken from the gradients at both ends.
        Equations 10 and 12 print μ in both thresholds; they are ``weight / V``, with the
        weight β or γ that the objective gives this ℓ1 norm.
    """
    if weight < 0.0 or steps < 0 or v <= 0.0 or factor <= 1.0:
        raise ValueError(
            "`weight` and `steps` must be >= 0, `v` > 0 and `factor` > 1. "
            f"Received: weight={weight}, steps={steps}, v={v}, factor={factor}"
        )
    first = _Point(start, value, value_and_gradient)
    if not math.isfinite(first.value):
        raise FloatingPointError(
            f"The smooth function must be finite at the start. Received: value={first.value}"
        )
    result = FistaResult(start, v, [first.value + weight * l1_norm(start)])
    best, searched, momentum = first, first, 1.0
    for step in range(steps):
        found, result.v = _line_search(searched, weight, result.v, factor, descend=step == 0)
        gain = best.difference(found, result.v)
        gain += weight * _l1_difference(best.array, found.array)
        plain = searched is best
        # Written so that a value that is not a number is refused, too.
        if not gain <= 0.0:
            result.rejected += 1
            if plain:
                result.converged = True
                break
            searched, momentum = best, 1.0
            continue
        result.objectives.append(result.objectives[-1] + gain)
        moved = found.array - best.array
        best, result.point = found, found.array
        if plain and _norm(moved) <= _ROUNDING_ULPS * best.epsilon * _norm(best.array):
            result.converged = True
            break
        following = (1.0 + math.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        share = (momentum - 1.0) / following
        momentum = following
        searched = best
        if share > 0.0:
            searched = _Point(best.array + share * moved, value, value_and_gradient)
    return result


class _Point:
    """A point with the smooth function there, each evaluated at most once and only if asked for."""

    def __init__(self, array: Any, value: Value, value_and_gradient: ValueAndGradient) -> None:
        self.array = array
        self._evaluate, self._differentiate = value, value_and_gradient
        self.epsilon = float(np.finfo(np.asarray(array).dtype).eps)

    @cached_property
    def value(self) -> float:
        return self._slope[0] if "_slope" in self.__dict__ else self._evaluate(self.array)

    @property
    def gradient(self) -> Any:
        return self._slope[1]

    @cached_property
    def _slope(self) -> tuple[float, Any]:
        return self._differentiate(self.array)

    def step(self, v: float, weight: float) -> _Point:
        """Returns where the proximal step from here leads."""
        array = proximal_step(self.array, self.gradient, v, weight)
        return _Point(array, self._evaluate, self._differentiate)

    def difference(self, other: _Point, v: float) -> float:
        """Returns the function at ``other`` minus here; ``v`` says how far apart that is."""
        moved = other.array - self.array
        if v * inner_product(moved, moved) > _NEAR_ULPS * self.epsilon * abs(self.value):
            return other.value - self.value
        # The trapezoidal rule along the way: exact for quadratic functions.
        return inner_product(self.gradient + other.gradient, moved) / 2.0


def _line_search(
    point: _Point, weight: float, v: float, factor: float, descend: bool
) -> tuple[_Point, float]:
    """Returns the proximal step under a V whose quadratic bound holds, and V."""

    def bounded(found: _Point, v: float) -> bool:
        moved = found.array - point.array
        length = _norm(moved)
        rise = point.difference(found, v) - inner_product(point.gradient, moved)
        # The gradients have rounding errors of their own.
        error = _ROUNDING_ULPS * point.epsilon * (_norm(point.gradient) + v * _norm(point.array))
        return rise <= v / 2.0 * length**2 + error * length

    found = point.step(v, weight)
    if bounded(found, v):
        # The V given may be far too large, which would make every step too short.
        # A step that stays where it is shows no curvature: every V is as good, and none is found.
        moves = bool(np.any(np.asarray(found.array != point.array)))
        for _ in range(_MOST_TRIALS if descend and moves else 0):
            other = point.step(v / factor, weight)
            if not bounded(other, v / factor):
                break
            found, v = other, v / factor
        return found, v
    for _ in range(_MOST_TRIALS):
        v *= factor
        found = point.step(v, weight)
        if bounded(found, v):
            return found, v
    raise FloatingPointError(
        "No V made the function lie below its quadratic bound: the gradient is not that of the "
        f"function, or not finite. Received: value={point.value}, V={v}"
    )


def inner_product(one: Any, other: Any) -> float:
    """Returns the sum of the products of two arrays' entries, accumulated in float64."""
    return float(np.sum(np.asarray(one * other), dtype=np.float64))


def l1_norm(values: Any) -> float:
    """Returns the sum of an array's absolute values, accumulated in float64."""
    return float(np.sum(np.abs(np.asarray(values)), dtype=np.float64))


def _norm(values: Any) -> float:
    return math.sqrt(inner_product(values, values))


def _l1_difference(one: Any, other: Any) -> float:
    wide = [np.abs(np.asarray(array, dtype=np.float64)) for array in (other, one)]
    return float(np.sum(wide[0] - wide[1]))
