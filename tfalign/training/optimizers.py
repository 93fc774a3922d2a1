"""Turns optimizer and learning-rate data into Keras objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from tfalign.training.phase import LearningRateSpec, OptimizerSpec


@keras.saving.register_keras_serializable(package="tfalign")
class CoupledSGD(keras.optimizers.SGD):
    """SGD whose weight decay is part of the gradient: the one that PyTorch and the papers mean.

    ``g = gradient + coupled_decay * w``, then momentum and step as in `keras.optimizers.SGD`, whose
    own ``weight_decay`` shrinks the weights outside the momentum and is therefore ``1 / (1 -
    momentum)`` times weaker in the long run.

    Args:
        coupled_decay: The decay, >= 0.
        **kwargs: See `keras.optimizers.SGD`.
    """

    def __init__(self, coupled_decay: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if coupled_decay < 0.0:
            raise ValueError(
                f"`coupled_decay` must be >= 0. Received: coupled_decay={coupled_decay}"
            )
        self.coupled_decay = float(coupled_decay)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable."""
        if self.coupled_decay and self._use_weight_decay(variable):
            gradient = gradient + ops.cast(self.coupled_decay, gradient.dtype) * ops.cast(
                variable, gradient.dtype
            )
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument as plain data."""
        return {**super().get_config(), "coupled_decay": self.coupled_decay}


class ClipsTheSum:
    """Mixed into an optimizer: clips the gradient of the whole batch under ``tf.distribute``.

    Keras clips each replica's gradient and then adds them up, which is another step than the one
    that a single device with the whole batch takes.
    """

    def _clip_gradients(self, grads: list[Any]) -> list[Any]:
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        total = context.all_reduce(tf.distribute.ReduceOp.SUM, grads)
        clipped = super()._clip_gradients(total)  # type: ignore[misc]
        # Keras will add up the replicas' gradients, which are all the same now.
        return [gradient / context.num_replicas_in_sync for gradient in clipped]


def build_learning_rate(
    spec: LearningRateSpec, steps: int, schedules: Any = keras.optimizers.schedules
) -> Any:
    """Makes a learning rate for a phase of ``steps`` optimizer steps.

    Args:
        spec: The learning rate as data.
        steps: Length of the phase.
        schedules: Keras's module, or that of ``tf_keras``, which fine-tuning runs on.

    Returns:
        A float for constant and plateau rates, else an object of ``schedules``.
    """
    if spec.kind == "cosine":
        warmup = round(spec.warmup * steps)
        return schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else spec.base,
            decay_steps=max(1, steps - warmup),
            alpha=spec.final / spec.base,
            warmup_target=spec.base if warmup else None,
            warmup_steps=warmup,
        )
    if spec.kind == "polynomial":
        return schedules.PolynomialDecay(
            spec.base, max(1, steps), end_learning_rate=spec.final, power=spec.power
        )
    if spec.kind == "piecewise":
        # Keras gives the old value at the boundary step itself; "from this step on" is one less.
        boundaries = [boundary - 1 for boundary in spec.boundaries]
        return schedules.PiecewiseConstantDecay(boundaries, [spec.base, *spec.values])
    return spec.base


def build_optimizer(
    spec: OptimizerSpec, learning_rate: Any, mirrored: bool = False
) -> keras.optimizers.Optimizer:
    """Makes an optimizer.

    Args:
        spec: The optimizer as data.
        learning_rate: A float or a Keras schedule.
        mirrored: Whether it will run under a ``tf.distribute`` strategy.

    Returns:
        A new, unbuilt optimizer.
    """
    arguments: dict[str, Any] = {"learning_rate": learning_rate, "global_clipnorm": spec.clip_norm}
    if spec.ema is not None:
        arguments.update(use_ema=True, ema_momentum=spec.ema, ema_overwrite_frequency=None)
    made: type[keras.optimizers.Optimizer]
    if spec.kind == "sgd":
        made = CoupledSGD
        arguments.update(coupled_decay=spec.weight_decay, momentum=spec.momentum)
        arguments.update(nesterov=spec.nesterov)
    else:
        made = keras.optimizers.Adam if spec.kind == "adam" else keras.optimizers.AdamW
        arguments.update(beta_1=spec.momentum, beta_2=spec.beta_2)
    if spec.kind == "adamw":
        arguments["weight_decay"] = spec.weight_decay
    made = without_decay(with_rate_factors(made, spec.rate_factors), spec.decay_exclude)
    if mirrored and spec.clip_norm is not None:
        made = type(made.__name__, (ClipsTheSum, made), {})
    return made(**arguments)


def with_rate_factors(
    kind: type[keras.optimizers.Optimizer], factors: Mapping[str, float]
) -> type[keras.optimizers.Optimizer]:
    """Returns ``kind`` with a factor on the learning rate of some variables.

    Args:
        kind: An optimizer class.
        factors: Part of a variable's path, such as ``"fc/"``, to factor; the first match counts.

    Returns:
        ``kind`` itself without factors, else a subclass. It lives within one phase and is never
        serialised: a run is resumed from its data.
    """
    if not factors:
        return kind

    class RateFactors(kind):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            path = _path(self, variable)
            for part, factor in factors.items():
                if part in path:
                    learning_rate = learning_rate * factor
                    break
            super().update_step(gradient, variable, learning_rate)

    return RateFactors


def without_decay(
    kind: type[keras.optimizers.Optimizer], parts: Sequence[str]
) -> type[keras.optimizers.Optimizer]:
    """Returns ``kind`` with some variables left out of its weight decay.

    Keras's own exclusion asks for the variable's name, which is the whole path on TensorFlow and
    its last part on JAX.

    Args:
        kind: An optimizer class.
        parts: Parts of a variable's path, such as ``"bias"``.

    Returns:
        ``kind`` itself without parts, else a subclass that lives as long as `with_rate_factors`'s.
    """
    if not parts:
        return kind

    class WithoutDecay(kind):
        def _use_weight_decay(self, variable: Any) -> bool:
            path = _path(self, variable)
            return not any(part in path for part in parts)

    return WithoutDecay


def _path(optimizer: Any, variable: Any) -> str:
    # TensorFlow hands over its own variable, of one replica, instead of Keras's.
    path: str = optimizer._trainable_variables[optimizer._get_variable_index(variable)].path
    return path
