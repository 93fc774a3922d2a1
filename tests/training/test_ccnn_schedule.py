"""CCNN's schedules: the paper's numbers, one batch by heart, and a run that is interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from training import tiny

from tfalign import training
from tfalign.data.augment import NONE
from tfalign.data.pipeline import CropCache
from tfalign.data.synthetic import render
from tfalign.models import ARCHITECTURES, CCNN, architecture
from tfalign.training import runner
from tfalign.training.schedules import Budget, ccnn, schedules_of

QUIET = training.Execution(verbose=0)


def model(units: int = 1, side: int = 32) -> CCNN:
    keras.utils.set_random_seed(1)
    return architecture("ccnn").make(
        width=0.125, num_landmarks=68, input_shape=(side, side, 3), units=units
    )


def test_published_numbers() -> None:
    schedule = ccnn.published()
    assert [(p.learning_rate.base, p.epochs) for p in schedule.phases] == [
        (1e-5, 30),
        (5e-6, 5),
        (1e-6, 2465),
    ]
    assert sum(phase.epochs for phase in schedule.phases) == 2500
    for phase in schedule.phases:
        assert phase.switches == {"dropout": 0.5}
        assert phase.train == ("all",)
        # A loss on every unit: five sets of heatmaps, four increments.
        assert set(phase.losses) == {
            *(f"heatmap_{k}" for k in range(5)),
            *(f"refined_{k}" for k in range(1, 5)),
        }
        assert phase.losses["heatmap_2"].arguments == {"sigma": 1.3}
        spec = phase.optimizer
        assert (spec.kind, spec.momentum, spec.weight_decay) == ("sgd", 0.9, 5e-4)
        assert {term.weight for term in phase.losses.values()} == {1.0}


@pytest.mark.parametrize("name", ["published", "cpu"])
@pytest.mark.parametrize("units", [0, 2])
def test_schedules_survive_json_and_follow_the_budget(name: str, units: int) -> None:
    made = model(units)
    schedule = schedules_of(ARCHITECTURES["ccnn"])[name](made, Budget(400, 4, rate=0.002))
    assert training.Schedule.from_config(json.loads(json.dumps(schedule.get_config()))) == schedule
    assert schedule.phases[0].learning_rate.base == pytest.approx(0.002)
    assert abs(sum(phase.length(4) for phase in schedule.phases) - 100) <= 1
    for phase in schedule.phases:
        assert set(phase.losses) <= set(made.training_model.output)
        assert len(phase.losses) == 2 * units + 1


def test_increments_are_measured_in_cells() -> None:
    wide = architecture("ccnn").make(width=0.125, num_landmarks=68, input_shape=(32, 64, 3))
    for make in schedules_of(ARCHITECTURES["ccnn"]).values():
        schedule = make(wide, Budget(None, 4))
        assert schedule.phases[0].losses["refined_1"].arguments["scale"] == [16.0, 8.0]
    assert ccnn.published().phases[0].losses["refined_4"].arguments == {"scale": [64.0, 64.0]}


def test_maps_are_learned_as_wide_as_they_are_read() -> None:
    wide = architecture("ccnn").make(
        width=0.125, num_landmarks=68, input_shape=(32, 32, 3), sigma=2.0
    )
    assert wide.get_layer("peak_2").sigma == 2.0
    for make in schedules_of(ARCHITECTURES["ccnn"]).values():
        losses = make(wide, Budget(None, 4)).phases[0].losses
        assert losses["heatmap_0"].arguments["sigma"] == 2.0


def test_maker() -> None:
    paper = architecture("ccnn").make(trunk="paper", width=0.0625, dropout=0.3, num_landmarks=29)
    assert (paper.trunk, paper.filters, paper.units, paper.soft) == ("paper", "paper", 4, False)
    ours = model()
    assert (ours.trunk, ours.filters, ours.units, ours.soft) == ("mobile", "separable", 1, True)
    with pytest.raises(ValueError, match="trunk='vgg'"):
        architecture("ccnn").make(trunk="vgg", num_landmarks=29)


def run(out: Path) -> tuple[CCNN, training.TrainingResult]:
    images, landmarks = tiny.arrays()
    pictures = images.repeat(2, axis=1).repeat(2, axis=2)
    made = model()
    schedule = ccnn.published_for(made, Budget(18, 3))
    feed = training.ArrayFeed(pictures, landmarks, 8, 1)
    maps = np.tile(np.float32([[1, 0, 0], [0, 1, 0]]), (8, 1, 1))
    held_out = training.Validation(pictures[:8], landmarks[:8] * 32, maps, "300w_inter_ocular")
    return made, training.fit(made, schedule, feed, held_out, out=out, execution=QUIET)


@pytest.mark.slow
def test_interrupted_run_ends_like_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, expected = run(tmp_path / "whole")
    save, calls = runner.save_checkpoint, []

    def save_and_stop(*arguments) -> None:
        save(*arguments)
        calls.append(1)
        if len(calls) in (1, 3):  # after the first phase's only epoch, and within the third
            raise KeyboardInterrupt

    monkeypatch.setattr(runner, "save_checkpoint", save_and_stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed")
    resumed, result = run(tmp_path / "killed")
    assert [row["phase"] for row in result.rows] == [row["phase"] for row in expected.rows]
    assert {"val_nme_0", "val_nme_1", "val_nme_2"} <= set(result.rows[0])
    for one, other in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=one.path)


@pytest.mark.slow
def test_one_batch_is_learned_by_heart(tmp_path: Path) -> None:
    made = model(units=2, side=48)
    faces = [render(0, index, size=128) for index in range(8)]
    cache = CropCache.build(faces, made.crop, made.image_size).convert("ibug68")
    validation = training.Validation.from_cache(cache, "300w_inter_ocular")
    result = training.fit(
        made,
        ccnn.cpu_budget_for(made, Budget(500, 1, rate=5e-3)),
        training.CacheFeed(cache, 8, NONE, 0),
        validation,
        out=tmp_path,
        execution=training.Execution(verbose=0, checkpoint_every=1000),
    )
    last = result.rows[-1]
    assert last["val_nme"] < 0.005
    # Each unit's regression is below the maxima that it refines.
    assert last["val_nme_2"] < last["val_nme_1"]
    assert last["val_nme_4"] < last["val_nme_3"]
