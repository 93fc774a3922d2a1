"""What training writes and reads: checkpoints, warm starts, TensorBoard files."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
import pytest

from tfalign import callbacks, markup, models, training
from tfalign.training.checkpoint import (
    assign_variables,
    load_checkpoint,
    read_variables,
    save_checkpoint,
)


def test_checkpoint_round_trip(tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = {"model/00000": rng.normal(size=(3, 2)), "seed": np.uint32([1, 2])}
    save_checkpoint(tmp_path / "c.npz", arrays, {"epoch": 3, "best": float("inf")})
    received, state = load_checkpoint(tmp_path / "c.npz")
    assert state == {"epoch": 3, "best": float("inf")}
    for name, array in arrays.items():
        np.testing.assert_array_equal(received[name], array)
        assert received[name].dtype == array.dtype


def test_failed_write_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, {}, {"epoch": 1})

    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(path, {}, {"epoch": 2})
    assert load_checkpoint(path)[1] == {"epoch": 1}


def test_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    with pytest.raises(ValueError, match="Not a training checkpoint"):
        load_checkpoint(tmp_path / "other.npz")


def test_arrays_of_another_model_are_refused() -> None:
    two = [keras.Variable(np.zeros((2, 3))), keras.Variable(np.zeros(4))]
    arrays = read_variables("model", two)
    with pytest.raises(ValueError, match="each of the 1 model variables"):
        assign_variables("model", two[:1], arrays)
    with pytest.raises(ValueError, match=r"shape \(5,\)"):
        assign_variables("model", [two[0], keras.Variable(np.zeros(5))], arrays)


def small(points: int, name: str = "greglref") -> models.GRegLRef:
    return models.GRegLRef(points, (32, 32, 3), 0.25, trunk="mobile", crop="300w", name=name)


def test_warm_start_copies_what_fits(tmp_path: Path) -> None:
    """GRegNet starts GRegLRef: the refinement's layers keep their own values."""
    source = models.GRegNet(68, (32, 32, 3), width=0.25, trunk="mobile", crop="300w")
    target = small(68)
    own = {v.path: np.asarray(v) for v in target.weights}
    source.save(tmp_path / "source.keras")
    report = training.warm_start(target, tmp_path / "source.keras")
    assert {"local_1/kernel", "increment_2/bias"} <= set(report.kept)
    assert {"fc/kernel", "fc/bias"} <= set(report.copied)
    given = {v.path: np.asarray(v) for v in source.weights}
    for variable in target.weights:
        expected = own if variable.path in report.kept else given
        np.testing.assert_array_equal(variable, expected[variable.path], err_msg=variable.path)
    assert set(report.copied) == set(given)
    assert f"{len(given)} variables copied, {len(report.kept)} kept" in report.table()


def test_warm_start_from_another_markup(tmp_path: Path) -> None:
    source, target = small(98), small(68, "other")
    shape = np.random.default_rng(0).uniform(size=(98, 2)).astype(np.float32)
    source.set_mean_shape(shape)
    source.save(tmp_path / "source.keras")
    training.warm_start(target, tmp_path / "source.keras")
    expected = markup.convert(shape, markup.WFLW98, markup.IBUG68)
    received = np.asarray(target.get_layer("fc").bias).reshape(68, 2)
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_warm_start_refusals(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing.keras"):
        training.warm_start(small(68), tmp_path / "nothing.keras")
    (tmp_path / "weights.txt").write_text("")
    with pytest.raises(ValueError, match="'.keras' or a '.weights.h5'"):
        training.warm_start(small(68), tmp_path / "weights.txt")


def test_tensorboard_file_holds_the_numbers(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    log = callbacks.ScalarLog(str(tmp_path), first_epoch=10)
    log.on_epoch_end(0, {"loss": 0.5, "val_nme": 0.25})
    log.on_epoch_end(1, {"loss": 0.125})
    log.on_train_end()
    (file,) = tmp_path.glob("events.out.tfevents.*")
    events = [
        tf.compat.v1.Event.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(file))
    ]
    assert events[0].file_version == "brain.Event:2"
    found = {(e.step, v.tag): v.simple_value for e in events[1:] for v in e.summary.value}
    assert found == {(10, "loss"): 0.5, (10, "val_nme"): 0.25, (11, "loss"): 0.125}
