"""DSSD's tables from end to end, on a few real faces."""

from __future__ import annotations

import csv
import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tfalign.models.saved import load_model


@pytest.fixture
def program(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location(
        "dssd_tables", repository / "recipes" / "dssd_tables.py"
    )
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    monkeypatch.setitem(sys.modules, "dssd_tables", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def faces(real_data: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "300w" / "helen/trainset"
    folder.mkdir(parents=True)
    for annotation in sorted((real_data / "300w_subset/helen/trainset").glob("*.pts"))[:36]:
        for file in (annotation, annotation.with_suffix(".jpg")):
            shutil.copy(file, folder)
    return tmp_path / "300w"


@pytest.mark.slow
def test_tables(program: ModuleType, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["--data", str(faces), "--holdout", "8", "--out", str(out), "--validation", "4"]
    command += ["--image-size", "64", "--width", "0.05", "--batch-size", "12"]
    command += ["--initial-steps", "2", "--steps", "6"]
    first = program.main([*command, "--only", "dssd"])
    assert [row["model"] for row in first] == ["dssd"]
    assert not (out / "figure_9.png").exists()
    rows = program.main([*command, "--only", "no_p", "sequential", "rdssd_star"])
    assert [row["model"] for row in rows] == ["dssd", "no_p", "rdssd_star", "sequential"]
    assert rows[0] == first[0]
    with open(out / "table.csv", newline="") as stream:
        assert [row["model"] for row in csv.DictReader(stream)] == [row["model"] for row in rows]
    assert (out / "figure_9.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    # Every row starts from the same initial shape.
    assert {row["nme_of_stages"].split()[0] for row in rows} == {
        rows[0]["nme_of_stages"].split()[0]
    }
    assert float(rows[1]["zeros_p"]) == 0.0
    shared, apart = load_model(out / "rdssd_star/model.keras"), rows[3]
    assert len(apart["zeros_p"].split()) == 2
    assert shared.shared
