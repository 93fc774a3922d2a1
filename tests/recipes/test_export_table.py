"""The table of exports: every kind on the same faces, training faces apart from them."""

import importlib.util
import json

import cv2
import numpy as np
import pytest

from tfalign.models import GRegNet

for package in ("ai_edge_litert", "ai_edge_quantizer", "tf_keras"):
    pytest.importorskip(package)


@pytest.fixture
def recipe(repository):
    path = repository / "recipes" / "export_table.py"
    spec = importlib.util.spec_from_file_location("recipe_export_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path, rng):
    folder = tmp_path / "data" / "afw"
    folder.mkdir(parents=True)
    for index in range(6):
        image = rng.integers(0, 256, (90, 110, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
        points = rng.uniform((30, 20), (80, 70), (68, 2))
        points[36], points[45] = (40, 40), (70, 40)
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points + 0.5)
        (folder / f"{index}.pts").write_text(
            f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n", encoding="utf-8"
        )
    return tmp_path / "data"


def arguments(data, model, out, *kinds):
    return ["--model", str(model), "--dataset", "300w", "--data", str(data), "--split", "afw",
            "--last", "2", "--train-split", "afw", "--kinds", *kinds, "--runs", "3",
            "--out", str(out), "--quiet"]  # fmt: skip


@pytest.mark.slow
def test_table(recipe, data, tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "model.keras"
    GRegNet(68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", scheme="ibug68").save(path)
    command = arguments(data, path, tmp_path / "out", "float32", "float16", "int8")
    result = recipe.main(command)
    assert [row["kind"] for row in result["rows"]] == ["Keras", "float32", "float16", "int8"]
    keras, first, half, _ = result["rows"]
    assert first["nme"] == pytest.approx(keras["nme"], abs=1e-5)
    assert first["of_first"] == 1.0
    assert half["bytes"] < 0.75 * first["bytes"]
    assert {row["macc"] for row in result["rows"]} == {keras["macc"]}
    calibration = json.loads((tmp_path / "out/model/int8/report.json").read_text())["calibration"]
    assert calibration["images"] == 4  # the two faces measured on are left out
    assert json.loads((tmp_path / "out/table.json").read_text()) == result
    text = (tmp_path / "out/table.md").read_text()
    assert text in capsys.readouterr().out
    assert f"int8 | {100 * result['rows'][3]['nme']:.3f} % |" in text

    # What is there is not made again; another command needs another folder.
    monkeypatch.setattr(recipe, "_export", None)
    assert recipe.main(command)["rows"][1]["nme"] == first["nme"]
    with pytest.raises(ValueError, match=r"which differs in\s+kinds"):
        recipe.main(arguments(data, path, tmp_path / "out", "float32"))
    with monkeypatch.context() as other:
        other.setattr(recipe, "sources_digest", lambda: "another version")
        with pytest.raises(ValueError, match=r"which differs in\s+exporter"):
            recipe.main(command)
    # A run that was killed while it moved the files of a kind makes that kind again.
    (tmp_path / "out/model/float16/model.tflite").unlink()
    made = []
    monkeypatch.setattr(recipe, "_export", lambda _, kind, *rest: made.append(kind))
    with pytest.raises(FileNotFoundError):
        recipe.main(command)
    assert made == ["float16"]


@pytest.mark.slow
def test_options_reach_the_measurement(recipe, data, tmp_path, monkeypatch, capfd) -> None:
    path = tmp_path / "model.keras"
    GRegNet(68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", scheme="ibug68").save(path)
    command = [*arguments(data, path, tmp_path / "out", "float32"), "--batch-size", "1"]
    calls = []
    evaluate = recipe.evaluate_model
    monkeypatch.setattr(
        recipe, "evaluate_model", lambda *a, **k: calls.append(k) or evaluate(*a, **k)
    )
    assert recipe.main([*command, "--threshold", "0.25"])["threshold"] == 0.25
    assert [(call["threshold"], call["batch_size"], call["progress"]) for call in calls] == [
        (0.25, 1, False),
        (0.25, 1, False),
    ]
    with pytest.raises(ValueError, match=r"which differs in\s+threshold"):
        recipe.main([*command, "--threshold", "0.5"])


def test_a_kind_that_does_not_apply_is_told_alone(recipe, data, tmp_path, monkeypatch) -> None:
    path = tmp_path / "model.keras"
    GRegNet(68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", scheme="ibug68").save(path)

    def refuses(*_) -> None:
        raise ValueError("int8_full is for models without coordinates inside")

    monkeypatch.setattr(recipe, "_export", refuses)
    with pytest.raises(ValueError, match="one of --kinds must apply.*coordinates inside"):
        recipe.main(arguments(data, path, tmp_path / "out", "int8_full"))


def test_the_digest_follows_the_exporters_sources(recipe, tmp_path, monkeypatch) -> None:
    import shutil
    from pathlib import Path

    import mobile_export

    here = Path(mobile_export.__file__).parent
    shutil.copytree(here, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    first = recipe.sources_digest()
    monkeypatch.setattr(mobile_export, "__file__", str(tmp_path / "copy" / "__init__.py"))
    assert recipe.sources_digest() == first
    with (tmp_path / "copy" / "quantize.py").open("a") as file:
        file.write("# a change\n")
    assert recipe.sources_digest() != first


def test_faces_to_train_on_must_be_named(recipe, data, tmp_path) -> None:
    command = arguments(data, "300w", tmp_path / "out", "float32")
    at = command.index("--train-split")
    with pytest.raises(ValueError, match="as --train-split or as --training"):
        recipe.main(command[:at] + command[at + 2 :])


def test_the_page_keeps_what_stands_about_the_table(recipe, repository) -> None:
    page = (repository / "docs/results/export.md").read_text(encoding="utf-8")
    changed = recipe.with_table(page, "| a | b |")
    assert recipe.with_table(changed, "| c |").replace("| c |", "| a | b |") == changed
    first, last = (page.index(mark) for mark in recipe.MARKS)
    assert changed.startswith(page[:first])
    assert changed.endswith(page[last:])
    with pytest.raises(ValueError, match="each once"):
        recipe.with_table("no marks", "")
