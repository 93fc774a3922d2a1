"""The runner: phases, resumption, refusals."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from training import tiny

from tfalign import markup, training
from tfalign.data.pipeline import CropCache
from tfalign.data.synthetic import render
from tfalign.evaluation.protocols import own_protocol
from tfalign.geometry import CROP_PRESETS
from tfalign.training import CallbackSpec, Execution, LossTerm, Schedule
from tfalign.training.compiling import compile_phase
from tfalign.training.progress import PhaseBar

QUIET = Execution(verbose=0)


def run(out: Path, schedule: Schedule | None = None, **arguments: Any) -> tuple[Any, Any]:
    """Trains a freshly made model, as a restarted program would."""
    keras.utils.set_random_seed(7)
    model = tiny.Tiny()
    arguments = {"train": tiny.feed(), "validation": tiny.validation(), **arguments}
    result = training.fit(model, schedule or tiny.schedule(), out=out, execution=QUIET, **arguments)
    return model, result


class Interrupted(Exception):
    pass


class StopsAt(training.ArrayFeed):
    """A feed that breaks off before one batch of one epoch."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(*tiny.arrays(), tiny.BATCH, 1)
        self.stop = (epoch, step)

    def stream(self, first_epoch: int, epochs: int, shard: Any = (0, 1)) -> Iterator[Any]:
        for count, batch in enumerate(super().stream(first_epoch, epochs, shard)):
            epoch, step = divmod(count, self.steps_per_epoch)
            if (first_epoch + epoch, step) == self.stop:
                raise Interrupted("Interrupted")
            yield batch


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """An uninterrupted run: folder, model, result."""
    out = tmp_path_factory.mktemp("whole")
    return out, *run(out)


def same_weights(model: Any, other: Any) -> None:
    pairs = zip(model.training_model.variables, other.training_model.variables, strict=True)
    for variable, twin in pairs:
        np.testing.assert_allclose(variable, twin, rtol=1e-5, atol=1e-6, err_msg=variable.path)


def comparable(rows: list[dict[str, Any]]) -> list[float]:
    skipped = ("phase", "seconds")
    return [row[key] for row in rows for key in sorted(row) if key not in skipped]


def test_run_records_every_epoch(whole: tuple) -> None:
    out, _, result = whole
    assert [row["epoch"] for row in result.rows] == list(range(sum(tiny.EPOCHS)))
    assert [row["phase"] for row in result.rows] == ["joint"] * 3 + ["refinement"] * 3
    with open(out / "history.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in result.rows]
    assert result.best_nme == min(row["val_nme"] for row in result.rows)
    assert result.rows[result.best_epoch]["val_nme"] == result.best_nme
    assert result.rows[0]["val_nme"] == result.rows[0]["val_nme_1"]


def test_an_epochs_line_names_its_phase(capsys: pytest.CaptureFixture) -> None:
    bar = PhaseBar("refinement", first_epoch=3, epochs=6)
    bar.set_params({"verbose": 2, "epochs": 3, "steps": 1})
    bar.on_epoch_begin(1)
    assert capsys.readouterr().out == "Epoch 5/6, refinement\n"


def test_last_row_describes_the_returned_weights(whole: tuple) -> None:
    _, model, result = whole
    held = tiny.validation()
    points = keras.ops.convert_to_numpy(model(held.images)) * 100 + np.float32([7, -3])
    errors = np.linalg.norm(points - held.landmarks, axis=-1).mean(axis=1)
    spans = np.linalg.norm(held.landmarks[:, 36] - held.landmarks[:, 45], axis=-1)
    assert result.rows[-1]["val_nme"] == pytest.approx((errors / spans).mean(), rel=1e-5)


# Just begun; inside phase 1; between the phases; inside phase 2, before and after a reduced rate.
@pytest.mark.parametrize(
    "stop",
    [
        (4, 1),
        *(pytest.param(at, marks=pytest.mark.slow) for at in ((0, 1), (1, 2), (3, 0), (5, 2))),
    ],
)
def test_interrupted_run_ends_like_the_whole_one(stop: tuple, whole: tuple, tmp_path: Path) -> None:
    _, expected, expected_result = whole
    with pytest.raises(Exception, match="Interrupted"):
        run(tmp_path, train=StopsAt(*stop))
    model, result = run(tmp_path)
    same_weights(model, expected)
    np.testing.assert_allclose(
        comparable(result.rows), comparable(expected_result.rows), rtol=1e-5, atol=1e-7
    )
    assert result.best_epoch == expected_result.best_epoch


def test_finished_run_is_only_loaded(whole: tuple) -> None:
    out, expected, expected_result = whole
    model, result = run(out, train=StopsAt(0, 0))
    same_weights(model, expected)
    assert result.rows == expected_result.rows


def test_batches_depend_on_seed_and_epoch_only() -> None:
    late = [images for images, _ in tiny.feed().stream(2, 1)]
    through = [images for images, _ in tiny.feed().stream(0, 3)][-len(late) :]
    np.testing.assert_array_equal(late, through)
    assert not np.array_equal(late, [images for images, _ in tiny.feed(seed=2).stream(2, 1)])
    assert not np.array_equal(late, [images for images, _ in tiny.feed().stream(1, 1)])
    parts = [list(tiny.feed().stream(2, 1, (worker, 2))) for worker in (0, 1)]
    for batch, first, second in zip(late, *parts, strict=True):
        both = np.concatenate([first[0], second[0]])
        assert {face.tobytes() for face in both} == {face.tobytes() for face in batch}


def test_second_phase_moves_its_group_alone(tmp_path: Path, whole: tuple) -> None:
    first = dataclasses.replace(tiny.schedule(), phases=tiny.schedule().phases[:1])
    before, _ = run(tmp_path, first)
    _, after, _ = whole
    moved = {
        variable.path.split("/")[-2]
        for variable, twin in zip(
            before.training_model.weights, after.training_model.weights, strict=True
        )
        if not np.array_equal(variable, twin)
    }
    # The statistics of the frozen batch normalisation stay, too.
    assert moved == {"increment"}
    assert after.get_layer("dropped").rate == 0.4
    assert all(layer.trainable for layer in after.layers)


def test_plateau_lowers_the_rate_of_the_second_phase(whole: tuple) -> None:
    rates = [row["learning_rate"] for row in whole[2].rows if row["phase"] == "refinement"]
    # Logged before the rule acts: the first epoch is always good, then no epoch gains 50 %.
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 5e-5], rtol=1e-6)


