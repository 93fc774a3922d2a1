"""Training of DSSD and R-DSSD: the published schedules, and ours for small budgets.

=====================  =================================  ====================================
what                   published (IV-B, Algorithms 1, 2)  ours, `cpu_budget`
=====================  =================================  ====================================
initial shape          k-means, then a predictor          the same
start of P and C       SVR and SVD                        the same, once the predictor is trained
H and Q                back-propagation                   the same
  loss                 ½ ‖S^t − S*‖², all stages          mean distance of a point, all stages
  optimizer            SGD, momentum 0.9                  AdamW
  learning rate        0.01                               cosine from 0.002
  weight decay         1e-4                               1e-4
P, then C              accelerated proximal gradient      the same
  penalties            cross-validated, not printed       see `DetectorPenalties`
  their loss           Q in Equation 6, not in 8, 9, 11   with Q; `anchor` adds the other
  alternation          15 iterations                      every second epoch, from the fifth on
coarse stages          with the refinement                by themselves first, then with it
=====================  =================================  ====================================

Three ways to learn a cascade (Table VI): recurrent learning has one set of parameters for all
refinement stages and trains all stages together (`cpu_budget`); joint learning does so with
parameters of their own for each (`cpu_budget` of ``RDSSD(shared=False)``); `sequential` trains each
such stage by itself, one after another.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tfalign.training.phase import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule
from tfalign.training.schedules.budget import Budget, scaled
from tfalign.training.schedules.detector_penalties import DetectorPenalties, proximal_update

SOURCE = (
    "Liu, Lu, Feng, Zhou, 'Learning Deep Sharable and Structural Detectors for Face Alignment', "
    "IEEE TIP 2017, sections III and IV-B, Algorithms 1 and 2"
)
ITERATIONS = 15
# The paper does not say how long H and Q train between two updates of P and C.
EPOCHS_PER_ITERATION = 10
STEPS = 3_000
RATE = 2e-3
INITIAL_SHARE = 0.3
COARSE_SHARE = 0.25
# Ours, for Adam, which moves every weight by about the rate: these layers sum many inputs into
# hundredths of the image.
RATE_FACTORS = {"structure_2": 0.1, "coarse_": 0.02, "regression": 0.2}
_DISTANCE = {"squared": False, "point_reduction": "mean"}


def published(
    stages: int,
    detectors: tuple[str, ...] = ("detectors",),
    penalties: DetectorPenalties | None = None,
) -> Schedule:
    """Returns the paper's schedule: Algorithm 1 for two shapes, Algorithm 2 for a cascade.

    Args:
        stages: Shapes of the model, the initial one included.
        detectors: Names of its layers of sharable detectors; none for a model without.
        penalties: β, γ, μ; None takes ours, the paper prints none.

    Reading:
        The paper's initial shape comes from other work ("robust shape initialization"); its
        training is a phase of its own here. One of the 15 iterations is `EPOCHS_PER_ITERATION`
        epochs of back-propagation and one update of P and C.
    """
    penalties = penalties or published_penalties()
    optimizer = OptimizerSpec(kind="sgd", momentum=0.9, weight_decay=1e-4)
    loss = LossTerm("l2", weight=0.5)
    whole = Phase(
        name="alternation",
        losses={"stages": loss, **_anchor(detectors, penalties, loss)},
        learning_rate=LearningRateSpec(0.01),
        optimizer=optimizer,
        epochs=ITERATIONS * EPOCHS_PER_ITERATION,
        start="start_detectors",
        callbacks=proximal_update(detectors, penalties),
    )
    first = {"stage_weights": _only(0, stages)}
    initial = dataclasses.replace(
        whole,
        name="initial",
        losses={"stages": LossTerm("l2", weight=0.5, arguments=first)},
        epochs=ITERATIONS * EPOCHS_PER_ITERATION,
        train=("initial",),
        start="start_shapes",
        callbacks=(),
    )
    return Schedule("dssd_published", (initial, whole), SOURCE)


def published_penalties(epochs: int = ITERATIONS * EPOCHS_PER_ITERATION) -> DetectorPenalties:
    """Returns β, γ, μ with the updates of the published schedule.

    Args:
        epochs: Length of the alternation. The updates stay about 15; in fewer epochs there is one
            for each, but for the first.
    """
    every = max(1, round(epochs / ITERATIONS))
    return DetectorPenalties(
        every=every, steps=50, batches=32, delay=int(every == 1 and epochs > 1)
    )


def cpu_budget(
    stages: int,
    detectors: tuple[str, ...] = ("detectors",),
    steps: int = STEPS,
    rate: float = RATE,
    penalties: DetectorPenalties | None = None,
    initial_share: float = INITIAL_SHARE,
    coarse: int = 0,
) -> Schedule:
    """Returns our schedule for a number of steps: joint or recurrent learning, as the model is.

    Coarse stages train by themselves before P and C start, from the shapes that those will see.

    Args:
        stages: Shapes of the model, the initial one included.
        detectors: Names of its layers of sharable detectors; none for a model without.
        steps: Optimizer steps of all phases.
        rate: Peak learning rate.
        penalties: β, γ, μ and how P and C are updated; None takes ours. Where stages share
            detectors, β, γ and μ count as often as there are such stages, as their losses do.
        initial_share: Share of the steps that trains the initial shape; 0 leaves that phase out,
            for a model that brings one.
        coarse: Coarse stages of the model; `COARSE_SHARE` of the steps left trains them alone.

    Raises:
        ValueError: If ``initial_share`` is not in [0, 1).
    """
    penalties = (penalties or DetectorPenalties()).times(
        (stages - 1 - coarse) / max(1, len(detectors))
    )
    first = round(steps * _share(initial_share))
    second = round((steps - first) * COARSE_SHARE) if coarse else 0
    phases = _initial(stages, first, rate)
    if second:
        weights = [float(1 <= stage <= coarse) for stage in range(stages)]
        phases += (_phase("coarse", ("coarse",), weights, second, rate, (), penalties),)
    weights = [0.0] + [1.0] * (stages - 1)
    rest = steps - first - second
    phases += (
        _phase(
            "refinement", ("coarse", "refinement"), weights, rest, rate, detectors, penalties,
            "start_detectors",
        ),
    )  # fmt: skip
    return Schedule("dssd_cpu_budget", phases, "ours, for CPU budgets; alternation as published")


def initial_shape(stages: int, steps: int, rate: float = RATE) -> Schedule:
    """Returns the training of the initial shape alone.

    Args:
        stages: Shapes of the model, the initial one included.
        steps: Optimizer steps.
        rate: Peak learning rate.
    """
    return Schedule("dssd_initial_shape", _initial(stages, steps, rate), "ours, for CPU budgets")


def sequential(
    coarse: int,
    refinements: int,
    detectors: tuple[str, ...],
    steps: int = STEPS,
    rate: float = RATE,
    penalties: DetectorPenalties | None = None,
    initial_share: float = INITIAL_SHARE,
) -> Schedule:
    """Returns sequential learning: each stage by itself, the earlier ones frozen.

    Args:
        coarse: Coarse stages of the model.
        refinements: Refinement stages; none shares parameters with another.
        detectors: Name of each one's layer of sharable detectors, in order; none for a model
            without.
        steps, rate, penalties, initial_share: See `cpu_budget`; the steps after the initial shape
            are divided evenly.
    """
    penalties = penalties or DetectorPenalties()
    stages = 1 + coarse + refinements
    first = round(steps * _share(initial_share))
    each = max(1, (steps - first) // (stages - 1))
    phases = _initial(stages, first, rate)
    for stage in range(1, stages):
        t = stage - coarse
        group = f"coarse_{stage}" if t < 1 else f"refinement_{t}"
        own = detectors[t - 1 : t] if t >= 1 else ()
        phases += (
            _phase(
                group, (group,), _only(stage, stages), each, rate, own, penalties,
                "start_detectors" if t >= 1 else None,
            ),
        )  # fmt: skip
    return Schedule("dssd_sequential", phases, "ours, for CPU budgets; Table VI")


def _share(share: float) -> float:
    if not 0.0 <= share < 1.0:
        raise ValueError(f"`initial_share` must be in [0, 1). Received: initial_share={share}")
    return share


def _initial(stages: int, steps: int, rate: float) -> tuple[Phase, ...]:
    if not steps:
        return ()
    weights, penalties = _only(0, stages), DetectorPenalties()
    return (_phase("initial", ("initial",), weights, steps, rate, (), penalties, "start_shapes"),)


def _phase(
    name: str,
    train: tuple[str, ...],
    weights: list[float],
    steps: int,
    rate: float,
    detectors: tuple[str, ...],
    penalties: DetectorPenalties,
    start: str | None = None,
) -> Phase:
    distance = LossTerm("l2", arguments=_DISTANCE)
    stages = LossTerm("l2", arguments={**_DISTANCE, "stage_weights": weights})
    return Phase(
        name=name,
        losses={"stages": stages, **_anchor(detectors, penalties, distance)},
        learning_rate=LearningRateSpec(rate, kind="cosine", warmup=0.02, final=rate / 100),
        optimizer=OptimizerSpec(
            kind="adamw",
            weight_decay=1e-4,
            decay_exclude=("bias", "gamma", "beta"),
            clip_norm=1.0,
            rate_factors=RATE_FACTORS,
        ),
        steps=steps,
        train=train,
        start=start,
        callbacks=proximal_update(detectors, penalties),
    )


def _anchor(
    detectors: tuple[str, ...], penalties: DetectorPenalties, loss: LossTerm
) -> dict[str, Any]:
    """Returns the loss of the shapes that the detectors' responses alone would give."""
    if not (detectors and penalties.anchor):
        return {}
    return {"detected": dataclasses.replace(loss, weight=loss.weight * penalties.anchor)}


