"""TSR's programs from end to end, on a few rendered faces; and step 1 at a size that learns."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import cv2
import keras
import numpy as np
import pytest

from tfalign.models import TwoStage


def recipe(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, repository / "recipes" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    assert image.std() > 10
    return image


@pytest.mark.exhaustive
def test_reinit_learns_and_figures_show_it(repository, tmp_path) -> None:
    """After step 1, what the boxes' errors leave is clearly less than what they put in."""
    out = tmp_path / "reinit"
    command = ["--out", str(out), "--synthetic-faces", "120", "40", "--holdout", "40"]
    command += ["--image-size", "80", "--width", "0.125", "--batch-size", "20", "--epochs", "120"]
    summary = recipe(repository, "two_stage_reinit").main(command)
    assert summary == json.loads((out / "residuals.json").read_text())
    assert summary["faces"] == 40
    # ±30° drawn evenly, about the faces' own angle.
    assert 14 < summary["before"]["rotation"] < 27
    # 115 faces teach the place and the angle (0.7 to 0.8 left); size takes more of them.
    left = summary["share_left"]
    assert max(left["rotation"], left["centre"]) < 0.88
    assert left["scale"] < 1.0
    picture(out / "figure_3.png")
    model = keras.saving.load_model(out / "model.keras", compile=False)
    assert isinstance(model, TwoStage)
    assert np.abs(model.get_layer("theta_global").kernel).max() > 0

    figures = tmp_path / "figures"
    data = ["--data", str(out / "faces"), "--dataset", "wflw", "--split", "test"]
    recipe(repository, "two_stage_figures").main(
        ["--model", str(out / "model.keras"), "--out", str(figures), "--faces", "4", *data]
    )
    assert picture(figures / "figure_5.png").shape[0] > picture(figures / "figure_3.png").shape[0]


def test_figures_refuse_another_model(repository, tmp_path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(SystemExit, match="TwoStage"):
        recipe(repository, "two_stage_figures").main(
            ["--model", str(tmp_path / "model.keras"), "--out", str(tmp_path)]
        )