def test_averaged_weights_are_the_phase_result(tmp_path: Path) -> None:
    first = tiny.schedule().phases[0]
    averaged, _ = run(tmp_path / "a", Schedule("a", (first,)))
    paths = [variable.path for variable in averaged.training_model.variables]
    with np.load(tmp_path / "a" / "checkpoint.npz") as stored:
        raw = stored[f"model/{paths.index('fc/kernel'):05d}"]
    raw_optimizer = dataclasses.replace(first.optimizer, ema=None)
    plain = dataclasses.replace(first, optimizer=raw_optimizer)
    model, _ = run(tmp_path / "b", Schedule("a", (plain,)))
    kernel = (model.get_layer("fc").kernel, averaged.get_layer("fc").kernel)
    # Averaging does not disturb training: the raw weights in the checkpoint are those of the run
    # without it, and the result differs from them.
    np.testing.assert_allclose(raw, kernel[0], rtol=1e-5, atol=1e-6)
    assert not np.allclose(kernel[0], kernel[1], rtol=1e-4)


def test_best_weights_are_kept_and_returned(tmp_path: Path) -> None:
    climbing = dataclasses.replace(
        tiny.schedule(ema=None).phases[0],
        learning_rate=training.LearningRateSpec(1e-3, "piecewise", boundaries=(3,), values=(5.0,)),
    )
    model, result = run(tmp_path, Schedule("up", (climbing,)), keep="best")
    assert result.best_epoch == 0
    assert result.rows[-1]["val_nme"] > result.best_nme
    held = tiny.validation()
    nme = held.measure(lambda images: np.asarray(model.stage_shapes(images)))["val_nme"]
    assert nme == pytest.approx(result.best_nme, rel=1e-5)


def test_a_run_without_its_best_weights_is_not_continued_as_if_it_had_them(tmp_path: Path) -> None:
    phase = dataclasses.replace(tiny.schedule(ema=None).phases[0], epochs=1)
    run(tmp_path, Schedule("one", (phase,)), keep="best")
    (tmp_path / "best.npz").unlink()  # as where the checkpoint alone was copied
    with pytest.raises(FileNotFoundError, match=r"best\.npz.*epoch 0"):
        run(tmp_path, Schedule("one", (phase,)), keep="best")


def test_early_stop_ends_the_phase_also_after_a_restart(tmp_path: Path) -> None:
    joint, fine = tiny.schedule().phases
    stuck = dataclasses.replace(
        joint,
        patience=0,
        epochs=9,
        learning_rate=training.LearningRateSpec(1e-30),
        optimizer=training.OptimizerSpec("sgd", momentum=0.0),
        switches={"dropout": 0.0},
        train=("refinement",),
    )
    schedule = Schedule("stop", (stuck, fine))
    with pytest.raises(Exception, match="Interrupted"):
        run(tmp_path, schedule, train=StopsAt(9, 1))
    assert json.loads(_state(tmp_path))["progress"]["stopped"]
    _, result = run(tmp_path, schedule)
    phases = [row["phase"] for row in result.rows]
    assert 1 < phases.count("joint") < 9
    # Epochs of the next phase are numbered, and their data drawn, as if none had been left out.
    assert [row["epoch"] for row in result.rows if row["phase"] == "refinement"] == [9, 10, 11]


