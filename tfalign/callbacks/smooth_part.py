"""A model's training loss as a function of one of its variables, all others fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from tfalign.callbacks.frozen_part import CutModel, can_be_cut

_BACKENDS = ("tensorflow", "jax")


class SmoothPart:
    """The mean of the compiled loss over some batches, and its gradient to one variable.

    The model runs in inference mode, so that the value is a function: no dropout, statistics of
    batch normalisation as they are. What the model computes before the given variables matter is
    computed once, when `load` is called; nothing of the model's state is kept beyond `unload`.

    Args:
        model: A compiled model.
        variables: The variables that will be varied.

    Raises:
        ValueError: If the back end is neither TensorFlow nor JAX, or the model is functional and
            no output depends on the variables.
    """

    def __init__(self, model: keras.Model, variables: Sequence[keras.Variable]) -> None:
        if keras.backend.backend() not in _BACKENDS:
            raise ValueError(
                f"The Keras back end must be one of {_BACKENDS}. "
                f"Received: backend={keras.backend.backend()!r}"
            )
        self.model, self.variables = model, list(variables)
        # JAX bakes a variable that a program reads into it; TensorFlow's programs read variables
        # whenever they run.
        self._fixed = []
        if keras.backend.backend() == "jax":
            self._fixed = [v for v in model.variables if all(v is not one for one in variables)]
        self._cut = CutModel(model, variables) if can_be_cut(model) else None
        self._before = _compiled(self._run_before)
        self._value = _compiled(self._loss)
        # One program for each variable: which of them is differentiated is part of the program.
        self._gradients = [_with_gradient(self._loss, place) for place in range(len(variables))]
        self._fixed_values: list[Any] = []
        self._batches: list[Any] = []
        self._rows: list[int] = []

    def load(self, batches: Iterable[Any]) -> None:
        """Takes the batches and the present values of the fixed variables.

        Args:
            batches: Tuples (x, y) or (x, y, sample_weight), as ``fit`` takes them.

        Raises:
            ValueError: If there is no batch.
        """
        self._fixed_values = [keras.ops.convert_to_tensor(v) for v in self._fixed]
        self._batches, self._rows = [], []
        for batch in batches:
            x, y, weight = keras.utils.unpack_x_y_sample_weight(tuple(batch))
            x, y = _tensors(x), _tensors(y)
            self._rows.append(int(keras.tree.flatten(x)[0].shape[0]))
            if self._cut is not None:
                x = self._before(self._fixed_values, x)
            self._batches.append((x, y, None if weight is None else _tensors(weight)))
        if not self._batches:
            raise ValueError("The smooth part needs at least one batch. Received: no batch")

    def unload(self) -> None:
        """Lets go of what `load` took."""
        self._fixed_values, self._batches, self._rows = [], [], []

    def value(self, points: Sequence[np.ndarray]) -> float:
        """Returns the mean loss, weighted by the batches' sizes.

        Args:
            points: A value for each of ``variables``.
        """
        losses = [self._value(_tensors(list(points)), self._fixed_values, b) for b in self._batches]
        # Summed on the host, in float64.
        return float(np.average([float(loss) for loss in losses], weights=self._rows))

    def value_and_gradient(
        self, points: Sequence[np.ndarray], place: int
    ) -> tuple[float, np.ndarray]:
        """Returns the mean loss and its gradient to ``points[place]``."""
        points = _tensors(list(points))
        total, gradient = 0.0, np.zeros(tuple(self.variables[place].shape))
        for rows, batch in zip(self._rows, self._batches, strict=True):
            share = rows / sum(self._rows)
            loss, slope = self._gradients[place](points, self._fixed_values, batch)
            total += share * float(loss)
            gradient += share * keras.ops.convert_to_numpy(slope)
        return total, gradient.astype(self.variables[place].dtype)

    def _scope(self, points: Sequence[Any], fixed: Sequence[Any]) -> keras.StatelessScope:
        """Variables have the values of arguments inside, and nothing that happens to them stays."""
        pairs = [*zip(self.variables, points, strict=True), *zip(self._fixed, fixed, strict=True)]
        return keras.StatelessScope(pairs, collect_losses=True)

    def _run_before(self, fixed: Sequence[Any], x: Any) -> list[Any]:
        assert_cut: Any = self._cut
        with keras.StatelessScope(list(zip(self._fixed, fixed, strict=True))):
            return list(assert_cut.before(x))

    def _loss(self, points: Sequence[Any], fixed: Sequence[Any], batch: Any) -> Any:
        x, y, weight = batch
        with self._scope(points, fixed):
            if self._cut is not None:
                outputs, x = self._cut.after(x), None
            else:
                outputs = self.model(x, training=False)
            return self.model.compute_loss(
                x=x, y=y, y_pred=outputs, sample_weight=weight, training=False
            )


def _tensors(structure: Any) -> Any:
    return keras.tree.map_structure(keras.ops.convert_to_tensor, structure)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    if keras.backend.backend() == "jax":
        import jax

        jitted: Callable[..., Any] = jax.jit(function)
        return jitted
    import tensorflow as tf

    traced: Callable[..., Any] = tf.function(function, reduce_retracing=True, autograph=False)
    return traced


def _with_gradient(loss: Callable[..., Any], place: int) -> Callable[..., Any]:
    """Returns a program for the loss and its gradient to the ``place``-th point."""
    if keras.backend.backend() == "jax":
        import jax

        def of_one(point: Any, points: Sequence[Any], fixed: Any, batch: Any) -> Any:
            return loss([*points[:place], point, *points[place + 1 :]], fixed, batch)

        differentiated = jax.value_and_grad(of_one)
        return _compiled(
            lambda points, fixed, batch: differentiated(points[place], points, fixed, batch)
        )
    import tensorflow as tf

    def taped(points: Sequence[Any], fixed: Any, batch: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points[place])
            total = loss(points, fixed, batch)
        # As on JAX, a variable without influence has gradient 0.
        zero = tf.UnconnectedGradients.ZERO
        return total, tape.gradient(total, points[place], unconnected_gradients=zero)

    return _compiled(taped)
