"""Two devices or two processes train like one with the same global batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tfalign import training
from tfalign.training import Distribution

PROGRAM = Path(__file__).with_name("parallel_run.py")


def start(backend: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    root = PROGRAM.parents[2]
    path = os.pathsep.join([str(root), str(root / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": backend, **variables}
    return subprocess.Popen([sys.executable, PROGRAM, *arguments], env=environment)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def same_training(one: Path, two: Path) -> None:
    with np.load(one / "final.npz") as expected, np.load(two / "final.npz") as received:
        assert (expected["replicas"], received["replicas"]) == (1, 2)
        np.testing.assert_allclose(received["rows"], expected["rows"], rtol=2e-4)
        for name in set(expected.files) - {"rows", "replicas"}:
            np.testing.assert_allclose(received[name], expected[name], rtol=2e-3, atol=2e-4)


@pytest.mark.slow
def test_mirrored_over_two_devices(tmp_path: Path) -> None:
    """With synchronised batch normalisation; without it each device uses its own statistics."""
    runs = [
        start("tensorflow", str(tmp_path / strategy), strategy) for strategy in ("none", "mirrored")
    ]
    assert [run.wait(timeout=600) for run in runs] == [0, 0]
    same_training(tmp_path / "none", tmp_path / "mirrored")


@pytest.mark.slow
@pytest.mark.jax
@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.exhaustive), 2])
def test_data_parallel_over_devices_and_processes(processes: int, tmp_path: Path) -> None:
    """One process with two devices, or two processes with one each."""
    flags = "" if processes == 2 else "--xla_force_host_platform_device_count=2"
    address = ("", "1") if processes == 1 else (f"127.0.0.1:{free_port()}", "2")
    variables = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    runs = [start("jax", str(tmp_path / "one"), "none", JAX_PLATFORMS="cpu")]
    runs += [
        start("jax", str(tmp_path / "two"), "data_parallel", *address, str(process), **variables)
        for process in range(processes)
    ]
    assert [run.wait(timeout=600) for run in runs] == [0] * len(runs)
    same_training(tmp_path / "one", tmp_path / "two")


def test_devices_that_do_not_exist() -> None:
    """TensorFlow would wait for them for ever; the help names GPUs, which few machines have."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("mirrored is TensorFlow's")
    for devices in (["GPU:77"], ["CPU:0", "/device:GPU:9"], ["cpu:0", "CPU:0"], ["one"]):
        with pytest.raises(ValueError, match="`devices` must be different ones of .*CPU:0"):
            training.connect("mirrored", devices)
    assert training.connect("mirrored", ["cpu:0"]).replicas == 1


def test_batch_must_divide() -> None:
    with pytest.raises(ValueError, match="evenly over 3 devices"):
        Distribution("mirrored", replicas=3).shard(8)
    assert Distribution("data_parallel", 4, process=1, processes=2).shard(8) == (1, 2)


def test_strategy_of_another_back_end() -> None:
    wrong = {"tensorflow": "data_parallel", "jax": "mirrored"}[keras.backend.backend()]
    with pytest.raises(ValueError, match="back end"):
        training.connect(wrong)
    with pytest.raises(ValueError, match="data_parallel"):
        training.connect("none", processes=2)
