"""What happens when an epoch ends: measure, then record and save."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign.files import write_whole
from tfalign.training.checkpoint import (
    assign_variables,
    read_variables,
    save_checkpoint,
    variables_of,
)
from tfalign.training.validation import Predict, Validation


@dataclass
class Progress:
    """How far a run is; all of it is in every checkpoint.

    Attributes:
        phase: Index of the phase.
        epoch: Epochs of it that are done.
        stopped: Whether the phase was ended early.
        rows: One row of numbers per epoch of the run.
        best_nme: Lowest ``val_nme`` so far.
        best_epoch: Epoch of the run, counted from 0, that reached it; -1 before any.
        seconds: Time spent in epochs that count, interruptions left out.
    """

    phase: int = 0
    epoch: int = 0
    stopped: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    best_nme: float = math.inf
    best_epoch: int = -1
    seconds: float = 0.0


class Measure(keras.callbacks.Callback):
    """Adds validation numbers to the epoch's logs and keeps the best weights.

    Where the optimizer averages weights, the averaged ones are measured and kept, and training
    goes on from the raw ones.

    Args:
        holder: The landmark model, whose variables are kept.
        validation: Held-out faces, or None.
        predict: Function from images to stages.
        progress: The run's progress; its best value is updated.
        first_epoch: Epoch of the run that the phase begins with.
        best: File of the best weights, or None in a process that does not write.
    """

    def __init__(
        self,
        holder: Any,
        validation: Validation | None,
        predict: Predict,
        progress: Progress,
        first_epoch: int,
        best: Path | None,
    ) -> None:
        super().__init__()
        self.holder, self.validation, self.predict = holder, validation, predict
        self.progress, self.first_epoch, self.best = progress, first_epoch, best

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures.

        Raises:
            FloatingPointError: If the epoch's loss is not finite, or a weight after its last step,
                whose loss nobody computes; no checkpoint then holds it.
        """
        logs = {} if logs is None else logs
        if not math.isfinite(float(logs["loss"])):
            raise FloatingPointError(
                "The loss is not finite: lower the learning rate, or clip gradients with "
                f"`clip_norm`. Received: epoch={self.first_epoch + epoch}, loss={logs['loss']}"
            )
        for variable in variables_of(self.holder.training_model):
            if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
                raise FloatingPointError(
                    "The weights are not finite: lower the learning rate, or clip gradients with "
                    f"`clip_norm`. Received: epoch={self.first_epoch + epoch}, {variable.path}"
                )
        optimizer = self.model.optimizer
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        if self.validation is None:
            return
        trained = self.model.trainable_variables
        raw = read_variables("raw", trained) if averages_weights(optimizer) else {}
        if raw:
            optimizer.finalize_variable_values(trained)
        logs.update(self.validation.measure(self.predict))
        if logs["val_nme"] < self.progress.best_nme:
            self.progress.best_nme = logs["val_nme"]
            self.progress.best_epoch = self.first_epoch + epoch
            if self.best is not None:
                kept = read_variables("model", variables_of(self.holder.training_model))
                save_checkpoint(self.best, kept, {"epoch": self.progress.best_epoch})
        if raw:
            assign_variables("raw", trained, raw)


class Keep(keras.callbacks.Callback):
    """Records the epoch and saves the run, as the last thing in an epoch.

    Args:
        progress: The run's progress, updated here.
        phase_name: Name of the phase.
        first_epoch: Epoch of the run that the phase begins with.
        every: Epochs between checkpoints; the phase's last epoch always has one.
        length: Epochs of the phase.
        save: Writes a checkpoint.
        csv: File of the history, or None in a process that does not write.
    """

    def __init__(
        self,
        progress: Progress,
        phase_name: str,
        first_epoch: int,
        every: int,
        length: int,
        save: Callable[[], None],
        csv: Path | None,
    ) -> None:
        super().__init__()
        self.progress, self.phase_name, self.first_epoch = progress, phase_name, first_epoch
        self.every, self.length, self.save, self.csv = every, length, save, csv
        self._began = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the clock."""
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Records and saves."""
        progress = self.progress
        seconds = time.monotonic() - self._began
        progress.seconds += seconds
        progress.epoch = epoch + 1
        progress.stopped = bool(self.model.stop_training)
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        row = {"epoch": self.first_epoch + epoch, "phase": self.phase_name, **numbers}
        progress.rows.append({**row, "seconds": round(seconds, 3)})
        if self.csv is not None:
            write_csv(self.csv, progress.rows)
        if progress.stopped or progress.epoch == self.length or progress.epoch % self.every == 0:
            self.save()


class PhaseBar(keras.callbacks.ProgbarLogger):
    """Keras's progress bar, under a line that names the phase and the epoch of the whole run.

    Args:
        phase_name: Name of the phase.
        first_epoch: Epoch of the run that the phase begins with.
        epochs: Epochs of the run.
    """

    def __init__(self, phase_name: str, first_epoch: int, epochs: int) -> None:
        super().__init__()
        self.phase_name, self.first_epoch, self.run_epochs = phase_name, first_epoch, epochs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begins the bar of an epoch."""
        self.epochs = 1  # Keras then prints no line of its own.
        super().on_epoch_begin(epoch, logs)
        run_epoch = self.first_epoch + epoch + 1
        print(f"Epoch {run_epoch}/{self.run_epochs}, {self.phase_name}", flush=True)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes all rows; a column that some rows lack is empty there.

    The whole file is replaced at each call: after a kill no row is there twice or cut short.

    Args:
        path: The file.
        rows: One mapping per epoch.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue(), durable=True)


def averages_weights(optimizer: Any) -> bool:
    """Returns whether the optimizer, or the one it wraps, averages weights."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return bool(inner.use_ema)


def callback_states(
    callbacks: list[Any],
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Returns the callbacks' states, arrays apart from plain data."""
    plain: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for place, callback in enumerate(callbacks):
        state = callback.get_state() if hasattr(callback, "get_state") else {}
        plain.append({k: v for k, v in state.items() if not isinstance(v, np.ndarray)})
        for key, value in state.items():
            if isinstance(value, np.ndarray):
                arrays[f"callback/{place}/{key}"] = value
    return plain, arrays


def restore_callbacks(
    callbacks: list[Any], plain: list[dict[str, Any]], arrays: dict[str, np.ndarray]
) -> None:
    """Gives the callbacks what `callback_states` returned for them."""
    for place, (callback, state) in enumerate(zip(callbacks, plain, strict=True)):
        prefix = f"callback/{place}/"
        mine = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        if hasattr(callback, "set_state"):
            callback.set_state({**state, **mine})
