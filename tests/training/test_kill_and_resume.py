"""A real process, killed with SIGKILL in each phase and started again by the same command."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("killable_run.py")
# One run suffers all of these: in phase 1 after its first checkpoint; while the checkpoint of
# phase 1's last epoch is written; between the phases; in phase 2; after the last checkpoint.
MOMENTS = ["batch:1:1", "rename:2", "saved:2", "batch:4:2", "saved:5"]


def launch(backend: str, *arguments: str) -> int:
    root = PROGRAM.parents[2]
    path = os.pathsep.join([str(root), str(root / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": backend}
    return subprocess.run([sys.executable, PROGRAM, *arguments], env=environment).returncode


def numbers(out: Path) -> list[list[float]]:
    with open(out / "history.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    keys = ("loss", "val_nme", "val_nme_0", "val_nme_1", "learning_rate")
    return [[float(row[key]) for key in keys] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend", ["tensorflow", pytest.param("jax", marks=[pytest.mark.jax, pytest.mark.exhaustive])]
)
def test_killed_run_ends_like_the_whole_one(backend: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert launch(backend, str(whole)) == 0
    for moment in MOMENTS:
        assert launch(backend, str(killed), moment) == -signal.SIGKILL, moment
        assert not (killed / "final.npz").exists()
    assert launch(backend, str(killed)) == 0
    np.testing.assert_allclose(numbers(killed), numbers(whole), rtol=1e-5, atol=1e-7)
    with np.load(whole / "final.npz") as expected, np.load(killed / "final.npz") as received:
        assert expected.files == received.files
        for name in expected.files:
            np.testing.assert_allclose(received[name], expected[name], rtol=1e-5, atol=1e-6)
