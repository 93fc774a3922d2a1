"""What training writes and reads: checkpoints and TensorBoard files."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
import pytest

from tfalign import callbacks
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