def _state(out: Path) -> str:
    with np.load(out / "checkpoint.npz") as stored:
        return stored["state.json"].tobytes().decode()


def test_start_runs_once_and_before_the_first_step(tmp_path: Path) -> None:
    class Started(tiny.Tiny):
        calls = 0

        def to_mean(self, train: Any) -> None:
            type(self).calls += 1
            self.get_layer("fc").bias.assign(train.landmarks.mean(axis=0).reshape(-1))

    phase = dataclasses.replace(tiny.schedule().phases[0], epochs=0, start="to_mean")
    for _ in range(2):
        keras.utils.set_random_seed(7)
        model = Started()
        training.fit(model, Schedule("start", (phase,)), tiny.feed(), out=tmp_path, execution=QUIET)
    assert Started.calls == 1
    mean = tiny.arrays()[1].mean(axis=0).reshape(-1)
    np.testing.assert_allclose(model.get_layer("fc").bias, mean, rtol=1e-6)


def test_other_configuration_is_refused(whole: tuple) -> None:
    out, _, _ = whole
    joint, fine = tiny.schedule().phases
    other = Schedule("tiny", (dataclasses.replace(joint, epochs=5), fine))
    with pytest.raises(
        ValueError, match=r"(?s)belongs to one configuration.*phases\[0\].epochs: there 3, wanted 5"
    ):
        run(out, other)
    with pytest.raises(ValueError, match=r"train\.seed: there 1, wanted 2"):
        run(out, train=tiny.feed(seed=2))
    with pytest.raises(ValueError, match="identity.seed: there '\\(absent\\)', wanted 5"):
        run(out, identity={"seed": 5})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": ("nose",)}, r"(?s)groups of the model.*'refinement'.*\('nose',\)"),
        ({"losses": {"heatmaps": LossTerm()}}, "losses for .'heatmaps'."),
        ({"callbacks": (CallbackSpec("Nothing"),)}, "callback='Nothing'"),
        ({"switches": {"noise": 1}}, "switch='noise'"),
        ({"switches": {"dropout": 1.5}}, "dropout=1.5"),
    ],
)
def test_wrong_phases(change: dict, message: str, tmp_path: Path) -> None:
    phase = dataclasses.replace(tiny.schedule().phases[0], **change)
    with pytest.raises(ValueError, match=message):
        run(tmp_path, Schedule("wrong", (phase,)))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"rate_factors": {"fc/": 0.1, "incremnt": 0.1}}, r"rate_factors.*\['incremnt'\].*'conv/"),
        # Ours belong to an architecture of which this model has no layer.
        ({"rate_factors": {"coarse_": 0.1, "theta_": 0.1}}, r"\['coarse_', 'theta_'\]"),
        ({"decay_exclude": ("bias", "head/")}, r"decay_exclude.*\['head/'\]"),
        ({"rate_factors": {"fc/": 0.1, "local_": 0.1}}, None),
        ({"decay_exclude": ("bias", "gamma", "beta", "alpha")}, None),
    ],
)
def test_parts_that_no_path_has_are_told(fields: dict, told: str | None) -> None:
    usual = tiny.schedule().phases[0]
    phase = dataclasses.replace(usual, optimizer=training.OptimizerSpec("adamw", **fields))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compile_phase(tiny.Tiny(), phase, 1, 1, training.Distribution(), Execution())
    messages = [str(w.message) for w in caught if "no variable's path" in str(w.message)]
    if told is None:
        assert not messages
    else:
        assert re.search(told, *messages)


def test_a_loss_that_explodes_is_an_error_not_a_checkpoint(tmp_path: Path) -> None:
    wild = dataclasses.replace(
        tiny.schedule(ema=None).phases[1],
        learning_rate=training.LearningRateSpec(1e30),
        switches={"dropout": 0.0},
    )
    with pytest.raises(FloatingPointError, match="not finite"):
        run(tmp_path, Schedule("wild", (wild,)))
    assert not (tmp_path / "checkpoint.npz").exists()


