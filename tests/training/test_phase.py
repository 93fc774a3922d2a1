"""Phases as data, and the published numbers in them."""

from __future__ import annotations

import dataclasses
import json

import keras
import pytest
from training import tiny

from tfalign import models
from tfalign.models import ARCHITECTURES
from tfalign.training import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule
from tfalign.training.schedules import Budget, greglref, schedules_of


@pytest.mark.parametrize(
    "schedule",
    [
        greglref.published(),
        greglref.published(refinements=0),
        greglref.cpu_budget(steps=100),
        tiny.schedule(),
    ],
    ids=lambda schedule: schedule.name,
)
def test_schedule_survives_json(schedule: Schedule) -> None:
    again = Schedule.from_json(schedule.to_json())
    assert again.get_config() == schedule.get_config()
    assert all(isinstance(x, LossTerm) for p in again.phases for x in p.losses.values())
    assert again.phases[0].optimizer == schedule.phases[0].optimizer


def test_published_numbers_of_greglref() -> None:
    """Su et al., CVPRW 2019, section 4.3 and Equations 6 and 8."""
    joint, fine = greglref.published(refinements=2).phases
    for phase in (joint, fine):
        optimizer, rate = phase.optimizer, phase.learning_rate
        assert (optimizer.kind, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.9, 5e-4)
        assert not optimizer.nesterov
        assert (rate.kind, rate.patience, rate.factor) == ("plateau", 200, 0.75)
        assert phase.losses["stages"].loss == "l2"
    assert (joint.learning_rate.base, joint.epochs, joint.train) == (0.01, 3000, ("all",))
    assert (fine.learning_rate.base, fine.epochs, fine.train) == (0.001, 1500, ("refinement",))
    assert "stage_weights" not in joint.losses["stages"].arguments
    assert fine.losses["stages"].arguments["stage_weights"] == [0.0, 1.0, 1.0]
    assert joint.switches["dropout"] == 0.0
    assert fine.switches["dropout"] > 0.0
    assert [p.name for p in greglref.published(refinements=0).phases] == ["joint"]


def test_budget_scales_the_published_schedule() -> None:
    model = models.GRegLRef(
        68, (32, 32, 3), 0.25, trunk="mobile", crop="300w", dropout=0.2, scheme="ibug68"
    )
    published = schedules_of(ARCHITECTURES["greglref"])["published"]
    assert published(model, Budget(None, 34)) == greglref.published(2)
    joint, fine = published(model, Budget(45 * 34, 34, rate=0.1)).phases
    assert (joint.epochs, fine.epochs) == (30, 15)
    assert (joint.learning_rate.patience, fine.learning_rate.patience) == (2, 2)
    assert joint.learning_rate.base == pytest.approx(0.1)
    assert fine.learning_rate.base == pytest.approx(0.01)


def test_cpu_schedule_splits_its_budget() -> None:
    model = models.GRegLRef(
        68, (32, 32, 3), 0.25, trunk="mobile", crop="300w", dropout=0.2, scheme="ibug68"
    )
    first, fine = schedules_of(ARCHITECTURES["greglref"])["cpu"](model, Budget(1000, 10)).phases
    assert (first.steps, fine.steps) == (800, 200)
    assert first.length(30) == 27
    # GRegNet alone: no layer of the refinement is computed.
    assert (first.train, list(first.losses)) == (("global",), ["global"])
    trained = keras.Model(model.inputs, model.training_model.output["global"])
    assert not {x.name for x in trained.layers} & {x.name for x in model.groups["refinement"]}
    assert fine.losses["stages"].arguments["stage_weights"] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OptimizerSpec("lion"), "kind='lion'"),
        (lambda: OptimizerSpec("adam", weight_decay=0.1), "adamw"),
        (lambda: OptimizerSpec(ema=1.0), "ema=1.0"),
        (lambda: OptimizerSpec(rate_factors={"fc/": -1.0}), "rate_factors"),
        (lambda: OptimizerSpec(weight_decay=-1.0), "weight_decay=-1"),
        (lambda: LearningRateSpec(0.0), "base=0.0"),
        (lambda: LearningRateSpec(0.1, "step"), "kind='step'"),
        (lambda: LearningRateSpec(0.1, warmup=0.1), "belongs to kind='cosine'"),
        (lambda: LearningRateSpec(0.1, final=0.01), "`final` belongs to kind='cosine'"),
        (lambda: LearningRateSpec(0.1, "cosine", power=2.0), "`power` belongs to kind='poly"),
        (lambda: OptimizerSpec("adamw", nesterov=True), "`nesterov` belongs to kind='sgd'"),
        (lambda: LearningRateSpec(0.1, "piecewise", boundaries=(3,)), "as many `values`"),
        (lambda: LearningRateSpec(0.1, boundaries=(3,), values=(0.2,)), "only it takes"),
        (
            lambda: LearningRateSpec(0.1, "piecewise", boundaries=(9, 3), values=(0.2, 0.1)),
            r"rise.*\(9, 3\)",
        ),
        (lambda: OptimizerSpec(clip_norm=0.0), "clip_norm=0.0"),
        (lambda: dataclasses.replace(tiny.schedule().phases[0], steps=3), "either `epochs` or"),
        (lambda: dataclasses.replace(tiny.schedule().phases[0], epochs=None), "either `epochs`"),
        (lambda: dataclasses.replace(tiny.schedule().phases[0], epochs=-1), ">= 0"),
        (lambda: dataclasses.replace(tiny.schedule().phases[0], losses={}), "needs a loss"),
        (lambda: Schedule("none", ()), "at least one phase"),
        (lambda: Schedule("twice", tiny.schedule().phases[:1] * 2), "no name twice"),
        (lambda: Budget(0, 10), "steps=0"),
    ],
)
def test_wrong_values(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_unknown_field_is_an_error() -> None:
    config = json.loads(tiny.schedule().to_json())
    config["phases"][0]["learning_rate"]["speed"] = 1
    with pytest.raises(ValueError, match="speed"):
        Schedule.from_config(config)
    assert isinstance(tiny.schedule().phases[0], Phase)
