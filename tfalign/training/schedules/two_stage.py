"""TSR's training: the published four steps, and the same steps for a CPU.

=======================  ==============================  ========================================
what                     published (3.3)                 ours, `cpu_budget`
=======================  ==============================  ========================================
1 re-initialization      ‖θ − θ*‖²                       the same
2 global regression      ‖G − G*‖² / d                   mean distance of G to G*
3 local stage            ‖ΔL − ΔL*‖², θl supervised      mean distance of L to L*, θl not
4 end to end             the losses of 2 and 3, divided  mean distance of both shapes to S*
                         by d before the square
  optimizer              SGD, momentum 0.9               AdamW
  weight decay           2e-4                            1e-4
  learning rate          0.01 polynomial (step 4:        cosine from 0.002 (step 4: a fifth)
                         0.001; step 1: 1e-4 for the
                         first 1,000 iterations)
  length                 20,000 iterations each          by default 20,000 in all
  batch                  128                             the recipe's ``--batch-size``
  regressor's start      ImageNet                        random, with batch normalisation, whose
                                                         statistics for θg stay as they are in 4
=======================  ==============================  ========================================

A baseline is trained by one phase, the losses and rates those of step 2. The recipes' options are
``--model two_stage|two_stage_global|tsr_baseline1|tsr_baseline2 --crop tsr --augment tsr``.
Step 1 may be a run of its own (schedule "reinit"), on other faces or with wider jitter;
``--init-weights`` and the schedule "regression" then go on with steps 2 to 4.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfalign.models import DirectRegression
from tfalign.models.canonical_shape import in_patch
from tfalign.training.phase import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule
from tfalign.training.schedules.budget import Budget, scaled

SOURCE = (
    "Lv, Shao, Xing, Cheng, Zhou, 'A Deep Regression Architecture with Two-Stage Re-initialization "
    "for High Performance Facial Landmark Detection', CVPR 2017, section 3.3"
)
ITERATIONS = 20_000
WARM_UP = 1_000
STEPS = ("reinit", "global_regression", "local", "end_to_end")
# Ours: how a budget is divided among the steps.
SHARES = {"reinit": 0.25, "global_regression": 0.4, "local": 0.2, "end_to_end": 0.15}
# Ours, for Adam, which moves every weight by about the rate: too far for the wide layers that make
# coordinates. θg starts far from its goal, and moves the whole face: it is slowed less in the first
# step, and most when everything trains.
RATE_FACTORS = {"landmarks/": 0.05, "theta_": 0.05, "increment_": 0.05, "_full": 0.3}
REINIT_FACTORS = {"theta_": 0.2}
END_FACTORS = {**RATE_FACTORS, "view_": 0.1, "theta_": 0.005}


def published(model: Any, supervised: bool = True) -> Schedule:
    """Returns the paper's schedule.

    Args:
        model: The ``TwoStage``, whose canonical shape is known, or ``DirectRegression``.
        supervised: Whether θ is supervised (Equation 3). False is the unsupervised spatial
            transformer, whose convergence the paper doubts: without step 1, and step 2 trains the
            whole global stage.

    Reading: "iterations of 20k" is read as 20,000 for each step. The decay's power is not given; 1
    is ours. "All the transformation parameters loss layers are removed" in step 4, so local
    transforms have such losses in step 3; θl* is the least-squares similarity. The paper starts
    VGG-S from ImageNet's weights; here it starts from random ones, for none ship. Its dropout of
    0.5 is the network's own. In step 4 the transforms have no loss of their own, and the losses of
    steps 2 and 3 as they are printed fall in proportion when a transform zooms out; the errors are
    therefore divided by the eye distance in the same warped image before they are squared. Schemes
    without eye corners keep the losses on θ instead.
    """
    optimizer = OptimizerSpec(kind="sgd", momentum=0.9, weight_decay=2e-4)
    switches = {"dropout": 0.5} if model.groups["dropout"] else {}

    def decaying(base: float) -> LearningRateSpec:
        return LearningRateSpec(base, kind="polynomial")

    if isinstance(model, DirectRegression):
        face = _face(model, squared=True)
        phase = Phase(
            "regression", face, decaying(0.01), optimizer, steps=ITERATIONS, switches=switches
        )
        return Schedule("tsr_baseline_published", (phase,), SOURCE)
    theta, face, local = _theta(model), _face(model, True), _local(model, True)
    phases = [
        Phase(
            "reinit_warm_up", theta, LearningRateSpec(1e-4), optimizer,
            steps=WARM_UP, train=("reinit",),
        ),
        Phase(
            "reinit", theta, decaying(0.01), optimizer,
            steps=ITERATIONS - WARM_UP, train=("reinit",),
        ),
    ] if supervised else []  # fmt: skip
    trained = ("global_regression",) if supervised else ("reinit", "global_regression")
    phases.append(
        Phase(
            "global_regression",
            face,
            decaying(0.01),
            optimizer,
            steps=ITERATIONS,
            train=trained,
            start="start_global" if supervised else None,
            switches=switches,
        )
    )
    if local:
        both = {**local, **(_local_theta(model) if supervised else {})}
        phases.append(
            Phase(
                "local",
                both,
                decaying(0.01),
                optimizer,
                steps=ITERATIONS,
                train=("local",),
                start="start_local",
                switches=switches,
            )
        )
    phases.append(
        Phase(
            "end_to_end",
            _scale_free(model),
            decaying(0.001),
            optimizer,
            steps=ITERATIONS,
            switches=switches,
        )
    )
    name = "tsr_published" if supervised else "tsr_published_unsupervised"
    return Schedule(name, tuple(phases), SOURCE)


def cpu_budget(
    model: Any,
    steps: int = 20_000,
    rate: float = 2e-3,
    dropout: float = 0.2,
    only: tuple[str, ...] = STEPS,
) -> Schedule:
    """Returns our schedule for a given number of steps.

    Args:
        model: The ``TwoStage``, whose canonical shape is known, or ``DirectRegression``.
        steps: Optimizer steps of the whole schedule.
        rate: Peak learning rate; step 4 has a fifth of it.
        dropout: On VGG-S's hidden dense layers.
        only: Names in ``STEPS``, in order: which of the paper's steps to take.

    Raises:
        ValueError: If ``only`` names no step that the model has.
    """
    source = "ours, for CPU budgets; steps, targets and initialisations as published"
    optimizer = OptimizerSpec(
        kind="adamw",
        weight_decay=1e-4,
        decay_exclude=("bias", "gamma", "beta", "alpha"),
        clip_norm=1.0,
        rate_factors=RATE_FACTORS,
    )

    def cosine(base: float) -> LearningRateSpec:
        return LearningRateSpec(base, kind="cosine", warmup=0.03, final=base / 100)

    common: dict[str, Any] = {
        "learning_rate": cosine(rate),
        "optimizer": optimizer,
        "switches": {"dropout": dropout} if model.groups["dropout"] else {},
    }
    if isinstance(model, DirectRegression):
        phase = Phase("regression", _face(model, squared=False), steps=steps, **common)
        return Schedule("tsr_baseline_cpu_budget", (phase,), source)
    has_local = bool(model.parts)
    chosen = [name for name in STEPS if name in only and (name != "local" or has_local)]
    if not chosen or set(only) - set(STEPS):
        raise ValueError(f"`only` must name some of {STEPS}. Received: only={only}")
    whole = sum(SHARES[name] for name in chosen)
    lengths = {name: max(1, round(steps * SHARES[name] / whole)) for name in chosen}
    made = {
        "reinit": lambda: Phase(
            "reinit",
            _theta(model),
            steps=lengths["reinit"],
            train=("reinit",),
            **{**common, "optimizer": dataclasses.replace(optimizer, rate_factors=REINIT_FACTORS)},
        ),
        "global_regression": lambda: Phase(
            "global_regression",
            _face(model, False),
            steps=lengths["global_regression"],
            train=("global_regression",),
            start="start_global",
            **common,
        ),
        "local": lambda: Phase(
            "local",
            _local(model, False),
            steps=lengths["local"],
            train=("local",),
            start="start_local",
            **common,
        ),
        "end_to_end": lambda: Phase(
            "end_to_end",
            {"stages": LossTerm("l2", arguments={"squared": False, "point_reduction": "mean"})},
            learning_rate=cosine(rate / 5),
            optimizer=dataclasses.replace(optimizer, rate_factors=END_FACTORS),
            steps=lengths["end_to_end"],
            train=("end_to_end",),
            switches=common["switches"],
        ),
    }
    return Schedule("tsr_cpu_budget", tuple(made[name]() for name in chosen), source)


def _theta(model: Any) -> dict[str, LossTerm]:
    """The loss of Equation 3."""
    arguments = {"canonical_shape": _canonical(model)}
    return {"theta_global": LossTerm("tfalign>ThetaLoss", arguments=arguments)}


def _face(model: Any, squared: bool) -> dict[str, LossTerm]:
    """The loss of Equation 4; where it is not squared (ours), without its division.

    Divided by the eye distance, a few profile faces would outweigh all others.
    """
    arguments = {"normalizer": _eyes(model)} if squared else _distance(squared)
    return {"face": LossTerm("tfalign>ReinitializedLoss", arguments=arguments)}


def _local(model: Any, squared: bool) -> dict[str, LossTerm]:
    """The loss of Equation 6 for each part."""
    return {
        part: LossTerm(
            "tfalign>ReinitializedLoss",
            arguments={**_distance(squared), "indices": list(indices)},
        )
        for part, indices in model.parts.items()
    }


def _scale_free(model: Any) -> dict[str, LossTerm]:
    """The losses of step 4, which no transform can lower by zooming out."""
    eyes = _eyes(model)
    if eyes is None:
        theta = {**_theta(model), **_local_theta(model)} if model.groups["reinit"] else {}
        return {**_face(model, True), **_local(model, True), **theta}
    arguments: dict[str, Any] = {"normalizer": eyes, "scale_free": True}
    parts = {part: {**arguments, "indices": list(i)} for part, i in model.parts.items()}
    return {
        name: LossTerm("tfalign>ReinitializedLoss", arguments=own)
        for name, own in {"face": arguments, **parts}.items()
    }


def _local_theta(model: Any) -> dict[str, LossTerm]:
    terms = {}
    for part, indices in model.parts.items():
        shape = in_patch(np.array(_canonical(model), np.float32)[list(indices)]).tolist()
        arguments = {"canonical_shape": shape, "indices": list(indices), "kind": "similarity"}
        terms[f"theta_{part}"] = LossTerm("tfalign>ThetaLoss", arguments=arguments)
    return terms


def _distance(squared: bool) -> dict[str, Any]:
    return {} if squared else {"squared": False, "point_reduction": "mean"}


def _eyes(model: Any) -> list[int] | None:
    """The outer eye corners; schemes without them divide by nothing."""
    scheme = model.scheme
    return list(scheme.eye_corners) if scheme is not None and scheme.eye_corners else None


def _canonical(model: Any) -> list[list[float]]:
    if model.canonical_shape is None:
        raise ValueError("`set_mean_shape` must be called first: it makes the canonical shape.")
    shape: list[list[float]] = model.canonical_shape
    return shape


def published_for(model: Any, budget: Budget, supervised: bool = True) -> Schedule:
    """Returns the published schedule, its lengths and rates scaled to a budget."""
    return scaled(published(model, supervised), budget, rate=0.01)


def unsupervised_for(model: Any, budget: Budget) -> Schedule:
    """Returns the published schedule without losses on θ, see `published`."""
    return published_for(model, budget, supervised=False)


def cpu_budget_for(model: Any, budget: Budget, only: tuple[str, ...] = STEPS) -> Schedule:
    """Returns our schedule for a model and a budget."""
    return cpu_budget(
        model,
        steps=20_000 if budget.steps is None else budget.steps,
        rate=2e-3 if budget.rate is None else budget.rate,
        dropout=0.2 if budget.dropout is None else budget.dropout,
        only=only,
    )


def reinit_for(model: Any, budget: Budget) -> Schedule:
    """Returns step 1 of our schedule alone."""
    return cpu_budget_for(model, budget, only=("reinit",))


def regression_for(model: Any, budget: Budget) -> Schedule:
    """Returns steps 2 to 4 of our schedule, for a model that has learned step 1 elsewhere."""
    return cpu_budget_for(model, budget, only=STEPS[1:])


def local_for(model: Any, budget: Budget) -> Schedule:
    """Returns steps 3 and 4 of our schedule, for a model whose global stage is trained."""
    return cpu_budget_for(model, budget, only=STEPS[2:])