def _only(stage: int, stages: int) -> list[float]:
    return [float(index == stage) for index in range(stages)]


def coarse_of(model: Any) -> int:
    """Returns the number of a model's coarse stages."""
    return sum(name.startswith("coarse_") for name in model.groups)


def detectors_of(model: Any) -> tuple[str, ...]:
    """Returns the names of a model's layers of sharable detectors."""
    return tuple(layer.name for layer in model.detectors)


def published_for(model: Any, budget: Budget) -> Schedule:
    """Returns the published schedule for a model; a budget divides its steps between the phases."""
    of_budget = () if budget.steps is None else (max(1, budget.epochs // 2),)
    penalties = published_penalties(*of_budget)
    return scaled(published(model.num_stages, detectors_of(model), penalties), budget)


def cpu_budget_for(model: Any, budget: Budget) -> Schedule:
    """Returns our schedule for a model and a budget."""
    steps = STEPS if budget.steps is None else budget.steps
    # Of a short run, half of the epochs are left for updates.
    epochs = round(steps * (1.0 - INITIAL_SHARE)) // budget.steps_per_epoch
    penalties = DetectorPenalties()
    penalties = dataclasses.replace(penalties, delay=min(penalties.delay, epochs // 2))
    return cpu_budget(
        model.num_stages,
        detectors_of(model),
        steps=steps,
        rate=RATE if budget.rate is None else budget.rate,
        penalties=penalties,
        coarse=coarse_of(model),
    )
