"""DeepReg's recipes from end to end, on a few real faces."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest


def recipe(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, repository / "recipes" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def faces(real_data: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "300w" / "helen/trainset"
    folder.mkdir(parents=True)
    for annotation in sorted((real_data / "300w_subset/helen/trainset").glob("*.pts"))[:40]:
        for file in (annotation, annotation.with_suffix(".jpg")):
            shutil.copy(file, folder)
    return tmp_path / "300w"


@pytest.mark.exhaustive
def test_train_300w(repository: Path, faces: Path, tmp_path: Path) -> None:
    command = ["--data", str(faces), "--holdout", "8", "--out", str(tmp_path / "out")]
    command += ["--model", "deepreg", "--augment", "deepreg", "--image-size", "64"]
    summary = recipe(repository, "train_300w").main(
        [*command, "--batch-size", "10", "--epochs", "1"]
    )
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    assert stored["nme"] == summary["nme"]
    # Thirty faces teach little beyond their mean shape, but a broken crop or map gives far more.
    assert 0.0 < summary["nme"] < 0.25
    assert len(summary["nme_of_stages"]) == 6


@pytest.mark.slow
def test_stages(
    repository: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    program = recipe(repository, "deepreg_stages")
    out = tmp_path / "out"
    command = ["--data", str(faces), "--holdout", "8", "--out", str(out), "--validation", "6"]
    command += ["--image-size", "64", "--batch-size", "10", "--epochs", "1"]
    assert len(program.main([*command, "--only", "DeepReg"])) == 3
    assert not (out / "table.csv").exists()
    results = program.main(command)
    assert [r.model for r in results[::3]] == list(program.MODELS)
    with open(out / "stages.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * 3 * 6
    counts = {row["faces"]: int(row["count"]) for row in rows}
    assert counts["validation"] == 6
    assert counts["test"] == 8
    with open(out / "table.csv", newline="") as stream:
        table = {row["model"]: float(row["nme_percent"]) for row in csv.DictReader(stream)}
    last = {r.model: 100 * r.bias[-1] for r in results if r.faces == "test"}
    assert table == pytest.approx(last, abs=1e-4)
    # The mean shape, stage 0 of a local model, does not depend on how the rest was learned.
    first = {r.model: r.bias[0] for r in results if r.faces == "test"}
    assert first["SequentialRegLocal"] == pytest.approx(first["DeepRegLocal"], rel=1e-5)
    for name in ("figure_2.png", "figure_4.png"):
        assert (out / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
