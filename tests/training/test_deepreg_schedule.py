"""DeepReg's schedules: the paper's numbers, and a run of each kind."""

import inspect
import json

import keras
import numpy as np
import pytest
from training import tiny

from tfalign import training
from tfalign.models import ARCHITECTURES, DeepReg, architecture
from tfalign.models.dropout_regression import dropout_descent
from tfalign.training.results import write_results
from tfalign.training.schedules import Budget, deepreg, schedules_of


def test_published_numbers() -> None:
    sequential, joint = deepreg.published().phases
    # Sequential learning is its start; its numbers are `dropout_descent`'s.
    assert (sequential.epochs, sequential.start) == (0, "descend_sequential")
    assert (joint.optimizer.kind, joint.optimizer.momentum) == ("sgd", 0.9)
    assert (joint.learning_rate.base, joint.learning_rate.kind) == (0.01, "plateau")
    assert joint.switches == {"dropout": 0.5}
    assert joint.optimizer.rate_factors == {"kernel": 0.25}
    term = joint.losses["stages"]
    assert (term.loss, term.weight) == ("l2", 0.5)
    assert term.arguments["stage_weights"] == [0.0] * 5 + [1.0]
    descent = inspect.signature(dropout_descent).parameters
    published = {"learning_rate": 0.01, "momentum": 0.9, "batch_size": 100}
    assert {name: descent[name].default for name in published} == published


def test_the_start_takes_no_epochs_of_a_budget() -> None:
    model = DeepReg(num_landmarks=68, input_shape=(64, 64, 3), local_layers=1)
    phases = deepreg.published_for(model, Budget(40, 4)).phases
    assert [phase.epochs for phase in phases] == [0, 10]


@pytest.mark.parametrize("name", ["published", "sequential", "cpu"])
def test_schedules_survive_json_and_follow_the_budget(name) -> None:
    model = DeepReg(num_landmarks=68, input_shape=(64, 64, 3), local_layers=1, scheme="ibug68")
    schedule = schedules_of(ARCHITECTURES["deepreg"])[name](model, Budget(40, 4, rate=0.003))
    text = json.dumps(schedule.get_config())
    assert training.Schedule.from_config(json.loads(text)) == schedule
    assert sum(phase.length(4) for phase in schedule.phases) <= 10
    if name != "sequential":
        assert schedule.phases[-1].learning_rate.base == 0.003


def test_maker_refuses_a_width() -> None:
    with pytest.raises(ValueError, match="'width'"):
        architecture("deepreg").make(width=0.5, num_landmarks=68)
    assert architecture("deepreg").make(num_landmarks=29).num_landmarks == 29


@pytest.fixture
def data(rng) -> tuple[training.ArrayFeed, training.Validation]:
    """Faces of noise with one bright spot that says where their landmarks are."""
    images = rng.integers(90, 130, (24, 64, 64, 3), dtype=np.uint8)
    _, base = tiny.arrays(1)
    landmarks = np.repeat(base, 24, axis=0)
    for image, points in zip(images, landmarks, strict=True):
        x, y = rng.integers(-6, 7, 2)
        image[28 + y : 36 + y, 28 + x : 36 + x] = 250
        points += np.float32([x / 64, y / 64])
    maps = np.tile(np.float32([[1, 0, 0], [0, 1, 0]]), (8, 1, 1))
    held_out = training.Validation(images[16:], landmarks[16:] * 64, maps, "300w_inter_ocular")
    return training.ArrayFeed(images[:16], landmarks[:16], 8), held_out


def run(schedule, data, tmp_path) -> tuple[DeepReg, training.TrainingResult]:
    keras.utils.set_random_seed(1)
    model = DeepReg(68, (64, 64, 3), local_layers=1, patches=(16,))
    feed, held_out = data
    model.set_mean_shape(feed.landmarks.mean(axis=0))
    quiet = training.Execution(verbose=0)
    return model, training.fit(model, schedule, feed, held_out, out=tmp_path, execution=quiet)


def weights_of(model: DeepReg) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]


def test_sequential_is_the_closed_form(data, tmp_path) -> None:
    model, result = run(deepreg.sequential(1), data, tmp_path)
    assert result.rows == []
    about = write_results(model, result, None, "300w_inter_ocular", tmp_path, "", {})
    assert (about["best_nme"], about["epochs"]) == (None, 0)
    assert json.loads((tmp_path / "result.json").read_text())["best_nme"] is None
    other = DeepReg(68, (64, 64, 3), local_layers=1, patches=(16,))
    other.solve_sequential(data[0])
    for one, expected in zip(weights_of(model), weights_of(other), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-6)


def test_joint_learning_goes_on_from_the_closed_form_in_all_stages(data, tmp_path) -> None:
    model, result = run(deepreg.closed_form(1, epochs=1, rate=0.003), data, tmp_path)
    start, _ = run(deepreg.sequential(1), data, tmp_path / "start")
    for one, before in zip(weights_of(model), weights_of(start), strict=True):
        assert 0 < np.abs(one - before).max() < 0.05
    assert [row["phase"] for row in result.rows] == ["joint"]


@pytest.mark.slow
def test_joint_learning_alone_lowers_the_loss(data, tmp_path) -> None:
    phase = deepreg.joint(1, epochs=12, rate=0.003)
    _, result = run(training.Schedule("joint", (phase,)), data, tmp_path)
    losses = [row["loss"] for row in result.rows]
    assert np.mean(losses[-4:]) < 0.8 * losses[0]
