"""CCNN's recipes from end to end, on a few synthetic and real faces."""

from __future__ import annotations

import csv
import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tfalign import macc
from tfalign.data.synthetic import write_wflw


def recipe(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, repository / "recipes" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # `dataclasses` looks annotations up in the module's own entry.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def faces(real_data: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "300w" / "helen/trainset"
    folder.mkdir(parents=True)
    for annotation in sorted((real_data / "300w_subset/helen/trainset").glob("*.pts"))[:30]:
        for file in (annotation, annotation.with_suffix(".jpg")):
            shutil.copy(file, folder)
    return tmp_path / "300w"


@pytest.mark.exhaustive
def test_ablation(
    repository: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "ccnn_ablation", None)
    program = recipe(repository, "ccnn_ablation")
    rendered = write_wflw(tmp_path / "faces", 12, 6, size=96, workers=1, progress=False)
    out = tmp_path / "out"
    command = ["--data", str(faces), "--holdout", "6", "--synthetic", str(rendered)]
    command += ["--out", str(out), "--units", "0", "1", "--image-size", "32", "--width", "0.125"]
    command += ["--batch-size", "6", "--synthetic-steps", "2", "--steps", "4"]
    first = program.main([*command, "--only", "1"])
    assert not (out / "table.csv").exists()
    rows = program.main(command)
    assert [(r.faces, r.units, r.stage) for r in rows] == [
        (name, units, stage)
        for name in ("synthetic", "photographs")
        for units, stages in ((0, ("P0",)), (1, ("P0", "P1", "P1 + dP1")))
        for stage in stages
    ]
    # The runs of the first command were found done, not repeated.
    again = [row for row in rows if row.units == 1]
    assert [r.ocular.nme for r in again] == pytest.approx([r.ocular.nme for r in first])
    with open(out / "table.csv", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [int(row["count"]) for row in table] == [6] * 8
    for row, entry in zip(rows, table, strict=True):
        assert float(entry["nle_ocular_percent"]) == pytest.approx(100 * row.ocular.nme, abs=1e-4)
        # Pupils are nearer to each other than outer corners.
        assert row.pupil.nme > row.ocular.nme
        assert row.ocular.threshold == 0.08
    wide = program.make(program.options().parse_args([*command, "--filters", "paper"]), 1)
    assert macc.count(wide).macc > rows[-1].macc
    for name in ("figure_11.png", "ced_0.png", "ced_1.png"):
        assert (out / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.exhaustive
def test_train_300w(repository: Path, faces: Path, tmp_path: Path) -> None:
    command = ["--data", str(faces), "--holdout", "6", "--out", str(tmp_path / "out")]
    command += ["--model", "ccnn", "--width", "0.125", "--augment", "ccnn", "--image-size", "32"]
    summary = recipe(repository, "train_300w").main(
        [*command, "--batch-size", "8", "--epochs", "2"]
    )
    assert len(summary["nme_of_stages"]) == 5
    assert summary["nme"] > 0
    assert summary["macc"] > 0
    assert (tmp_path / "out" / "model.keras").exists()
