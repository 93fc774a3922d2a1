import importlib.util
import json
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from tfalign.cli import robustness as program
from tfalign.models import GRegNet


@pytest.fixture
def recipe(repository):
    path = repository / "recipes" / "robustness.py"
    spec = importlib.util.spec_from_file_location("recipe_robustness", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path, rng):
    folder = tmp_path / "data" / "afw"
    folder.mkdir(parents=True)
    for index in range(3):
        image = rng.integers(0, 256, (90, 110, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
        points = rng.uniform((30, 20), (80, 70), (68, 2))
        points[36], points[45] = (40, 40), (70, 40)
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points + 0.5)
        (folder / f"{index}.pts").write_text(
            f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n", encoding="utf-8"
        )
    return tmp_path / "data"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in ("a", "b"):
        model = GRegNet(
            68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", name=name, scheme="ibug68"
        )
        model.save(folder / f"{name}.keras")
    return folder


def arguments(data, out, *models):
    return ["--model", *models, "--dataset", "300w", "--data", str(data), "--split", "afw",
            "--extensions", "--scales", "-0.2", "0.2", "--translations", "0.1", "--rotations",
            "--sources", "landmarks", "detector", "--out", str(out), "--quiet"]  # fmt: skip


@pytest.mark.slow
def test_models_side_by_side_and_continued(recipe, data, models, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = f"one={models / 'a.keras'}"
    second = f"two={models / 'b.keras'}"
    recipe.main(arguments(data, out, first))
    one = pd.read_csv(out / "robustness.csv")
    assert len(one) == 4 + 2

    measured = []
    monkeypatch.setattr(
        "tfalign.cli.robustness.box_sweep",
        lambda models, *rest, **options: measured.extend(models) or sweep(models, *rest, **options),
    )
    from tfalign.evaluation import box_sweep as sweep

    metrics = recipe.main(arguments(data, out, first, second))
    assert measured == ["two"]  # the first model was not measured again
    both = pd.read_csv(out / "robustness.csv")
    pd.testing.assert_frame_equal(both[both["model"] == "one"].reset_index(drop=True), one)
    assert set(both["model"]) == {"one", "two"}
    assert len(metrics["growth"]) == 2 * 3
    again = json.loads((out / "metrics.json").read_text())
    assert again["settings"]["perturbations"][1:] == [
        ["scale", -0.2],
        ["scale", 0.2],
        ["translation", 0.1],
    ]
    assert "TSR Proposed" not in (out / "report.html").read_text()  # three faces of AFW
    assert (out / "robustness.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"differs in\s+seed"):
        recipe.main([*arguments(data, out, first), "--seed", "1"])


def test_what_a_table_needs_is_looked_for_before_the_sweep(
    recipe, data, models, tmp_path, monkeypatch
):
    out, model = tmp_path / "out", f"one={models / 'a.keras'}"
    words = arguments(data, out, model)
    sweeps = []
    monkeypatch.setattr(program, "box_sweep", lambda *a, **o: sweeps.append(a))
    monkeypatch.setitem(sys.modules, "dlib", None)  # as if it were not installed
    with pytest.raises(ImportError, match="dlib"):
        recipe.main([*words, "--sources", "dlib"])
    with pytest.raises(ValueError, match="gives no box for"):
        recipe.main([*words, "--sources", "landmarks", "file"])
    with pytest.raises(ValueError, match="gives no box for"):
        recipe.main([*words, "--box", "file"])
    with pytest.raises(ValueError, match="presets"):
        recipe.main(arguments(data, out, model, "two=no_preset"))
    assert sweeps == []
    assert not (out / "settings.json").exists()


@pytest.mark.slow
def test_a_late_error_keeps_the_sweep(recipe, data, models, tmp_path, monkeypatch):
    out, model = tmp_path / "out", f"one={models / 'a.keras'}"
    compare = program.box_comparison

    def failing(*others, **options):
        raise ValueError("late")

    monkeypatch.setattr(program, "box_comparison", failing)
    with pytest.raises(ValueError, match="late"):
        recipe.main(arguments(data, out, model))
    assert not (out / "robustness.csv").exists()
    monkeypatch.setattr(program, "box_comparison", compare)
    monkeypatch.setattr(program, "box_sweep", failing)  # is not asked again
    recipe.main(arguments(data, out, model))
    continued = pd.read_csv(out / "robustness.csv")
    monkeypatch.undo()
    recipe.main(arguments(data, tmp_path / "whole", model))
    pd.testing.assert_frame_equal(continued, pd.read_csv(tmp_path / "whole" / "robustness.csv"))
    assert len(list((out / "models").iterdir())) == 1


def test_row_names_must_differ(recipe, data, models, tmp_path):
    with pytest.raises(ValueError, match="Row names must differ"):
        recipe.main(arguments(data, tmp_path / "out", "a=x.keras", "a=y.keras"))
