"""How long a user wants a schedule to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """A user's wishes for a schedule.

    Attributes:
        steps: Optimizer steps of all phases together, or None for the schedule's own length.
        steps_per_epoch: Batches in an epoch.
        rate: Learning rate of the first phase, or None for the schedule's own.
        dropout: Rate of dropout where the schedule uses it, or None for the schedule's own.

    Raises:
        ValueError: If a length is not positive.
    """

    steps: int | None
    steps_per_epoch: int
    rate: float | None = None
    dropout: float | None = None

    def __post_init__(self) -> None:
        if self.steps_per_epoch < 1 or (self.steps is not None and self.steps < 1):
            raise ValueError(
                "A budget's lengths must be positive. "
                f"Received: steps={self.steps}, steps_per_epoch={self.steps_per_epoch}"
            )

    @property
    def epochs(self) -> int:
        """The budget in whole epochs, rounded up; 0 where ``steps`` is None."""
        return -(-(self.steps or 0) // self.steps_per_epoch)
