"""Lowers the learning rate when a watched number stops improving, by PyTorch's rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


class ReduceLROnPlateau(keras.callbacks.Callback):
    """Multiplies the learning rate by a factor after too many epochs without improvement.

    `keras.callbacks.ReduceLROnPlateau` acts in the epoch in which the count of bad epochs reaches
    ``patience`` and asks for an absolute improvement; PyTorch's scheduler, which the papers used,
    acts when the count exceeds ``patience`` and asks for a relative one. This is PyTorch's. Its
    state is part of a training checkpoint (`get_state`, `set_state`), and unlike Keras's it does
    not forget when ``fit`` is called again.

    Args:
        monitor: What is watched; lower is better.
        factor: In (0, 1).
        patience: Bad epochs that are let pass, >= 0.
        threshold: An epoch is good if its value is below ``best * (1 - threshold)``.
        cooldown: Epochs after a reduction in which bad epochs do not count.
        min_lr: Lower bound of the rate.

    Raises:
        ValueError: If an argument is outside its range.

    Reference:
        ``torch.optim.lr_scheduler.ReduceLROnPlateau``, mode "min", threshold mode "rel"; used in
        Su et al., CVPRW 2019, section 4.3, with patience 200 and factor 0.75.
    """

    def __init__(
        self,
        monitor: str = "val_nme",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0.0 < factor < 1.0:
            raise ValueError(f"`factor` must be inside (0, 1). Received: factor={factor}")
        if patience < 0 or cooldown < 0:
            raise ValueError(
                "`patience` and `cooldown` must be >= 0. "
                f"Received: patience={patience}, cooldown={cooldown}"
            )
        self.monitor, self.factor, self.patience = monitor, factor, patience
        self.threshold, self.cooldown, self.min_lr = threshold, cooldown, min_lr
        self.best = float("inf")
        self.bad_epochs = 0
        self.cooling = 0

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
        if value < self.best * (1.0 - self.threshold):
            self.best, self.bad_epochs = value, 0
        else:
            self.bad_epochs += 1
        if self.cooling > 0:
            self.cooling -= 1
            self.bad_epochs = 0
        if self.bad_epochs > self.patience:
            optimizer = self.model.optimizer
            rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
            optimizer.learning_rate = max(rate * self.factor, self.min_lr)
            self.cooling, self.bad_epochs = self.cooldown, 0

    def get_state(self) -> dict[str, Any]:
        """Returns what a checkpoint must hold; the rate itself is an optimizer variable."""
        return {"best": self.best, "bad_epochs": self.bad_epochs, "cooling": self.cooling}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues from what `get_state` returned."""
        self.best = float(state["best"])
        self.bad_epochs, self.cooling = int(state["bad_epochs"]), int(state["cooling"])
