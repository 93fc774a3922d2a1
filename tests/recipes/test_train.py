"""The training recipes from end to end, on a few faces and for a few steps."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

SMALL = ["--width", "0.25", "--image-size", "32", "--batch-size", "8", "--epochs", "2"]
RESULT = {
    "nme", "failure_rate", "auc", "macc", "params", "seconds", "versions", "seed", "data",
}  # fmt: skip


def recipe(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, repository / "recipes" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(out: Path, summary: dict, points: int) -> None:
    stored = json.loads((out / "result.json").read_text())
    assert stored == json.loads(json.dumps(summary))
    assert set(stored) >= RESULT
    assert 0.0 < stored["nme"] < 5.0
    assert stored["macc"] > 0
    assert len(stored["nme_of_stages"]) == 3
    # The same faces cropped once from the cache and once from the photographs.
    assert stored["nme_of_stages"][-1] == pytest.approx(stored["nme"], rel=0.05)
    model = keras.saving.load_model(out / "model.keras", compile=False)
    assert model(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, points, 2)
    for name in ("report.html", "history.png", "ced.png", "history.csv"):
        assert (out / name).stat().st_size > 100
    assert "NME" in (out / "report.html").read_text()


@pytest.mark.slow
def test_300w(repository: Path, real_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "300w"
    for name, count in (("afw", 10), ("helen/trainset", 20)):
        (folder / name).mkdir(parents=True)
        for annotation in sorted((real_data / "300w_subset" / name).glob("*.pts"))[:count]:
            for file in (annotation, annotation.with_suffix(".jpg")):
                shutil.copy(file, folder / name)
    out = tmp_path / "out"
    train = recipe(repository, "train_300w")
    command = ["--data", str(folder), "--holdout", "6", "--out", str(out), *SMALL, "--balance"]
    command += ["--validation", "3"]
    summary = train.main(command)
    check(out, summary, 68)
    assert (summary["data"]["held_out"], summary["faces"]) == (3, 6)
    assert summary["faces"] == 6
    assert summary["data"]["train"] + summary["faces"] <= 30
    assert summary["split"] == "held-out faces of 300w"
    again = train.main(command)
    assert again["nme"] == pytest.approx(summary["nme"], rel=1e-5)
    with pytest.raises(ValueError, match="belongs to one configuration"):
        train.main([*command, "--seed", "1"])


@pytest.mark.exhaustive
def test_wflw_without_data_says_so(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = recipe(repository, "train_wflw")
    faces = ["--synthetic-faces", "24", "12", "--validation", "0.25"]
    summary = train.main(["--out", str(tmp_path), *faces, *SMALL, "--schedule", "published"])
    check(tmp_path, summary, 98)
    assert "synthetic faces" in capsys.readouterr().out
    assert summary["split"] == "synthetic test faces"
    assert (summary["data"]["train"], summary["data"]["held_out"], summary["faces"]) == (18, 6, 12)


def test_missing_folder_is_a_message(repository: Path, tmp_path: Path) -> None:
    train = recipe(repository, "train_300w")
    with pytest.raises(FileNotFoundError, match="--data: no such file or folder"):
        train.main(["--data", str(tmp_path / "nothing"), "--out", str(tmp_path)])


def test_unreadable_folder_is_an_error(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    train = recipe(repository, "train_300w")
    with pytest.raises(FileNotFoundError, match="afw"):
        train.main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), *SMALL])
