"""An architecture of one's own trains, evaluates, exports and is counted by commands alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cli.test_failures import faces_of_300w

OWN = ["--import", "own_architecture"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module and twelve small faces in 300-W's layout."""
    made = tmp_path_factory.mktemp("application")
    (made / "own_architecture.py").write_bytes(
        Path(__file__).with_name("own_architecture.py").read_bytes()
    )
    rng = np.random.default_rng(0)
    faces_of_300w(made / "data", [rng.integers(0, 255, (90, 110, 3), "u1") for _ in range(12)])
    return made


def tfalign(repository: Path, folder: Path, *words: str) -> tuple[int, str, str]:
    """Runs the command in a process of its own, in the application's folder."""
    done = subprocess.run(
        [sys.executable, str(repository / "tfalign_command.py"), *words],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_by_commands(repository: Path, folder: Path) -> None:
    def run(*words: str) -> Any:
        code, out, err = tfalign(repository, folder, *words, *OWN, "--json")
        assert code == 0, err
        assert "I0000" not in err
        return json.loads(out)

    trained = run("train", "300w", "--data", "data", "--holdout", "3", "--validation", "2",
                  "--model", "plain", "--image-size", "32", "--set", "channels=5", "--steps", "2",
                  "--batch-size", "3", "--out", "run")  # fmt: skip
    assert (trained["faces"], trained["data"]["held_out"]) == (3, 2)
    again = run("evaluate", "--model", "run/model.keras", "--dataset", "300w", "--data", "data",
                "--split", "helen/trainset", "--last", "3", "--out", "evaluated")  # fmt: skip
    assert again["nme"] == pytest.approx(trained["nme"], rel=1e-5)
    counted = run("macc", "run/model.keras", "--totals")
    # 8×8 outputs of 3×3×3 by 5, 2×2 of 3×3×5 by 5, then 2×2×5 by 136.
    assert counted["reports"][0]["macc"] == 8 * 8 * 27 * 5 + 2 * 2 * 45 * 5 + 20 * 136
    assert run("export", "run/model.keras", "--out", "exported")["passed"] is True


@pytest.mark.slow
def test_without_the_import_the_name_is_unknown(repository: Path, folder: Path) -> None:
    words = ["train", "300w", "--data", "data", "--holdout", "3", "--model", "plain", "--out", "no"]
    code, _, err = tfalign(repository, folder, *words)
    assert code == 2
    assert err.count("\n") == 1
    assert "--import MODULE" in err
    assert not (folder / "no").exists()
    code, _, err = tfalign(repository, folder, *words, "--import", "nothing_there")
    assert (code, err.count("\n")) == (2, 1)
    assert "--import must name a module" in err


@pytest.mark.slow
def test_unreadable_pictures_leave_no_folder(repository: Path, folder: Path) -> None:
    assert cv2.imread(str(folder / "data/helen/trainset/0_1.png")) is not None
    code, _, err = tfalign(
        repository, folder, "train", "300w", "--data", "data", "--schedule", "none.json",
        "--holdout", "3", "--image-size", "32", "--batch-size", "2", "--out", "below/out",
    )  # fmt: skip
    assert code == 2
    assert "none.json" in err
    assert not (folder / "below").exists()