def test_weights_that_explode_in_the_last_step_are_an_error_not_a_result(tmp_path: Path) -> None:
    """Its loss is of the weights before it, and without validation nothing else looks at them."""
    wild = dataclasses.replace(
        tiny.schedule(ema=None).phases[1],
        losses={"stages": LossTerm("l2", weight=1e9)},
        learning_rate=training.LearningRateSpec(1e38),
        optimizer=training.OptimizerSpec("sgd"),
        switches={"dropout": 0.0},
        epochs=1,
    )
    one_step = training.ArrayFeed(*tiny.arrays(tiny.BATCH), tiny.BATCH)
    with pytest.raises(FloatingPointError, match=r"weights are not finite.*epoch=0, increment"):
        run(tmp_path, Schedule("wild", (wild,)), train=one_step, validation=None)
    assert not (tmp_path / "checkpoint.npz").exists()


@pytest.mark.slow
def test_epochs_never_share_a_call(tmp_path: Path) -> None:
    """Three steps an epoch: groups of two would take a batch of the next epoch."""
    keras.utils.set_random_seed(7)
    grouped = training.fit(
        tiny.Tiny(),
        tiny.schedule(),
        tiny.feed(),
        tiny.validation(),
        out=tmp_path / "grouped",
        execution=Execution(verbose=0, steps_per_execution=2, checkpoint_every=2),
    )
    _, single = run(tmp_path / "single")
    np.testing.assert_allclose(comparable(grouped.rows), comparable(single.rows), rtol=1e-5)


def test_crops_of_another_convention_are_refused(tmp_path: Path) -> None:
    faces = [render(0, index, size=64) for index in range(4)]
    cache = CropCache.build(faces, "wflw", (tiny.SIDE, tiny.SIDE)).convert("ibug68")
    feed = training.CacheFeed(cache, 4, "none")
    with pytest.raises(ValueError, match=r"model\.crop=.*0\.1, 0\.1, 0\.1, 0\.1"):
        training.fit(tiny.Tiny(), tiny.schedule(), feed, out=tmp_path / "run", execution=QUIET)
    assert not (tmp_path / "run").exists()


def test_points_of_another_scheme_are_refused_where_their_number_agrees(tmp_path: Path) -> None:
    """Nothing later would tell: the model would be saved with the names of other points."""
    faces = [render(0, index, size=64) for index in range(4)]
    cache = CropCache.build(faces, "300w", (tiny.SIDE, tiny.SIDE)).convert("ibug68")
    names = markup.IBUG68.points
    turned = markup.LandmarkScheme(
        "turned", (*names[1:], names[0]), flip_pairs=None, normalizer=((35,), (44,))
    )
    other = dataclasses.replace(cache, scheme=turned)
    told = rf"'turned' of 68 points.*'ibug68' of 68; point 0 is '{names[1]}' there and '{names[0]}'"
    with pytest.raises(ValueError, match=f"training faces.*{told}"):
        run(tmp_path, train=training.CacheFeed(other, 4, "none"))
    with pytest.raises(ValueError, match=r"scores the scheme 'ibug68'.*'turned'"):
        training.Validation.from_cache(other, "300w_inter_ocular")
    watched = dataclasses.replace(tiny.validation(), protocol=own_protocol(turned))
    with pytest.raises(ValueError, match=f"validation faces.*{told}"):
        run(tmp_path, validation=watched)
    watched = dataclasses.replace(tiny.validation(), crop=CROP_PRESETS["wflw"])
    with pytest.raises(ValueError, match=r"validation crops.*model\.crop="):
        run(tmp_path, validation=watched)


def test_stages_that_move_all_faces_alike_are_told() -> None:
    held = tiny.validation()
    rng = np.random.default_rng(0)
    shift = rng.uniform(0, 0.1, held.landmarks.shape[1:])

    def predict(images: np.ndarray) -> np.ndarray:
        first = rng.uniform(0, 1, (len(images), *shift.shape)).astype(np.float32)
        second = first + shift.astype(np.float32)
        third = second + rng.normal(0, 1e-3, second.shape).astype(np.float32)
        return np.stack([first, second, third], axis=1)

    assert held.idle_stages(predict) == [1]


def test_a_finished_run_is_told_from_a_killed_one(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Interrupted"):
        run(tmp_path, train=StopsAt(4, 1))
    assert not run(tmp_path)[1].finished_before
    assert run(tmp_path)[1].finished_before


def test_another_schedule_in_a_finished_runs_folder_is_told_how_to_go_on(tmp_path: Path) -> None:
    model, _ = run(tmp_path)
    phases = tiny.schedule().phases
    more = dataclasses.replace(phases[-1], name="more")
    longer = dataclasses.replace(tiny.schedule(), phases=(*phases, more))
    with pytest.raises(ValueError, match="give a new folder") as without:
        run(tmp_path, longer)
    assert "--init-weights" not in str(without.value)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=f"--init-weights {tmp_path / 'model.keras'}"):
        run(tmp_path, longer)
