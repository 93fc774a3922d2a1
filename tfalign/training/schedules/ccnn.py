"""CCNN's training: the published schedule, and one that a single CPU core can finish.

=====================  ============================  ==========================================
what                   published (section 4)         ours, `cpu_budget`
=====================  ============================  ==========================================
losses                 l2 on each H_k and ΔP̂_k       the same maps; for ΔP̂_k the distance
  of H_k               squared, summed               squared, cells under a Gaussian weigh more
  of ΔP̂_k              squared, summed, in cells     mean distance in cells
  factors              not given; 1                  1
optimizer              not given; SGD, momentum 0.9  AdamW
weight decay           not given; 5e-4               1e-4
learning rate          1e-5, then 5e-6, then 1e-6    cosine from 0.003, 5 % warm-up
length                 30, 5 and 2,465 epochs        by default 6,000 steps
dropout after A11      0.5                           none
maxima                 cells                         sub-cell (``soft``)
=====================  ============================  ==========================================

A loss on P̂_k + ΔP̂_k is the loss of ΔP̂_k against the online target P − P̂_k (Equation 1): P̂_k, the
place of a maximum, passes no gradient.

The recipes' options for it are ``--model ccnn --image-size 128 --width 0.1875``; the published
augmentation is ``--augment ccnn``. ``tfalign paper ccnn figure11`` compares numbers of
units.
"""

from __future__ import annotations

from typing import Any

from tfalign.training.phase import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule
from tfalign.training.schedules.budget import Budget, scaled

SOURCE = (
    "Mahpod, Das, Maiorana, Keller, Campisi, 'Facial Landmark Point Localization using "
    "Coarse-to-Fine Deep Recurrent Neural Network', 2018, section 4"
)
DROPOUT = 0.5
SIGMA = 1.3
# (learning rate, epochs): "starting with 1e-5 for the initial 30 epochs, followed by 5e-6 for the
# next five epochs, and was then fixed at 1e-6 for the remainder"; 2,500 epochs in all.
RATES = ((1e-5, 30), (5e-6, 5), (1e-6, 2465))
RATE = 3e-3
STEPS = 6000
# Ours: the extra weight of cells under a Gaussian.
FOREGROUND = 10.0


def published(
    units: int = 4, map_size: tuple[int, int] = (64, 64), sigma: float = SIGMA
) -> Schedule:
    """Returns the paper's schedule.

    Args:
        units: K.
        map_size: (columns, rows) of the heatmaps.
        sigma: Standard deviation of the Gaussians, in cells.

    Reading: the paper gives neither optimizer, batch, nor factors of the losses. SGD with momentum
    0.9 and weight decay 5e-4 is what its framework, MatConvNet, comes with. ΔP̂_k is measured in
    cells of the heatmaps, as σ is.
    """
    cells = LossTerm("l2", arguments={"scale": [float(side) for side in map_size]})
    losses = {
        **{f"heatmap_{k}": _heatmap(sigma=sigma) for k in range(units + 1)},
        **{f"refined_{k}": cells for k in range(1, units + 1)},
    }
    phases = [
        Phase(
            name=f"rate_{index}",
            losses=losses,
            learning_rate=LearningRateSpec(rate),
            optimizer=OptimizerSpec(kind="sgd", momentum=0.9, weight_decay=5e-4),
            epochs=epochs,
            switches={"dropout": DROPOUT},
        )
        for index, (rate, epochs) in enumerate(RATES, start=1)
    ]
    return Schedule("ccnn_published", tuple(phases), SOURCE)


def cpu_budget(
    units: int = 2,
    map_size: tuple[int, int] = (32, 32),
    steps: int = STEPS,
    rate: float = RATE,
    sigma: float = SIGMA,
) -> Schedule:
    """Returns our schedule: all units at once, for a given number of steps.

    Args:
        units: K.
        map_size: (columns, rows) of the heatmaps.
        steps: Optimizer steps.
        rate: Peak learning rate.
        sigma: Standard deviation of the Gaussians, in cells. The paper's 1.3 of 64 cells is kept on
            smaller maps, where it covers more of the face.
    """
    cells = [float(side) for side in map_size]
    distance = {"squared": False, "point_reduction": "mean", "scale": cells}
    heatmap = _heatmap(sigma=sigma, foreground=FOREGROUND, point_reduction="mean")
    joint = Phase(
        name="joint",
        losses={
            **{f"heatmap_{k}": heatmap for k in range(units + 1)},
            **{f"refined_{k}": LossTerm("l2", arguments=distance) for k in range(1, units + 1)},
        },
        learning_rate=LearningRateSpec(rate, kind="cosine", warmup=0.05, final=rate / 100),
        optimizer=OptimizerSpec(
            kind="adamw",
            weight_decay=1e-4,
            decay_exclude=("bias", "gamma", "beta"),
            clip_norm=5.0,
        ),
        steps=steps,
        switches={"dropout": 0.0},
    )
    return Schedule("ccnn_cpu_budget", (joint,), "ours, for CPU budgets; losses on every unit")


def _heatmap(**arguments: Any) -> LossTerm:
    return LossTerm("tfalign>HeatmapLoss", arguments=arguments)


def published_for(model: Any, budget: Budget) -> Schedule:
    """Returns the published schedule for a model; a budget scales rates and lengths alike."""
    return scaled(published(model.units, model.map_size, model.sigma), budget)


def cpu_budget_for(model: Any, budget: Budget) -> Schedule:
    """Returns our schedule for a model and a budget."""
    return cpu_budget(
        model.units,
        model.map_size,
        steps=STEPS if budget.steps is None else budget.steps,
        rate=RATE if budget.rate is None else budget.rate,
        sigma=model.sigma,
    )
