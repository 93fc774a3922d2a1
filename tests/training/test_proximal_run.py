"""Proximal updates in the runner: taken out of the optimizer, given data, resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from training import tiny
from training.test_runner import QUIET, StopsAt, comparable, same_weights

from tfalign import training
from tfalign.training import Schedule

ROOT = Path(__file__).parents[2]
UPDATED = ("increment/kernel", "increment/bias")


def run(out: Path, schedule: Schedule | None = None, feed: Any = None) -> tuple[Any, Any]:
    keras.utils.set_random_seed(7)
    model = tiny.Tiny()
    schedule = schedule or tiny.sparse_schedule()
    arguments = {"train": feed or tiny.feed(), "validation": tiny.validation(), "out": out}
    return model, training.fit(model, schedule, execution=QUIET, **arguments)


def environment(backend: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    return run(tmp_path_factory.mktemp("whole"))


def test_alternation_is_reported_and_hands_its_variables_back(whole: tuple) -> None:
    model, result = whole
    rows = result.rows[:5]
    # Every second epoch of five: nothing before the first one, then the last one's numbers.
    assert "proximal_objective" not in rows[0]
    assert rows[1]["proximal_objective"] == rows[2]["proximal_objective"]
    assert rows[3]["proximal_objective"] == rows[4]["proximal_objective"]
    sparsity = [row["sparsity/increment/kernel"] for row in rows]
    assert sparsity[0] == 0.0
    assert 0.2 < sparsity[1] == sparsity[2]
    # An optimizer, decay or averaging between the updates would have moved zeros.
    assert 0.2 < sparsity[3] == sparsity[4] < 1.0
    # The next phase trains the same layer by its optimizer.
    kernel = keras.ops.convert_to_numpy(model.get_layer("increment").kernel)
    assert np.mean(kernel == 0.0) < sparsity[4]
    assert all(v.trainable for v in model.get_layer("increment").trainable_variables)
    assert {v.path for v in model.trainable_variables} >= set(UPDATED)


def test_checkpoint_holds_no_moments_of_the_variables(tmp_path: Path) -> None:
    only = Schedule("only", tiny.sparse_schedule().phases[:1])
    model, result = run(tmp_path, only)
    names = [v.path for v in model.trainable_variables]
    with np.load(tmp_path / "checkpoint.npz") as stored:
        shapes = [stored[name].shape for name in stored.files if name.startswith("optimizer/")]
        np.testing.assert_array_equal(stored["callback/0/v"].shape, (2,))
    assert set(UPDATED) <= set(names)
    # Another layer's kernel has the same shape: two moments and the average are its.
    assert model.get_layer("fc").kernel.shape == model.get_layer("increment").kernel.shape
    assert shapes.count(tuple(model.get_layer("fc").kernel.shape)) == 3
    kernel = keras.ops.convert_to_numpy(model.get_layer("increment").kernel)
    assert result.rows[-1]["sparsity/increment/kernel"] == np.mean(kernel == 0.0) > 0.2


# Before the first alternation; between two; after the last one; in the next phase.
@pytest.mark.slow
@pytest.mark.parametrize("stop", [(1, 1), (2, 2), (4, 1), (5, 1)])
def test_interrupted_run_ends_like_the_whole_one(stop: tuple, whole: tuple, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Interrupted"):
        run(tmp_path, feed=StopsAt(*stop))
    model, result = run(tmp_path)
    same_weights(model, whole[0])
    np.testing.assert_allclose(
        comparable(result.rows), comparable(whole[1].rows), rtol=1e-5, atol=1e-7
    )


@pytest.mark.slow
def test_counted_steps_go_on_after_an_interruption(tmp_path: Path) -> None:
    """Every 4 of the 15 steps; the interruption comes in the epoch after steps 4 and before 8."""
    schedule = tiny.sparse_schedule(cadence="step", every=4)
    expected, expected_result = run(tmp_path / "whole", schedule)
    with pytest.raises(Exception, match="Interrupted"):
        run(tmp_path / "part", schedule, StopsAt(2, 1))
    model, result = run(tmp_path / "part", schedule)
    same_weights(model, expected)
    assert result.rows[0]["sparsity/increment/kernel"] == 0.0
    objectives = [row["proximal_objective"] for row in result.rows[1:5]]
    assert len(set(objectives)) == 3
    np.testing.assert_allclose(
        objectives, [row["proximal_objective"] for row in expected_result.rows[1:5]], rtol=1e-5
    )


@pytest.mark.slow
def test_killed_in_the_midst_of_an_alternation(whole: tuple, tmp_path: Path) -> None:
    """By the operating system, when the second alternation has begun to draw its batches."""
    program = ROOT / "tests" / "training" / "killable_run.py"
    command = [sys.executable, program, tmp_path, "draw:3", "sparse_schedule"]
    done = subprocess.run(command, env=environment(keras.backend.backend()))
    assert done.returncode == -signal.SIGKILL
    model, result = run(tmp_path)
    same_weights(model, whole[0])
    np.testing.assert_allclose(
        comparable(result.rows), comparable(whole[1].rows), rtol=1e-5, atol=1e-7
    )


@pytest.mark.exhaustive
@pytest.mark.jax
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="runs everything above on JAX")
def test_jax() -> None:
    """All tests of this file in a process on JAX."""
    pytest.importorskip("jax")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, cwd=ROOT, env=environment("jax"), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
