"""TSR's schedules: the paper's numbers, budgets, and runs through the one runner."""

import json

import keras
import numpy as np
import pytest

from tfalign import markup, training
from tfalign.models import ARCHITECTURES
from tfalign.training.schedules import Budget, schedules_of, two_stage

SIDE, POINTS = 80, 19
PARTS = ("left_eye", "right_eye", "nose", "mouth")


def shape() -> np.ndarray:
    points = np.random.default_rng(0).uniform(0.2, 0.8, (POINTS, 2))
    mirrored = (points * (-1, 1) + (1, 0))[list(markup.get("aflw19").flip_map)]
    points = 0.5 * (points + mirrored)
    points[[6, 11]] = [[0.3, 0.4], [0.7, 0.4]]
    return points.astype("f4")


def made(name: str = "two_stage", known: bool = True):
    keras.utils.set_random_seed(1)
    side = SIDE // 2 if name == "tsr_baseline1" else SIDE
    model = ARCHITECTURES[name].make(
        scheme="aflw19",
        input_shape=(side, side, 3),
        width=0.0625,
        dropout=0.2,
        crop="tsr",
    )
    if known:
        model.set_mean_shape(shape())
    return model


def data(count: int = 16, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright spot that says where the landmarks are."""
    rng = np.random.default_rng(2)
    images = rng.integers(90, 130, (count, side, side, 3), dtype=np.uint8)
    landmarks = np.repeat(shape()[None], count, axis=0)
    for image, points in zip(images, landmarks, strict=True):
        x, y = rng.integers(-8, 9, 2) * side // SIDE
        image[side // 2 + y - 5 : side // 2 + y + 5, side // 2 + x - 5 : side // 2 + x + 5] = 250
        points += np.float32([x / side, y / side])
    return images, landmarks


def value(variable: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(variable).copy()


def test_published_numbers() -> None:
    schedule = two_stage.published(made())
    names = [phase.name for phase in schedule.phases]
    assert names == ["reinit_warm_up", "reinit", "global_regression", "local", "end_to_end"]
    warm_up, *rest = schedule.phases
    assert (warm_up.learning_rate.base, warm_up.steps) == (1e-4, 1000)
    assert warm_up.steps + rest[0].steps == 20_000
    assert [phase.steps for phase in rest[1:]] == [20_000] * 3
    assert [phase.learning_rate.base for phase in rest] == [0.01, 0.01, 0.01, 0.001]
    assert {phase.learning_rate.kind for phase in rest} == {"polynomial"}
    for phase in schedule.phases:
        assert (phase.optimizer.kind, phase.optimizer.momentum) == ("sgd", 0.9)
        assert phase.optimizer.weight_decay == 2e-4
    trained = [phase.train for phase in schedule.phases]
    assert trained == [("reinit",), ("reinit",), ("global_regression",), ("local",), ("all",)]
    assert [phase.start for phase in schedule.phases[2:]] == ["start_global", "start_local", None]
    # VGG-S's own dropout, whatever the model was made with.
    assert [phase.switches for phase in schedule.phases[2:]] == [{"dropout": 0.5}] * 3
    # θ is supervised until the end-to-end step, which has landmark losses only.
    assert set(schedule.phases[0].losses) == {"theta_global"}
    assert set(schedule.phases[3].losses) == {*PARTS, *(f"theta_{part}" for part in PARTS)}
    assert set(schedule.phases[4].losses) == {"face", *PARTS}
    assert schedule.phases[2].losses["face"].arguments == {"normalizer": [6, 11]}
    # Equation 6 divides by nothing; in step 4, where it trains the transforms, no loss may fall by
    # zooming out.
    assert all("normalizer" not in schedule.phases[3].losses[part].arguments for part in PARTS)
    for term in schedule.phases[4].losses.values():
        assert term.arguments["scale_free"]
        assert term.arguments["normalizer"] == [6, 11]
    # An eye and its brow are one part.
    assert len(schedule.phases[3].losses["left_eye"].arguments["indices"]) == 6


def test_theta_losses_can_be_dropped() -> None:
    schedule = two_stage.published(made(), supervised=False)
    assert [phase.name for phase in schedule.phases] == ["global_regression", "local", "end_to_end"]
    assert schedule.phases[0].train == ("reinit", "global_regression")
    assert schedule.phases[0].start is None
    assert not any("theta" in name for phase in schedule.phases for name in phase.losses)


@pytest.mark.parametrize(
    "name", ["two_stage", "two_stage_global", "tsr_baseline1", "tsr_baseline2"]
)
def test_schedules_survive_json_and_follow_the_budget(name) -> None:
    model = made(name)
    for kind, build in schedules_of(ARCHITECTURES[name]).items():
        schedule = build(model, Budget(100, 4, rate=0.004))
        text = json.dumps(schedule.get_config())
        assert training.Schedule.from_config(json.loads(text)) == schedule, kind
        assert 95 <= sum(phase.steps for phase in schedule.phases) <= 105, kind
        has_local = any(phase.name == "local" for phase in schedule.phases)
        assert has_local == (name == "two_stage" and kind != "reinit"), kind
    if name == "two_stage":
        free = schedules_of(ARCHITECTURES[name])["unsupervised"](model, Budget(100, 4))
        assert not any("theta" in loss for phase in free.phases for loss in phase.losses)
        regression = schedules_of(ARCHITECTURES[name])["regression"](model, Budget(100, 4))
        assert [phase.name for phase in regression.phases] == list(two_stage.STEPS[1:])


def test_slopes_and_biases_do_not_decay() -> None:
    """Names in the schedule are names of the model's own variables."""
    model = made()
    spec = two_stage.cpu_budget(model).phases[0].optimizer
    spared = {
        v.name for v in model.trainable_variables if any(x in v.name for x in spec.decay_exclude)
    }
    assert spared == {"alpha", "beta", "bias", "gamma"}
    assert {v.name for v in model.trainable_variables} - spared == {"kernel"}


def test_what_needs_the_canonical_shape_says_so() -> None:
    with pytest.raises(ValueError, match="set_mean_shape"):
        two_stage.cpu_budget(made(known=False))
    with pytest.raises(ValueError, match="only="):
        two_stage.cpu_budget(made(), only=("fifth",))


def test_makers_follow_the_recipes_options() -> None:
    model = ARCHITECTURES["two_stage"].make(
        num_landmarks=68,
        input_shape=(112, 112, 3),
        width=0.25,
        trunk="resnet18",
        crop="300w",
        scheme="ibug68",
    )
    assert (model.view_size, model.view_width, model.trunk) == (56, 1.0, "resnet18")
    small = {"scheme": "ibug68", "width": 0.0625, "crop": "300w"}
    least = ARCHITECTURES["two_stage"].make(input_shape=(64, 64, 3), **small)
    assert least.view_size == 38
    with pytest.raises(ValueError, match="TSR's input must have at least 38 pixels"):
        ARCHITECTURES["two_stage"].make(input_shape=(32, 32, 3), **small)
    assert ARCHITECTURES["two_stage_global"].make(num_landmarks=68, width=0.0625).parts == {}


@pytest.mark.slow
def test_every_step_learns_its_own_part(tmp_path) -> None:
    """Through the runner: which variables each step moves, and that θ is learned in the first."""
    model = made()
    images, landmarks = data()
    feed = training.ArrayFeed(images, landmarks, 8)
    schedule = two_stage.cpu_budget(model, steps=80, rate=0.01, dropout=0.0)
    before: dict[str, np.ndarray] = {}
    for index, phase in enumerate(schedule.phases):
        before = {v.path: value(v) for v in model.trainable_variables}
        one = training.Schedule(phase.name, (phase,))
        quiet = training.Execution(verbose=0)
        result = training.fit(model, one, feed, out=tmp_path / phase.name, execution=quiet)
        moved = {v.path for v in model.trainable_variables if np.any(before[v.path] != value(v))}
        groups = phase.train if phase.name != "local" else ("local",)
        allowed = {
            v.path for g in groups for layer in model.groups[g] for v in layer.trainable_variables
        }
        assert moved
        assert moved <= allowed, phase.name
        if index == 0:
            assert result.rows[-1]["loss"] < 0.7 * result.rows[0]["loss"]
    names = {path.split("/")[0] for path in moved}
    assert {"view_conv1", "theta_global", "face_conv1", "mouth_conv1", "theta_mouth"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tsr_baseline1", "tsr_baseline2"])
def test_baselines_learn(name, tmp_path) -> None:
    model = made(name)
    images, landmarks = data(side=model.image_size[0])
    feed = training.ArrayFeed(images, landmarks, 8)
    schedule = two_stage.cpu_budget(model, steps=40, dropout=0.0)
    quiet = training.Execution(verbose=0)
    result = training.fit(model, schedule, feed, out=tmp_path, execution=quiet)
    assert result.rows[-1]["loss"] < 0.8 * result.rows[0]["loss"]


@pytest.mark.exhaustive
def test_a_killed_run_continues(tmp_path, monkeypatch) -> None:
    """Broken off inside the local step; the result is the uninterrupted run's."""
    images, landmarks = data()
    feed = training.ArrayFeed(images, landmarks, 8)
    quiet = training.Execution(verbose=0)

    def run(folder, stop_after=None):
        model = made()
        schedule = two_stage.cpu_budget(model, steps=20, dropout=0.0)
        if stop_after is not None:
            seen = []
            original = type(feed).stream

            def stream(self, first, epochs, shard=(0, 1)):
                for batch in original(self, first, epochs, shard):
                    seen.append(1)
                    if len(seen) > stop_after:
                        raise RuntimeError("broken off")
                    yield batch

            with monkeypatch.context() as patch:
                patch.setattr(type(feed), "stream", stream)
                with pytest.raises(Exception, match="broken off"):
                    training.fit(model, schedule, feed, out=tmp_path / folder, execution=quiet)
            return None
        training.fit(model, schedule, feed, out=tmp_path / folder, execution=quiet)
        return [value(v) for v in model.trainable_variables]

    whole = run("whole")
    run("killed", stop_after=17)
    resumed = run("killed")
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
