"""DeepReg's training: the published schedule, and the same with a start in closed form.

=====================  ============================  ==========================================
what                   published (3.2)               ours, `closed_form`
=====================  ============================  ==========================================
sequential learning    SGD with dropout, stage       the solution that this SGD approaches
                       after stage                   (``DeepReg.solve_sequential``)
                       (``descend_sequential``)
joint learning         SGD with dropout, all stages  the same
  loss                 ½ ‖s^T − s*‖²                 the same
  optimizer            SGD, momentum 0.9             the same
  learning rate        0.01, lowered by hand when    0.003, halved when the error of the
                       validation stops improving    validation faces stops improving
    of kernels         a quarter of it, see below    the same as of biases
  batch                100                           ``--batch-size``
  mirroring            every face both ways          at random
  end                  validation stops improving    the same, or the budget
  dropout              0.5                           0.5
=====================  ============================  ==========================================

The paper's dropout leaves features out and halves the weights afterwards; Keras's doubles the
features that it keeps, so that its weights are half of the paper's. A step of the paper's rate on
the paper's weights is a step of 0.5² of that rate on Keras's; biases have no such factor.

Other options for it are ``--model deepreg --image-size 128``; the schedule "cpu" is `closed_form`.
``tfalign paper deepreg`` compares the variants.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tfalign.training.phase import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule
from tfalign.training.schedules.budget import Budget, scaled

SOURCE = "'Deep Regression for Face Alignment', arXiv 1409.5230, 2014, sections 3.1, 3.2 and 3.2.2"
DROPOUT = 0.5
# The paper gives no lengths: phases end when validation stops improving, at the latest here.
LONGEST = 200
JOINT_EPOCHS = 60
# 0.01 is at the edge of stability: from the closed form it diverged with batches of 25.
RATE = 0.003
# Epochs without progress on the validation faces before the rate is halved; by hand in the paper.
PATIENCE = 4


def published(local_layers: int = 5) -> Schedule:
    """Returns the paper's schedule: sequential pre-training by SGD with dropout, then joint.

    The first phase is its start alone: as what it learns from stays as it is, it needs no images
    once their features are computed (``DeepReg.descend_sequential``, which has its numbers).

    Args:
        local_layers: T.
    """
    optimizer = OptimizerSpec(
        kind="sgd", momentum=0.9, rate_factors={"kernel": (1.0 - DROPOUT) ** 2}
    )
    last = dataclasses.replace(joint(local_layers, LONGEST, rate=0.01), optimizer=optimizer)
    phases = (_start(local_layers, "descend_sequential"), last)
    return Schedule("deepreg_published", phases, SOURCE)


def sequential(local_layers: int = 5) -> Schedule:
    """Returns sequential learning alone, in closed form: SequentialReg.

    Args:
        local_layers: T.
    """
    return Schedule("deepreg_sequential", (_start(local_layers, "solve_sequential"),), _ours())


def closed_form(
    local_layers: int = 5,
    epochs: int = JOINT_EPOCHS,
    rate: float = RATE,
    patience: int = PATIENCE,
) -> Schedule:
    """Returns sequential learning in closed form, followed by joint learning.

    Args:
        local_layers: T.
        epochs: Of joint learning.
        rate: First learning rate of joint learning.
        patience: Epochs without progress before the rate is halved.
    """
    phases = (_start(local_layers, "solve_sequential"), joint(local_layers, epochs, rate, patience))
    return Schedule("deepreg_closed_form", phases, _ours())


def joint(local_layers: int, epochs: int, rate: float = 0.01, patience: int = PATIENCE) -> Phase:
    """Returns joint learning: all regressions, on the last stage's error."""
    return Phase(
        name="joint",
        losses={"stages": _half_square(local_layers, local_layers)},
        learning_rate=_plateau(rate, patience),
        optimizer=OptimizerSpec(kind="sgd", momentum=0.9),
        epochs=epochs,
        switches={"dropout": DROPOUT},
        patience=20,
    )


def _start(local_layers: int, method: str) -> Phase:
    # 0 epochs: the phase is its start.
    return dataclasses.replace(
        joint(local_layers, epochs=0), name="sequential", start=method, patience=None
    )


def _half_square(local_layers: int, stage: int) -> LossTerm:
    weights = [float(index == stage) for index in range(local_layers + 1)]
    return LossTerm("l2", weight=0.5, arguments={"stage_weights": weights})


def _plateau(base: float, patience: int = PATIENCE) -> LearningRateSpec:
    return LearningRateSpec(base, kind="plateau", patience=patience, factor=0.5, final=base / 100)


def _ours() -> str:
    return f"ours, after {SOURCE}"


def published_for(model: Any, budget: Budget) -> Schedule:
    """Returns the published schedule for a model; a budget is the length of joint learning."""
    return scaled(published(model.local_layers), budget)


def sequential_for(model: Any, budget: Budget) -> Schedule:
    """Returns sequential learning in closed form for a model; it has no steps to budget."""
    del budget
    return sequential(model.local_layers)


def closed_form_for(model: Any, budget: Budget) -> Schedule:
    """Returns closed form and joint learning for a model and a budget."""
    return closed_form(
        model.local_layers,
        epochs=JOINT_EPOCHS if budget.steps is None else budget.epochs,
        rate=RATE if budget.rate is None else budget.rate,
    )
