"""The schedule of architectures that bring none: the whole model, on the error of every stage."""

from __future__ import annotations

from typing import Any

from tfalign.training.phase import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule
from tfalign.training.schedules.budget import Budget

STEPS = 20_000
RATE = 2e-3


def cpu_budget_for(model: Any, budget: Budget) -> Schedule:
    """Returns one phase of AdamW on the mean distance of a point, in units of the crop.

    Args:
        model: Any `LandmarkModel`; it has the output ``"stages"``.
        budget: Length and rate; by default 20,000 steps, from a rate of 0.002 down to a hundredth.
    """
    del model
    rate = RATE if budget.rate is None else budget.rate
    phase = Phase(
        name="joint",
        losses={"stages": LossTerm("l2", arguments={"squared": False, "point_reduction": "mean"})},
        learning_rate=LearningRateSpec(rate, kind="cosine", warmup=0.02, final=rate / 100),
        optimizer=OptimizerSpec(
            kind="adamw",
            weight_decay=1e-4,
            decay_exclude=("bias", "gamma", "beta"),
            clip_norm=1.0,
        ),
        steps=STEPS if budget.steps is None else budget.steps,
    )
    return Schedule("general_cpu_budget", (phase,), "ours, for any landmark model")
