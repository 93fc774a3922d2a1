"""GRegLRef's training: the published schedule, and one that two CPU cores can finish.

=====================  ======================  =================================================
what                   published (4.3)         ours, `cpu_budget`
=====================  ======================  =================================================
phase 1                all parameters          GRegNet only
  loss                 l2 on S0 and each dS    distance on S0 in units of the crop
  optimizer            SGD, momentum 0.9       AdamW
  weight decay         5e-4                    1e-4
  learning rate        0.01                    cosine from 0.002, 2 % warm-up
  lowered by           plateau, 200 / 0.75     (cosine)
  length               up to 3,000 epochs      by default 20,000 steps
phase 2                LRefNets only           LRefNets only
  learning rate        0.001                   cosine from 0.001
  dropout in GRegNet   yes, rate not given     yes
  length               1,500 epochs            by default a fifth of the steps
=====================  ======================  =================================================
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tfalign.training.phase import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule
from tfalign.training.schedules.budget import Budget, scaled

SOURCE = (
    "Su, Wang, Liao, Ling, 'Efficient and Accurate Face Alignment by Global Regression and "
    "Cascaded Local Refinement', CVPRW 2019, section 4.3 and Algorithm 1"
)
# The paper does not give the rate. 0.2 is ours.
DROPOUT = 0.2
# Ours, for Adam, which moves every weight by about the rate: S0's dense layer sums hundreds of
# inputs into hundredths of the image, an increment's into thousandths. At the trunk's rate their
# noise hides what refinement could gain.
RATE_FACTORS = {"fc/": 0.05, "local_": 0.05, "increment_": 0.01}
# With the trunk frozen the target no longer moves and the refinement bears, and needs, far more.
FINE_RATE_FACTORS = {"local_": 1.0, "increment_": 0.1}


def published(refinements: int = 2, dropout: float = DROPOUT) -> Schedule:
    """Returns the paper's schedule.

    Args:
        refinements: T, the number of LRefNets; 0 (GRegNet alone) has phase 1 only.
        dropout: Rate inside GRegNet in phase 2, which the paper uses on 300-W; 0 for none.

    Returns:
        The schedule; its second phase has no loss on S0 (Equation 8).

    Reading: the second phase lowers its rate by the same plateau rule as the first; the paper
    names the rule before it speaks of phases.
    """
    optimizer = OptimizerSpec(kind="sgd", momentum=0.9, weight_decay=5e-4)

    def plateau(base: float) -> LearningRateSpec:
        return LearningRateSpec(base, kind="plateau", patience=200, factor=0.75)

    joint = Phase(
        name="joint",
        losses={"stages": LossTerm("l2")},
        learning_rate=plateau(0.01),
        optimizer=optimizer,
        epochs=3000,
        train=("all",),
        switches={"dropout": 0.0},
    )
    if refinements == 0:
        return Schedule("greglref_published", (joint,), SOURCE)
    fine = Phase(
        name="refinement",
        losses={"stages": LossTerm("l2", arguments={"stage_weights": _after_first(refinements)})},
        learning_rate=plateau(0.001),
        optimizer=optimizer,
        epochs=1500,
        train=("refinement",),
        switches={"dropout": dropout},
    )
    return Schedule("greglref_published", (joint, fine), SOURCE)


def cpu_budget(
    refinements: int = 2,
    steps: int = 20_000,
    dropout: float = DROPOUT,
    rate: float = 2e-3,
    fine_share: float = 0.2,
) -> Schedule:
    """Returns our schedule for a given number of steps.

    Args:
        refinements: T; 0 has phase 1 only.
        steps: Optimizer steps of the whole schedule.
        dropout: Rate inside GRegNet in phase 2.
        rate: Peak learning rate of both phases.
        fine_share: Share of the steps that phase 2 takes; with 0 phase 1 trains all stages.

    Returns:
        The schedule.

    Raises:
        ValueError: If ``fine_share`` is not inside [0, 1).
    """
    if not 0.0 <= fine_share < 1.0:
        raise ValueError(f"`fine_share` must be in [0, 1). Received: fine_share={fine_share}")
    fine_steps = round(steps * fine_share) if refinements else 0
    # The mean distance in units of the crop. Divided by the eye distance, as evaluation has it, a
    # few profile faces with eyes close together would outweigh all others.
    distance = {"squared": False, "point_reduction": "mean"}
    optimizer = OptimizerSpec(
        kind="adamw",
        weight_decay=1e-4,
        decay_exclude=("bias", "gamma", "beta"),
        clip_norm=1.0,
        rate_factors=RATE_FACTORS,
    )

    # Beside a trunk that moves this far, refinement learns nothing that lasts; without it a step is
    # a seventh shorter.
    alone = fine_steps > 0
    first = Phase(
        name="global" if alone else "joint",
        losses={"global" if alone else "stages": LossTerm("l2", arguments=distance)},
        learning_rate=LearningRateSpec(rate, kind="cosine", warmup=0.02, final=rate / 100),
        optimizer=optimizer,
        steps=steps - fine_steps,
        train=("global",) if alone else ("all",),
        switches={"dropout": 0.0},
    )
    source = "ours, for CPU budgets; targets as published"
    if not alone:
        return Schedule("greglref_cpu_budget", (first,), source)
    fine = Phase(
        name="refinement",
        losses={
            "stages": LossTerm(
                "l2", arguments={**distance, "stage_weights": _after_first(refinements)}
            )
        },
        learning_rate=LearningRateSpec(rate, kind="cosine", warmup=0.02, final=rate / 100),
        optimizer=dataclasses.replace(optimizer, rate_factors=FINE_RATE_FACTORS),
        steps=fine_steps,
        train=("refinement",),
        switches={"dropout": dropout},
    )
    return Schedule("greglref_cpu_budget", (first, fine), source)


def _after_first(refinements: int) -> list[float]:
    return [0.0] + [1.0] * refinements


def _dropout(model: Any) -> float:
    """Returns our rate for a model that was made with dropout, and none for one without."""
    return DROPOUT if model.dropout else 0.0


def published_for(model: Any, budget: Budget) -> Schedule:
    """Returns the published schedule for a model, shortened or lengthened to a budget.

    A budget of steps scales the phases and the plateau's patience alike; a rate replaces 0.01 and
    the second phase keeps a tenth of it. Without either it is the paper's, whose second phase has
    dropout on 300-W alone, known by its markup; a budget's dropout replaces that rule.
    """
    on_300w = model.scheme is not None and model.scheme.name == "ibug68"
    usual = _dropout(model) if on_300w else 0.0
    dropout = usual if budget.dropout is None else budget.dropout
    return scaled(published(model.refinements, dropout), budget)


def cpu_budget_for(model: Any, budget: Budget) -> Schedule:
    """Returns our schedule for a model and a budget."""
    return cpu_budget(
        model.refinements,
        steps=20_000 if budget.steps is None else budget.steps,
        dropout=_dropout(model) if budget.dropout is None else budget.dropout,
        rate=2e-3 if budget.rate is None else budget.rate,
    )
