"""DSSD's schedules: the paper's numbers, and a run of each kind, also an interrupted one."""

import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from training import tiny

from tfalign import training
from tfalign.models import ARCHITECTURES, DSSD, RDSSD
from tfalign.training.schedules import Budget, dssd, schedules_of

SMALL = {"input_shape": (48, 48, 3), "width": 0.05, "patch": 10, "kernel": 3, "centers": 6}


def penalties_with(anchor: float) -> dssd.DetectorPenalties:
    return dssd.DetectorPenalties(anchor=anchor)


def test_published_numbers() -> None:
    schedule = dssd.published(2)
    initial, alternation = schedule.phases
    assert initial.train == ("initial",)
    assert (initial.start, alternation.start) == ("start_shapes", "start_detectors")
    for phase in schedule.phases:
        optimizer = phase.optimizer
        assert (optimizer.kind, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.9, 1e-4)
        assert (phase.learning_rate.base, phase.learning_rate.kind) == (0.01, "constant")
        assert (phase.losses["stages"].loss, phase.losses["stages"].weight) == ("l2", 0.5)
    (update,) = alternation.callbacks
    assert update.name == "ProximalUpdate"
    # P before C, and 15 alternations.
    assert list(update.arguments["weights"]) == ["detectors/basis", "detectors/codes"]
    assert alternation.epochs / update.arguments["every"] == 15


def test_penalties_reach_the_callback() -> None:
    penalties = dssd.DetectorPenalties(0.1, 0.2, 0.3, every=4, steps=6, batches=7, delay=2)
    schedule = dssd.cpu_budget(4, ("detectors_1", "detectors_2"), 100, 1e-3, penalties, coarse=1)
    (update,) = schedule.phases[-1].callbacks
    assert update.arguments == {
        "weights": {
            "detectors_1/basis": 0.1,
            "detectors_1/codes": 0.2,
            "detectors_2/basis": 0.1,
            "detectors_2/codes": 0.2,
        },
        "ridge": {"detectors_1/basis": 0.3, "detectors_2/basis": 0.3},
        "every": 4,
        "steps": 6,
        "batches": 7,
        "delay": 2,
    }


def test_the_anchor_is_a_loss_of_the_responses() -> None:
    free, held = (
        [
            dssd.cpu_budget(2, ("detectors",), 100, penalties=penalties_with(anchor)),
            dssd.published(2, penalties=penalties_with(anchor)),
        ]
        for anchor in (0.0, 0.5)
    )
    for without, with_anchor in zip(free, held, strict=True):
        assert all("detected" not in phase.losses for phase in without.phases)
        *before, last = with_anchor.phases
        assert all("detected" not in phase.losses for phase in before)
        assert last.losses["detected"].weight == 0.5 * last.losses["stages"].weight
    # Without sharable detectors there is nothing to hold.
    bare = dssd.cpu_budget(2, (), 100, penalties=penalties_with(0.5))
    assert "detected" not in bare.phases[-1].losses


def test_penalties_count_as_often_as_stages_share_detectors() -> None:
    penalties = dssd.DetectorPenalties(0.1, 0.2, 0.3)
    schedule = dssd.cpu_budget(6, ("detectors",), 100, 1e-3, penalties, coarse=2)
    arguments = schedule.phases[-1].callbacks[0].arguments
    assert arguments["weights"] == pytest.approx({"detectors/basis": 0.3, "detectors/codes": 0.6})
    assert arguments["ridge"] == pytest.approx({"detectors/basis": 0.9})


def test_coarse_stages_learn_before_p_and_c_start() -> None:
    schedule = dssd.cpu_budget(6, ("detectors",), 1000, coarse=2)
    assert [phase.name for phase in schedule.phases] == ["initial", "coarse", "refinement"]
    initial, coarse, refinement = schedule.phases
    assert [phase.steps for phase in schedule.phases] == [300, 175, 525]
    assert coarse.train == ("coarse",)
    assert coarse.losses["stages"].arguments["stage_weights"] == [0, 1, 1, 0, 0, 0]
    assert (initial.callbacks, coarse.callbacks, coarse.start) == ((), (), None)
    assert (refinement.train, refinement.start) == (("coarse", "refinement"), "start_detectors")


def test_sequential_learning_trains_each_stage_by_itself() -> None:
    schedule = dssd.sequential(1, 2, ("detectors_1", "detectors_2"), steps=100)
    groups = ["initial", "coarse_1", "refinement_1", "refinement_2"]
    assert [phase.train for phase in schedule.phases] == [(group,) for group in groups]
    for stage, phase in enumerate(schedule.phases):
        weights = phase.losses["stages"].arguments["stage_weights"]
        assert weights == [float(index == stage) for index in range(4)]
    for phase, name in zip(schedule.phases[2:], ("detectors_1", "detectors_2"), strict=True):
        (update,) = phase.callbacks
        assert list(update.arguments["weights"]) == [f"{name}/basis", f"{name}/codes"]
    assert schedule.phases[1].callbacks == ()
    assert sum(phase.steps for phase in schedule.phases) <= 100


