"""Ends training when a watched number stops improving, across interruptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


class EarlyStopping(keras.callbacks.Callback):
    """Stops training after more than ``patience`` epochs without a new best value.

    Counts as `ReduceLROnPlateau` of this package does, and like it keeps its count in checkpoints,
    which `keras.callbacks.EarlyStopping` cannot.

    Args:
        monitor: What is watched; lower is better.
        patience: Epochs without a new best value that are let pass, >= 0.

    Raises:
        ValueError: If ``patience`` is negative.
    """

    def __init__(self, monitor: str = "val_nme", patience: int = 10) -> None:
        super().__init__()
        if patience < 0:
            raise ValueError(f"`patience` must be >= 0. Received: patience={patience}")
        self.monitor, self.patience = monitor, patience
        self.best = float("inf")
        self.bad_epochs = 0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Judges the epoch.

        Raises:
            ValueError: If the watched number is not logged.
        """
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"`monitor` must be one of the logged numbers {sorted(logs or {})}. "
                f"Received: monitor={self.monitor!r}"
            )
        value = float((logs or {})[self.monitor])
        self.bad_epochs = 0 if value < self.best else self.bad_epochs + 1
        self.best = min(self.best, value)
        if self.bad_epochs > self.patience:
            self.model.stop_training = True

    def get_state(self) -> dict[str, Any]:
        """Returns what a checkpoint must hold."""
        return {"best": self.best, "bad_epochs": self.bad_epochs}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from what `get_state` returned."""
        self.best, self.bad_epochs = float(state["best"]), int(state["bad_epochs"])
