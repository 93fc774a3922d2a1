"""The comparison of all architectures from end to end: few faces, tiny models, killed midway."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import hashlib
import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tfalign import macc
from tfalign.cli.train import read_faces
from tfalign.models import ARCHITECTURES


@pytest.fixture
def program(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(repository / "recipes")
    return importlib.import_module("reproduce")


@pytest.fixture
def tiny(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program with two rows that train in seconds."""
    rows = {
        name: dataclasses.replace(program.ROWS[name], image_size=32, width=0.25)
        for name in ("gregnet", "greglref")
    }
    monkeypatch.setattr(program, "ROWS", rows)
    return program


@pytest.fixture
def faces(real_data: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "300w" / "helen/trainset"
    folder.mkdir(parents=True)
    for annotation in sorted((real_data / "300w_subset/helen/trainset").glob("*.pts"))[:40]:
        for file in (annotation, annotation.with_suffix(".jpg")):
            shutil.copy(file, folder)
    return tmp_path / "300w"


def command(faces: Path, out: Path) -> list[str]:
    words = f"--data {faces} --out {out} --holdout 8 --validation 6 --presentations 48"
    return f"{words} --batch-size 8 --latency-runs 2".split()


@pytest.mark.slow
def test_killed_and_continued(
    tiny: ModuleType, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("ai_edge_quantizer")
    out = tmp_path / "out"
    export = tiny.export_and_measure

    def killed(model, *others):
        if Path(model).parent.name == "greglref":
            raise KeyboardInterrupt
        return export(model, *others)

    monkeypatch.setattr(tiny, "export_and_measure", killed)
    with pytest.raises(KeyboardInterrupt):
        tiny.main(command(faces, out))
    assert (out / "gregnet/measured.json").is_file()
    assert (out / "greglref/model.keras").is_file()
    assert not (out / "results.json").exists()
    before = (out / "gregnet/measured.json").stat().st_mtime_ns
    history = (out / "greglref/history.csv").read_text()

    # While another process holds a row, the others' results are written without it.
    with open(out / "greglref/.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        partial = tiny.main(command(faces, out))
    assert list(partial["rows"]) == ["gregnet"]
    assert any("Not finished yet: greglref" in note for note in partial["notes"])

    monkeypatch.setattr(tiny, "export_and_measure", export)
    content = tiny.main(command(faces, out))
    assert (out / "gregnet/measured.json").stat().st_mtime_ns == before
    assert (out / "greglref/history.csv").read_text() == history
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(content))
    check_results(out, content)
    with pytest.raises(ValueError, match="seed: 0 there, 1 now"):
        tiny.main([*command(faces, out), "--seed", "1"])
    monkeypatch.setitem(
        tiny.ROWS, "greglref", dataclasses.replace(tiny.ROWS["greglref"], width=0.5)
    )
    with pytest.raises(ValueError, match=r"width: 0\.25 there, 0\.5 now"):
        tiny.main([*command(faces, out), "--only", "gregnet"])


def check_results(out: Path, content: dict) -> None:
    assert list(content["rows"]) == ["gregnet", "greglref"]
    with open(out / "table.csv", newline="") as stream:
        table = {row["model"]: row for row in csv.DictReader(stream)}
    for name, row in content["rows"].items():
        # The definition of the error, computed anew from the stored landmarks.
        with np.load(out / name / "predictions.npz") as stored:
            truth = stored["truth"].astype(np.float64)
            eyes = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
            for kind, column in (("float32", "NME %"), ("int8", "int8 NME %")):
                distances = np.linalg.norm(stored[kind] - truth, axis=2)
                nme = float((distances.mean(axis=1) / eyes).mean())
                assert float(table[name][column]) == pytest.approx(100 * nme, rel=1e-6)
                assert row[kind]["nme"] == pytest.approx(nme, rel=1e-8)
                assert row[kind]["milliseconds"] > 0
        # The exported file is the trained model, and both show 26 faces, three batches an epoch.
        assert row["float32"]["nme"] == pytest.approx(row["trained"]["nme"], rel=1e-3)
        assert row["exported"]["float32"]["macc"] == row["macc"]
        # The digest is of the schedule that the run has kept.
        schedule = json.loads((out / name / "run.json").read_text())["schedule"]
        text = json.dumps(schedule, sort_keys=True).encode()
        assert row["schedule_sha256"] == hashlib.sha256(text).hexdigest()
        epochs = 2 if name == "gregnet" else 3  # greglref's two phases are rounded up each
        assert int(table[name]["presentations"]) == 24 * epochs
    assert float(table["greglref"]["paper NME %"]) == 3.12
    assert (out / "ced.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "GRegLRef" in (out / "report.html").read_text()


def test_faces_are_apart_and_the_test_faces_are_those_of_train_300w(
    program: ModuleType, real_data: Path
) -> None:
    found = program.compared_faces(real_data / "300w_subset", 120, 80)
    other = read_faces("300w", real_data / "300w_subset", 120)
    assert found.test.fingerprint() == other.test.fingerprint()
    assert (len(found.test), len(found.held_out)) == (120, 80)
    parts = [found.train, found.held_out, found.test]
    photographs = [{r.name.rsplit("_", 1)[0] for r in part.records} for part in parts]
    assert not photographs[0] & photographs[1]
    assert not photographs[0] & photographs[2]
    assert not photographs[1] & photographs[2]


def test_rows_can_be_trained_and_name_published_results(program: ModuleType) -> None:
    table = importlib.import_module("reproduce_table")
    for name, row in program.ROWS.items():
        assert row.model in ARCHITECTURES, name
        if row.published is not None:
            found = table.find_published(row)
            assert (found.method, found.protocol) == row.published
            assert found.subset == "full"


@pytest.mark.slow
def test_rows_are_of_about_one_size(program: ModuleType) -> None:
    for name, row in program.ROWS.items():
        shape = (row.image_size, row.image_size, 3)
        width = {} if row.model == "deepreg" else {"width": row.width}
        model = ARCHITECTURES[row.model].make(
            num_landmarks=68, input_shape=shape, crop="300w", **width
        )
        counted = macc.count(model).macc
        if name == "deepreg":  # one size only, and most of its arithmetic is no MACC
            assert counted < 10e6
        else:
            assert 45e6 < counted < 75e6, (name, counted)


def test_a_row_that_fails_leaves_the_others_alone(
    tiny: ModuleType, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    def make_row(name, arguments, faces, before):
        if name == "gregnet":
            raise FloatingPointError("the loss is not finite")
        (arguments.out / name / "measured.json").write_text("{}")

    monkeypatch.setattr(tiny, "make_row", make_row)
    monkeypatch.setattr(tiny, "write", lambda *others: {"rows": {}})
    words = command(faces, tmp_path / "out")
    content = tiny.main(words)
    assert content == {"rows": {}, "errors": ["gregnet: the loss is not finite"]}
    assert (tmp_path / "out/greglref/measured.json").is_file()
    assert "Traceback" in capfd.readouterr().err  # for who looks into the log
    assert tiny.run_recipe(lambda: tiny.main(words)) == 2
    assert "error: gregnet: the loss is not finite" in capfd.readouterr().err
    # A user's mistake is of no row.
    assert tiny.run_recipe(lambda: tiny.main([*words, "--seed", "1"])) == 2
    err = capfd.readouterr().err
    assert "Traceback" not in err
    assert err.startswith("error: `out` must be a new folder")


@pytest.mark.exhaustive
def test_start_from_synthetic(
    tiny: ModuleType, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*others):
        raise KeyboardInterrupt  # what follows is the same as without synthetic faces

    monkeypatch.setattr(tiny, "export_and_measure", trained)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        tiny.main([*command(faces, out), "--only", "gregnet", "--start-from-synthetic", "30"])
    first, second = (
        json.loads((out / folder / "run.json").read_text())
        for folder in ("gregnet/synthetic", "gregnet")
    )
    digest = hashlib.sha256((out / "gregnet/synthetic/model.keras").read_bytes()).hexdigest()
    assert first["identity"]["init_weights"] is None
    assert second["identity"]["init_weights"] == digest
    assert first["schedule"] == second["schedule"]
    assert first["train"]["data"] != second["train"]["data"]
