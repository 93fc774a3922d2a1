"""Turns one phase into a compiled Keras model and its callbacks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

from tfalign import callbacks as callback_classes
from tfalign import losses
from tfalign.training.distribution import Distribution
from tfalign.training.freezing import train_only
from tfalign.training.optimizers import build_learning_rate, build_optimizer
from tfalign.training.phase import Phase
from tfalign.training.schedules import OUR_PARTS


@dataclass(frozen=True)
class Execution:
    """Choices of speed and saving that leave the result as it is.

    Attributes:
        steps_per_execution: Optimizer steps per call into the back end, lowered to a divisor of
            the steps of an epoch.
        jit_compile: Whether XLA compiles the step; ``"auto"`` leaves it to Keras, which does so
            except on a TensorFlow without an accelerator.
        checkpoint_every: Epochs between checkpoints. A killed run repeats at most so many.
        verbose: Keras's: 0 silent, 1 progress bar, 2 one line per epoch; ``"auto"`` takes the bar
            on a terminal only.
    """

    steps_per_execution: int = 1
    jit_compile: bool | Literal["auto"] = "auto"
    checkpoint_every: int = 1
    verbose: int | Literal["auto"] = "auto"


def compile_phase(
    model: Any,
    phase: Phase,
    length: int,
    steps_per_epoch: int,
    distribution: Distribution,
    execution: Execution,
    callbacks: Sequence[Any] = (),
) -> Any:
    """Freezes what the phase does not train and compiles a model of the outputs with losses.

    Args:
        model: The landmark model.
        phase: The phase.
        length: Its length in epochs.
        steps_per_epoch: Optimizer steps in an epoch.
        distribution: Where it runs.
        execution: How it runs.
        callbacks: The phase's own callbacks; those that train variables themselves, and so have a
            method ``hold_out(model)``, take them out of the optimizer here.

    Returns:
        A ``keras.Model`` on the same layers, whose optimizer's variables exist.

    Raises:
        ValueError: If the phase names an unknown output or group.

    Warns:
        UserWarning: If a part of ``rate_factors`` or ``decay_exclude`` is in no variable's path.
    """
    whole = model.training_model
    unknown = sorted(set(phase.losses) - set(whole.output))
    if unknown:
        raise ValueError(
            f"Losses belong to the model's training outputs {sorted(whole.output)}. "
            f"Received: phase={phase.name!r}, losses for {unknown}"
        )
    _warn_of_parts(phase, [variable.path for variable in whole.variables])
    # Keras runs a started group of steps to its end: one across the epoch's end would take batches
    # of the next epoch, and a resumed run would see other ones.
    wanted = min(steps_per_epoch, max(1, execution.steps_per_execution))
    per_call = max(n for n in range(1, wanted + 1) if steps_per_epoch % n == 0)
    with distribution.scope():
        train_only(whole, model.groups, phase.train)
        trainer = keras.Model(whole.input, {name: whole.output[name] for name in phase.losses})
        for callback in callbacks:
            if hasattr(callback, "hold_out"):
                callback.hold_out(trainer)
        rate = build_learning_rate(phase.learning_rate, length * steps_per_epoch)
        trainer.compile(
            optimizer=build_optimizer(
                phase.optimizer, rate, mirrored=distribution.strategy == "mirrored"
            ),
            loss={
                name: _made(losses.get, term.loss, term.arguments, phase)
                for name, term in phase.losses.items()
            },
            loss_weights={name: term.weight for name, term in phase.losses.items()},
            jit_compile=execution.jit_compile,
            steps_per_execution=per_call,
        )
        trainer.optimizer.build(trainer.trainable_variables)
    return trainer


def _warn_of_parts(phase: Phase, paths: Sequence[str]) -> None:
    """Warns of parts of paths that a user has mistyped, or meant for another model.

    Ours are for all forms of an architecture, of which some lack layers; to a model that has none
    of them they do not belong. Which parameters decay is often said by kind, for any model.
    """
    spec = phase.optimizer
    for field, parts, usual in (
        ("rate_factors", spec.rate_factors, OUR_PARTS),
        ("decay_exclude", spec.decay_exclude, ("bias", "gamma", "beta", "alpha")),
    ):
        missing = [part for part in parts if not any(part in path for path in paths)]
        none = field == "rate_factors" and len(missing) == len(parts)
        if told := [part for part in missing if none or part not in usual]:
            layers = sorted({path.split("/")[0] for path in paths})
            warnings.warn(
                f"Phase {phase.name!r}: `{field}` names {told}, which no variable's path of the "
                f"model contains, so that this changes nothing. Paths are like {paths[0]!r}, of "
                f"the layers {', '.join(layers)}.",
                stacklevel=3,
            )


def phase_callbacks(phase: Phase) -> list[Any]:
    """Makes the phase's own callbacks: those it lists, the plateau rule and early stopping.

    Raises:
        ValueError: If a listed name is no class of `tfalign.callbacks`.
    """
    made = []
    for spec in phase.callbacks:
        if spec.name not in callback_classes.__all__:
            raise ValueError(
                f"A phase's callbacks are named by one of {sorted(callback_classes.__all__)}. "
                f"Received: phase={phase.name!r}, callback={spec.name!r}"
            )
        kind = getattr(callback_classes, spec.name)
        made.append(_made(lambda _, kind=kind, **a: kind(**a), spec.name, spec.arguments, phase))
    rate = phase.learning_rate
    if rate.kind == "plateau":
        made.append(
            callback_classes.ReduceLROnPlateau(
                rate.monitor, rate.factor, rate.patience, rate.threshold, min_lr=rate.final
            )
        )
    if phase.patience is not None:
        made.append(callback_classes.EarlyStopping(patience=phase.patience))
    return made


def _made(make: Any, name: str, arguments: Any, phase: Phase) -> Any:
    """Makes a loss or callback of the phase, whose arguments may come from a user's file."""
    try:
        return make(name, **arguments)
    except TypeError as error:
        raise ValueError(
            f"Phase {phase.name!r} must give {name!r} arguments that it takes: {error}. "
            f"Received: {dict(arguments)}"
        ) from error


def watches_validation(callback: Any) -> bool:
    """Returns whether the callback reads validation numbers, and so must run after them."""
    return isinstance(callback, callback_classes.ReduceLROnPlateau | callback_classes.EarlyStopping)
