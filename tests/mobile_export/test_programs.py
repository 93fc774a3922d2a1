"""The command-line programs: export, check, assets, and the folder's own check."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_export import __main__ as program
from mobile_export import assets, check


@pytest.fixture(scope="module")
def saved(model: Any, tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("saved") / "small.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def crops(pictures: np.ndarray, tmp_path_factory: Any) -> Path:
    import cv2

    folder = tmp_path_factory.mktemp("crops")
    for index, picture in enumerate(pictures[:8]):
        cv2.imwrite(str(folder / f"{index}.png"), picture[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def exported(saved: Path, crops: Path, tmp_path_factory: Any) -> Path:
    out = tmp_path_factory.mktemp("exported")
    arguments = [str(saved), "--kind", "int8", "--calibration", str(crops), "--out", str(out)]
    arguments += ["--allow-loss"]
    assert program.main(arguments) == 0
    return out


@pytest.mark.slow
def test_program_writes_an_export_that_passes_its_check(exported: Path, capsys: Any) -> None:
    assert sorted(path.name for path in exported.iterdir()) == [
        "golden.npz",
        "metadata.json",
        "model.tflite",
        "report.json",
    ]
    assert check.main([str(exported)]) == 0
    assert "passed" in capsys.readouterr().out


@pytest.mark.slow
def test_check_finds_an_exchanged_file(exported: Path, tmp_path: Path, capsys: Any) -> None:
    other = tmp_path / "other"
    shutil.copytree(exported, other)
    content = bytearray((other / "model.tflite").read_bytes())
    content[-1] ^= 1
    (other / "model.tflite").write_bytes(content)
    assert check.main([str(other)]) == 2
    assert "is not the file that metadata.json was written for" in capsys.readouterr().err


def test_check_names_what_is_missing_or_damaged(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="metadata.json"):
        check.check(tmp_path)
    other = tmp_path / "other"
    shutil.copytree(exported, other)
    (other / "golden.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"golden\.npz"):
        check.check(other)
    (other / "metadata.json").write_text("{}")
    with pytest.raises(ValueError, match="format_version"):
        check.check(other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.keras"], "no such .keras file"),
        ([__file__], r"A model is the path of a \.keras"),
    ],
)
def test_program_prints_one_line_for_what_users_do_wrong(
    arguments: list[str], message: str, capsys: Any, tmp_path: Path
) -> None:
    import re

    assert program.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_assets_replay_with_the_check_that_apps_copy(
    like_trained: Any, pictures: Any, repository: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    import keras

    from tfalign.models import GRegLRef

    out = tmp_path / "assets"
    # The model was never fitted to faces, so that its int8 form may lose more than a shipped one;
    # check.py allows 1 px, of the small differences that it makes between two faces.
    keras.utils.set_random_seed(0)
    small = GRegLRef(12, (48, 48, 3), width=0.125, crop="300w")
    model = like_trained(small, pictures, {"fc": 0.02})
    monkeypatch.setattr(assets, "export", functools.partial(assets.export, allow_loss=True))
    demo = assets.write({"small": model}, "rendered", out)
    assert set(demo["landmarks"]) == {"small/float16", "small/int8"}
    assert json.loads((out / "demo.json").read_text()) == demo
    assert not (out / "small" / "scheme.json").exists()  # nobody named its twelve points
    # As an app team runs it: the file alone, beside the models, in a process of its own.
    shutil.copy(repository / "android_demo_assets" / "check.py", out / "check.py")
    run = subprocess.run(
        [sys.executable, str(out / "check.py")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("passed") == 2

    demo["landmarks"]["small/int8"][0][0] += 5.0
    (out / "demo.json").write_text(json.dumps(demo))
    run = subprocess.run(
        [sys.executable, str(out / "check.py")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "small/int8: FAILED" in run.stdout

    # A changed file is told in a line, and the other model is checked all the same.
    with (out / "small" / "float16" / "model.tflite").open("ab") as file:
        file.write(b"!")
    run = subprocess.run(
        [sys.executable, str(out / "check.py")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "small/float16: FAILED" in run.stdout
    assert "is not the file that metadata.json describes" in run.stdout
    assert "small/int8: FAILED; golden outputs within" in run.stdout
    (out / "demo.json").write_text("{")
    run = subprocess.run(
        [sys.executable, str(out / "check.py")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.startswith("error: the demo's files are damaged")
    assert run.stderr.count("\n") == 1


def test_assets_need_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No weights ship"):
        assets.write({}, None, tmp_path)


@pytest.mark.slow
def test_assets_that_fail_leave_the_old_ones(
    model: Any, pictures: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "small" / "float16").mkdir(parents=True)
    old = tmp_path / "small" / "float16" / "model.tflite"
    old.write_bytes(b"old")
    export = assets.export
    kinds = []

    def fails_at_int8(model: Any, kind: str, *arguments: Any, **facts: Any) -> Any:
        kinds.append(kind)
        if kind == "int8":
            raise ValueError("no integers today")
        return export(model, kind, *arguments, **facts)

    monkeypatch.setattr(assets, "export", fails_at_int8)
    with pytest.raises(ValueError, match="no integers"):
        assets.write({"small": model}, pictures[:8], tmp_path)
    assert kinds == ["float16", "int8"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [old]
    assert old.read_bytes() == b"old"
    # Calibration is read before the first export.
    with pytest.raises(FileNotFoundError, match="folder of face crops"):
        assets.write({"small": model}, tmp_path / "absent", tmp_path)
    with pytest.raises(ValueError, match="must name the models"):
        assets.write({"small": model}, {"other": pictures}, tmp_path)
    assert kinds == ["float16", "int8"]


@pytest.mark.parametrize(
    ("models", "calibration", "message"),
    [
        (["a/small.keras", "b/small.keras"], ["faces"], "a folder of its own"),
        (["300w", "b/300w.keras"], ["faces"], "a shipped preset's name"),
        (["a/small.keras"], ["faces", "more"], "one path for all models"),
        (["a/small.keras"], ["faces", "smal=more"], "at most once for each of small"),
        (["a/small.keras"], ["small=faces", "small=more"], "at most once"),
        (["a/small.keras", "a/other.keras"], ["small=faces"], "every model needs one"),
        (["a/small.keras"], ["small=faces", "more"], "each must be used"),
    ],
)
def test_assets_program_drops_nothing_silently(
    models: list[str], calibration: list[str], message: str, tmp_path: Path, capsys: Any,
    monkeypatch: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(assets, "load", lambda name: name)
    arguments = [*models, "--out", str(tmp_path / "out")]
    for item in calibration:
        arguments += ["--calibration", item]
    assert assets.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
