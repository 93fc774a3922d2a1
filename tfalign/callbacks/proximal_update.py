"""Trains some variables under an ℓ1 norm by proximal steps, beside the optimizer of all others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import keras
import numpy as np

from tfalign.callbacks.fista import fista, inner_product, l1_norm
from tfalign.callbacks.penalties import Penalized, Penalties
from tfalign.callbacks.smooth_part import SmoothPart

_CADENCES = ("epoch", "step")


class ProximalUpdate(keras.callbacks.Callback):
    """Alternates training with FISTA steps on variables that an ℓ1 norm makes sparse.

    The objective is ``loss + Σ (weight ‖v‖₁ + ridge ‖v‖_F²)`` over the listed variables v, where
    ``loss`` is the compiled loss averaged over ``data``, in inference mode. At the chosen cadence
    each v in turn takes FISTA steps with the other variables fixed (`tfalign.callbacks.fista`);
    everything else trains by the optimizer, which must not know the listed variables: their moments
    would move them off the exact zeros. Every value is read from the model when an alternation
    begins.

    Sparse training of any model, in one line before ``compile`` and one in ``fit``::

        sparse = ProximalUpdate({"dense/kernel": 1e-3}, data=[(x, y)]); sparse.hold_out(model)
        model.compile("adam", "mse"); model.fit(x, y, callbacks=[sparse])

    `tfalign.training` calls `hold_out` and `use_data` itself: a schedule lists the callback's plain
    arguments, and ``data`` are the first batches of the epoch being trained.

    Logged at the end of each epoch: ``"proximal_objective"``, the objective after the last
    alternation, and for each variable ``"sparsity/<path>"``, its share of exact zeros, and
    ``"V/<path>"``.

    Args:
        weights: Part of a variable's path to the weight of its ℓ1 norm, >= 0. Variables are updated
            in this order; all that match a part, in the model's order.
        ridge: Weight of the squared Frobenius norm, >= 0: a number for all variables, or by the
            parts of ``weights``, 0 for those left out.
        every: Epochs or steps between alternations, >= 1.
        cadence: ``"epoch"`` or ``"step"``: what ``every`` and ``delay`` count.
        delay: Epochs or steps, >= 0, that pass before the first ``every`` begins. Where what
            follows the variables starts near zero, the loss does not hold them yet and the norm
            alone would take them to zero, for good if they are factors of one product.
        steps: FISTA steps for each variable and round, >= 1.
        rounds: How often an alternation goes through the variables, >= 1.
        batches: Number of batches of ``data`` that make up the loss; None takes all.
        initial_v: V of the first line search, > 0; a later one begins with the last V.
        backtracking: Factor on V in a line search, > 1.
        data: Batches (x, y) or (x, y, sample_weight), each time the same ones, or a function from
            the number of the epoch to them.

    Raises:
        ValueError: If an argument breaks its rule.

    Reference:
        Liu et al., IEEE TIP 2017, Algorithm 1 and Equations 8 to 13: P under β and μ, then C under
        γ, with H and Q from back-propagation.

    Reading:
        The paper's loss is a sum over the faces, the compiled one a mean; β, γ and μ are relative
        to the latter. The Frobenius norm counts to the smooth part, whose gradient the step
        follows. The paper does not say how many steps an alternation has, nor on how many faces.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        ridge: float | Mapping[str, float] = 0.0,
        every: int = 1,
        cadence: str = "epoch",
        steps: int = 10,
        rounds: int = 1,
        batches: int | None = None,
        initial_v: float = 1.0,
        backtracking: float = 2.0,
        delay: int = 0,
        data: Iterable[Any] | Callable[[int], Iterable[Any]] | None = None,
    ) -> None:
        super().__init__()
        self.penalties = Penalties(weights, ridge)
        if cadence not in _CADENCES:
            raise ValueError(f"`cadence` must be one of {_CADENCES}. Received: cadence={cadence!r}")
        for name, count in {
            "every": every,
            "steps": steps,
            "rounds": rounds,
            "batches": 1 if batches is None else batches,
        }.items():
            if count < 1:
                raise ValueError(f"`{name}` must be >= 1. Received: {name}={count}")
        if delay < 0:
            raise ValueError(f"`delay` must be >= 0. Received: delay={delay}")
        if initial_v <= 0.0 or backtracking <= 1.0:
            raise ValueError(
                "`initial_v` must be > 0 and `backtracking` > 1. "
                f"Received: initial_v={initial_v}, backtracking={backtracking}"
            )
        self.every, self.cadence, self.steps, self.rounds = every, cadence, steps, rounds
        self.delay = delay
        self.batches, self.initial_v, self.backtracking = batches, initial_v, backtracking
        self._draw: Callable[[int], Iterable[Any]] | None = None
        if data is not None:
            self.use_data(data)
        self.penalized: list[Penalized] = []
        self.trace: list[float] = []
        self.v: np.ndarray | None = None
        self.objective: float | None = None
        self.count = 0
        self._epoch, self._last_batch = 0, -1
        self._smooth: SmoothPart | None = None

    def use_data(self, data: Iterable[Any] | Callable[[int], Iterable[Any]]) -> None:
        """Sets the batches of the loss; see the constructor's ``data``.

        Raises:
            ValueError: If they could be gone through only once.
        """
        if callable(data):
            self._draw = data
            return
        if isinstance(data, Iterator):
            raise ValueError(
                "`data` is gone through at each alternation: give a list of batches, a data set or "
                f"a function from the epoch to batches. Received: data={data!r}"
            )
        batches = data
        self._draw = lambda epoch: batches

    def hold_out(self, model: keras.Model) -> None:
        """Keeps the listed variables from the optimizer. Call it before ``model.compile``.

        Sets their ``trainable`` to False; to end it, set it back and compile anew.

        Raises:
            ValueError: If a part of a path in ``weights`` matches no floating-point variable of
                the model, or two of them match the same one.
        """
        for one in self.penalties.of(model):
            one.variable.trainable = False

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables that are updated, in order; empty before ``set_model``."""
        return [one.variable for one in self.penalized]

    def set_model(self, model: keras.Model) -> None:
        """Finds the variables in the model that ``fit`` trains."""
        super().set_model(model)
        self.penalized = self.penalties.of(model)
        self._smooth = None
        if self.v is None:
            self.v = np.full(len(self.penalized), self.initial_v)
        if self.v.shape != (len(self.penalized),):
            raise ValueError(
                f"The state must hold a V for each of {[v.path for v in self.variables]}. "
                f"Received: {self.v.size} of them"
            )

    def on_train_begin(self, logs: Any = None) -> None:
        """Checks that there are data and that the optimizer leaves the variables alone.

        Raises:
            ValueError: If not.
        """
        if self._draw is None:
            raise ValueError(
                "The callback cannot see the batches of `fit`: give them as `data`, too. "
                "Received: data=None"
            )
        known = [*self.model.trainable_variables, *self.model.optimizer._trainable_variables]
        shared = [v.path for v in self.variables if any(v is other for other in known)]
        if shared:
            raise ValueError(
                "The optimizer must not train the callback's variables: call `hold_out(model)` "
                f"before `model.compile`. Received: variables in the optimizer={shared}"
            )
        self._last_batch = -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Takes note of the epoch."""
        self._epoch, self._last_batch = epoch, -1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Alternates after every so many steps, if the cadence is that."""
        if self.cadence != "step":
            return
        # Several steps may have run since the last call (`steps_per_execution`).
        before, self.count = self.count, self.count + batch - self._last_batch
        self._last_batch = batch
        if self._turns(self.count) > self._turns(before):
            self.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Alternates after every so many epochs, if the cadence is that, and reports."""
        self._epoch = epoch
        if self.cadence == "epoch":
            self.count += 1
            if self._turns(self.count) > self._turns(self.count - 1):
                self.update()
        if logs is not None:
            logs.update(self.report())

    def _turns(self, count: int) -> int:
        """Returns how many alternations there are in so many epochs or steps."""
        return max(0, count - self.delay) // self.every

    def report(self) -> dict[str, float]:
        """Returns the objective after the last alternation and each variable's sparsity and V."""
        numbers = {} if self.objective is None else {"proximal_objective": self.objective}
        for variable, v in zip(self.variables, np.atleast_1d(self.v), strict=True):
            values = keras.ops.convert_to_numpy(variable)
            numbers[f"sparsity/{variable.path}"] = float(np.mean(values == 0.0))
            numbers[f"V/{variable.path}"] = float(v)
        return numbers

    def update(self) -> None:
        """Runs one alternation now.

        Afterwards ``trace`` holds the objective at its start and after each accepted step.
        """
        # Keras's JAX trainer keeps the state to itself between the steps of an epoch.
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        if self._smooth is None:
            self._smooth = SmoothPart(self.model, self.variables)
        self._smooth.load(islice(iter(self._draw(self._epoch)), self.batches))
        points = [np.array(keras.ops.convert_to_numpy(v)) for v in self.variables]
        self.trace = []
        for _ in range(self.rounds):
            for place in range(len(points)):
                self._solve(points, place)
        self._smooth.unload()
        for variable, point in zip(self.variables, points, strict=True):
            variable.assign(point)
        self.objective = self.trace[-1]
        empty = [v.path for v, point in zip(self.variables, points, strict=True) if not point.any()]
        if empty:
            warnings.warn(
                f"Every entry of {', '.join(empty)} is zero after the proximal update: the weight "
                "of its norm is too large for what it does at this moment; see `delay`.",
                stacklevel=2,
            )

    def _solve(self, points: list[np.ndarray], place: int) -> None:
        """Minimises over one variable, in place."""
        weight, ridge = self.penalized[place].weight, self.penalized[place].ridge

        def at(point: np.ndarray) -> list[np.ndarray]:
            return [*points[:place], point, *points[place + 1 :]]

        def value(point: np.ndarray) -> float:
            return self._smooth.value(at(point)) + ridge * inner_product(point, point)

        def value_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
            loss, gradient = self._smooth.value_and_gradient(at(point), place)
            return loss + ridge * inner_product(point, point), gradient + 2.0 * ridge * point

        result = fista(
            value,
            value_and_gradient,
            points[place],
            weight,
            steps=self.steps,
            v=float(self.v[place]),
            factor=self.backtracking,
        )
        others = sum(
            other.weight * l1_norm(point) + other.ridge * inner_product(point, point)
            for other, point in zip(self.penalized, points, strict=True)
            if other is not self.penalized[place]
        )
        # After the first one, a problem starts where the last ended; rounding must not show.
        begin = self.trace.pop() if self.trace else result.objectives[0] + others
        self.trace += [begin + (o - result.objectives[0]) for o in result.objectives]
        points[place], self.v[place] = result.point, result.v

    def get_state(self) -> dict[str, Any]:
        """Returns what a checkpoint must hold; the variables' values are the model's."""
        state = {"count": self.count, "objective": self.objective}
        return state if self.v is None else {**state, "v": self.v.copy()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from what `get_state` returned."""
        self.count, self.objective = int(state["count"]), state["objective"]
        self.v = np.array(state["v"]) if "v" in state else None
