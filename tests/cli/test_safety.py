"""Files from strangers: models that bring code, arrays that bring pickles."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cli.conftest import is_one_line, write_rgb

from tfalign.models import GRegNet
from tfalign.models.saved import load_model

MODEL_COMMANDS = {
    "align": ["align", "photo.png", "--model", "{}", "--out", "out"],
    "evaluate": ["evaluate", "--model", "{}", "--dataset", "300w", "--data", "data", "--out",
                 "out"],
    "robustness": ["robustness", "--model", "{}", "--dataset", "300w", "--data", "data", "--out",
                   "out"],
    "macc": ["macc", "{}"],
    "export": ["export", "{}", "--out", "out"],
    "train": ["train", "300w", "--data", "data", "--holdout", "1", "--init-weights", "{}", "--out",
              "out", "--validation", "0", "--width", "0.25", "--image-size", "32", "--batch-size",
              "1", "--steps", "1"],
}  # fmt: skip


class Mark:
    """Unpickling it makes a folder: the sign that code was run."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("code_was_run",)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_rgb(Path("photo.png"), np.full((30, 30, 3), 90, np.uint8))
    folder = Path("data/helen/trainset")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    for index in range(2):
        write_rgb(folder / f"{index}_1.png", np.full((90, 110, 3), 90, np.uint8))
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in rng.uniform(20, 80, (68, 2)))
        (folder / f"{index}_1.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
    return tmp_path


@pytest.fixture(scope="module")
def lambda_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model whose Lambda layer makes a folder where it is called."""
    image = keras.Input((32, 32, 3))
    code = keras.layers.Lambda(
        lambda x: (__import__("os").makedirs("code_was_run", exist_ok=True), x)[1],
        output_shape=(32, 32, 3),
    )
    points = keras.layers.Dense(136)(keras.layers.Flatten()(code(image)))
    model = keras.Model(image, keras.layers.Reshape((68, 2))(points))
    path = tmp_path_factory.mktemp("strangers") / "lambda.keras"
    before = Path.cwd()
    os.chdir(path.parent)
    model.save(path)
    os.chdir(before)
    return path


@pytest.mark.parametrize("command", MODEL_COMMANDS)
def test_lambda_is_refused(
    tfalign: Callable[..., Any], here: Path, lambda_model: Path, command: str
) -> None:
    outcome = tfalign(*[word.replace("{}", str(lambda_model)) for word in MODEL_COMMANDS[command]])
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "must not bring code" in outcome.err
    assert not Path("code_was_run").exists()


def test_safe_mode_does_not_hang_on_the_process(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(keras.saving, "load_model", lambda path, **options: asked.update(options))
    load_model(small_model)
    assert asked["safe_mode"] is True


def test_functions_by_name_are_refused(here: Path, small_model: Path) -> None:
    """A configuration that asks for os.mkdir in the place of a class."""
    with zipfile.ZipFile(small_model) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    config = json.loads(parts["config.json"])
    config |= {"module": "os", "class_name": "mkdir", "registered_name": "mkdir"}
    config["config"] = {"path": "code_was_run"}
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile("evil.keras", "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)
    with pytest.raises(ValueError, match="registered classes"):
        load_model("evil.keras")
    assert not Path("code_was_run").exists()


@pytest.mark.parametrize("damage", ["cut", "empty zip", "no zip"])
def test_damaged_models(here: Path, small_model: Path, damage: str) -> None:
    content = small_model.read_bytes()
    path = Path("damaged.keras")
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "no zip":
        path.write_bytes(pickle.dumps(Mark()))
    else:
        with zipfile.ZipFile(path, "w"):
            pass
    with pytest.raises(ValueError, match=r"damaged\.keras"):
        load_model(path)
    assert not Path("code_was_run").exists()


def test_pickles_in_arrays_are_refused(tfalign: Callable[..., Any], here: Path) -> None:
    model = GRegNet(68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", scheme="ibug68")
    arrays = {variable.path: np.array([Mark()], dtype=object) for variable in model.weights}
    np.savez("evil.npz", **arrays, images=np.array([Mark()], dtype=object), allow_pickle=True)
    np.save("evil.npy", np.array([Mark()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"evil\.npz"):
        GRegNet(
            68,
            (32, 32, 3),
            width=0.125,
            trunk="mobile",
            crop="300w",
            weights="evil.npz",
            scheme="ibug68",
        )
    model.save("model.keras")
    outcome = tfalign(
        "export", "model.keras", "--kind", "int8", "--calibration", "evil.npz", "--out", "out"
    )
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert not Path("code_was_run").exists()
    # The trap works: read carelessly, it springs.
    np.load(io.BytesIO(Path("evil.npy").read_bytes()), allow_pickle=True)
    assert Path("code_was_run").exists()
