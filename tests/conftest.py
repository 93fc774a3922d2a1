"""Fixtures that every room's tests share, and the threads of the libraries under test."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

# Before any test imports them: the images are small, so more threads only add overhead and, on a
# shared machine, noise; beside other workers of pytest-xdist one is best. A user's value wins.
_threads = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
for _variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_variable, _threads)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np  # noqa: E402 (after the variables that it reads)
import pytest  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]


def _find_real_data() -> Path | None:
    """Returns the folder of the real data sets, from TFALIGN_DATA or beside the repository."""
    named = os.environ.get("TFALIGN_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets; tests that use it are skipped where it is absent."""
    folder = _find_real_data()
    if folder is None:
        pytest.skip("real data sets not found: set TFALIGN_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of reported inputs beside the real data; where it is absent, tests are skipped."""
    data = _find_real_data()
    folder = None if data is None else data.parent / "cases"
    if folder is None or not folder.is_dir():
        pytest.skip("the folder of reported cases is not beside the real data")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator that starts alike in every test."""
    return np.random.default_rng(20190616)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what uses the real data, and skips what needs JAX where it is not installed."""
    without_jax = importlib.util.find_spec("jax") is None
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real)
        if without_jax and item.get_closest_marker("jax"):
            item.add_marker(pytest.mark.skip(reason="JAX is not installed"))
