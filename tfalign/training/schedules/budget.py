"""How long a user wants a schedule to be."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tfalign.training.phase import Schedule


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


def scaled(schedule: Schedule, budget: Budget, rate: float | None = None) -> Schedule:
    """Returns a schedule shortened or lengthened to a budget, all phases alike.

    With the lengths the patience of plateaus is scaled; with the first learning rate all others.

    Args:
        schedule: A schedule whose phases are all given in epochs, or all in steps.
        budget: The wishes; without any the schedule is returned as it is.
        rate: The learning rate that ``budget.rate`` replaces; None is the first phase's.
    """
    if budget.steps is None and budget.rate is None:
        return schedule
    in_epochs = schedule.phases[0].epochs is not None
    lengths = [(p.epochs if in_epochs else p.steps) or 0 for p in schedule.phases]
    wanted = budget.epochs if in_epochs else budget.steps
    longer = 1.0 if budget.steps is None else (wanted or 0) / sum(lengths)
    usual = schedule.phases[0].learning_rate.base if rate is None else rate
    first = usual if budget.rate is None else budget.rate
    phases = []
    for phase, length in zip(schedule.phases, lengths, strict=True):
        old = phase.learning_rate
        changed = dataclasses.replace(
            old,
            base=first * (old.base / usual),
            final=first * (old.final / usual),
            patience=max(1, round(old.patience * longer)),
        )
        # A phase of no length is its start, whatever the budget.
        scaled = max(1, round(length * longer)) if length else 0
        phases.append(
            dataclasses.replace(
                phase,
                learning_rate=changed,
                epochs=scaled if in_epochs else phase.epochs,
                steps=phase.steps if in_epochs else scaled,
            )
        )
    return Schedule(f"{schedule.name}_scaled", tuple(phases), f"{schedule.source}; scaled")