@pytest.mark.parametrize("name", ["dssd", "rdssd", "rdssd_star"])
@pytest.mark.parametrize("kind", ["published", "cpu"])
def test_schedules_survive_json_and_follow_the_budget(name: str, kind: str) -> None:
    made = ARCHITECTURES[name].make(
        width=0.05, num_landmarks=68, input_shape=(112, 112, 3), crop="300w"
    )
    assert made.patch == 17
    assert made.num_stages == {"dssd": 2, "rdssd": 6, "rdssd_star": 4}[name]
    schedule = schedules_of(ARCHITECTURES[name])[kind](made, Budget(40, 4, rate=0.003))
    text = json.dumps(schedule.get_config())
    assert training.Schedule.from_config(json.loads(text)) == schedule
    # Each phase rounds up to whole epochs.
    assert sum(phase.length(4) for phase in schedule.phases) <= 10 + len(schedule.phases) - 1
    assert schedule.phases[-1].learning_rate.base == 0.003


def test_published_alternations_follow_the_budget() -> None:
    made = ARCHITECTURES["dssd"].make(
        width=0.05, num_landmarks=68, input_shape=(112, 112, 3), crop="300w"
    )
    found = {}
    for steps in (None, 4 * 2 * 40, 4 * 2 * 6):
        phase = schedules_of(ARCHITECTURES["dssd"])["published"](made, Budget(steps, 4)).phases[-1]
        (update,) = phase.callbacks
        every, delay = update.arguments["every"], update.arguments["delay"]
        found[phase.epochs] = (phase.epochs - delay) // every
    # About 15, or one for each epoch but the first where there are fewer.
    assert found == {150: 15, 40: 13, 6: 5}


def test_refuses_a_share() -> None:
    with pytest.raises(ValueError, match=r"Received: initial_share=1\.0"):
        dssd.cpu_budget(2, initial_share=1.0)


class Interrupted(Exception):
    """Stands for a process that ends."""


class StopsAt(training.ArrayFeed):
    """Breaks off before the first batch of an epoch that is trained on."""

    stop: int | None = None

    def stream(self, first_epoch: int, epochs: int, shard: Any = (0, 1)) -> Iterator[Any]:
        for epoch in range(first_epoch, first_epoch + epochs):
            if epoch == self.stop:
                raise Interrupted("Interrupted")
            yield from super().stream(epoch, 1, shard)


@pytest.fixture
def feed(rng) -> StopsAt:
    """Faces of noise with one bright spot that says where their landmarks are."""
    images = rng.integers(90, 130, (16, 48, 48, 3), dtype=np.uint8)
    _, base = tiny.arrays(1)
    landmarks = np.repeat(base, 16, axis=0)
    for image, points in zip(images, landmarks, strict=True):
        x, y = rng.integers(-6, 7, 2)
        image[20 + y : 28 + y, 20 + x : 28 + x] = 250
        points += np.float32([x / 48, y / 48])
    return StopsAt(images, landmarks, 8)


def run(model_class, schedule, feed, out, **arguments):
    keras.utils.set_random_seed(1)
    count = feed.landmarks.shape[1]
    model = model_class(**{"num_landmarks": count, **SMALL, **arguments})
    model.set_mean_shape(feed.landmarks.mean(axis=0))
    quiet = training.Execution(verbose=0)
    return model, training.fit(model, schedule, feed, None, out=out, execution=quiet)


@pytest.mark.slow
def test_interrupted_alternation_ends_like_the_whole_one(feed, tmp_path) -> None:
    """P and C are updated every second epoch; the run breaks off between two updates."""
    penalties = dssd.DetectorPenalties(1e-3, 1e-4, every=2, steps=3, batches=2, delay=0)
    schedule = dssd.cpu_budget(2, steps=14, penalties=penalties, initial_share=0.3)
    whole, result = run(DSSD, schedule, feed, tmp_path / "whole")
    # Two epochs of the initial shape, then five; this is the second of them.
    feed.stop = 4
    with pytest.raises(Exception, match="Interrupted"):
        run(DSSD, schedule, feed, tmp_path / "broken")
    feed.stop = None
    resumed, other = run(DSSD, schedule, feed, tmp_path / "broken")
    assert len(other.rows) == len(result.rows) == 7
    for one, expected in zip(other.rows, result.rows, strict=True):
        assert one["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    for one, expected in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6)
    zeros = whole.sparsity()
    assert zeros == resumed.sparsity()
    assert max(zeros.values()) > 0.0


@pytest.mark.exhaustive
def test_sequential_run_leaves_earlier_stages_alone(feed, tmp_path) -> None:
    detectors = ("detectors_1", "detectors_2")
    schedule = dssd.sequential(
        1, 2, detectors, steps=8, penalties=dssd.DetectorPenalties(steps=2, delay=0)
    )
    arguments = {"stages": "R-DSSD*", "shared": False}
    model, _ = run(RDSSD, schedule, feed, tmp_path / "all", **arguments)
    first = training.Schedule("first", schedule.phases[:3])
    part, _ = run(RDSSD, first, feed, tmp_path / "part", **arguments)
    for one, expected in zip(model.weights, part.weights, strict=True):
        own = any(layer in one.path for layer in ("_2/", "seed"))
        if not own or "initial_2" in one.path:
            np.testing.assert_allclose(one, expected, atol=1e-7, err_msg=one.path)
    assert set(model.sparsity()) == {
        "detectors_1/basis", "detectors_1/codes", "detectors_2/basis", "detectors_2/codes",
    }  # fmt: skip
