"""What users do wrong, command by command: one clear line, exit code 2, nothing left behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cli.conftest import flat_png, is_one_line, with_orientation, write_rgb

TRAIN = ["--width", "0.25", "--image-size", "32", "--batch-size", "1", "--steps", "2"]
# Every command with an input that MISSING, TEXT and EMPTY stand for, and with its output BAD.
INPUTS = {
    "align": ["align", "{}"],
    "train wflw": ["train", "wflw", "--data", "{}", "--out", "OUT", *TRAIN],
    "train 300w": ["train", "300w", "--data", "{}", "--out", "OUT", *TRAIN],
    "train warm": ["train", "300w", "--data", "DATA", "--holdout", "1", "--init-weights", "{}",
                   "--out", "OUT", *TRAIN],
    "evaluate": ["evaluate", "--model", "MODEL", "--dataset", "300w", "--data", "{}", "--out",
                 "OUT"],
    "evaluate model": ["evaluate", "--model", "{}.keras", "--dataset", "300w", "--data", "DATA",
                       "--out", "OUT"],
    "robustness": ["robustness", "--model", "MODEL", "--dataset", "300w", "--data", "{}", "--out",
                   "OUT"],
    "robustness model": ["robustness", "--model", "a={}.keras", "--dataset", "300w", "--data",
                         "DATA", "--out", "OUT"],
    "macc": ["macc", "{}.keras"],
    "macc tflite": ["macc", "{}.tflite"],
    "export": ["export", "{}.keras", "--out", "OUT"],
    "export calibration": ["export", "MODEL", "--kind", "int8", "--calibration", "{}", "--out",
                           "OUT"],
    "benchmark": ["benchmark", "{}.tflite"],
    "demo": ["demo", "--data", "{}", "--out", "OUT", *TRAIN],
}  # fmt: skip
OUTPUTS = {
    "align": ["align", "PHOTO", "--model", "MODEL", "--out", "{}"],
    "train wflw": ["train", "wflw", "--out", "{}", "--synthetic-faces", "2", "1", *TRAIN],
    "train 300w": ["train", "300w", "--data", "DATA", "--holdout", "1", "--out", "{}", *TRAIN],
    "evaluate": ["evaluate", "--model", "MODEL", "--dataset", "300w", "--data", "DATA", "--split",
                 "helen/trainset", "--quiet", "--out", "{}"],
    "robustness": ["robustness", "--model", "MODEL", "--dataset", "300w", "--data", "DATA",
                   "--split", "helen/trainset", "--quiet", "--out", "{}"],
    "export": ["export", "MODEL", "--out", "{}"],
    "render": ["render", "--train", "2", "--test", "1", "--out", "{}"],
    "demo": ["demo", "--out", "{}", "--synthetic-faces", "2", "1", *TRAIN],
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a text file under every name, an empty folder and a small 300-W data set."""
    monkeypatch.chdir(tmp_path)
    for name in ("text", "text.keras", "text.tflite"):
        Path(name).write_text("no picture, no model, no data")
    for name in ("empty", "empty.keras", "empty.tflite"):
        Path(name).mkdir()
    faces_of_300w(Path("data"), [np.full((90, 110, 3), 90, np.uint8)] * 3)
    write_rgb(Path("photo.png"), np.full((30, 30, 3), 90, np.uint8))
    shutil.copy(small_model, "model.keras")
    return tmp_path


def faces_of_300w(root: Path, images: list[np.ndarray]) -> Path:
    folder = root / "helen" / "trainset"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    for index, image in enumerate(images):
        write_rgb(folder / f"{index}_1.png", image)
        points = rng.uniform((30, 20), (80, 70), (68, 2))
        points[36], points[45] = (40, 40), (70, 40)
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points + 0.5)
        (folder / f"{index}_1.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
    return folder


def filled(words: list[str], name: str) -> list[str]:
    places = {"OUT": "out", "MODEL": "model.keras", "DATA": "data", "PHOTO": "photo.png"}
    return [places.get(word, word.replace("{}", name)) for word in words]


@pytest.mark.parametrize("name", ["missing", "text", "empty"])
@pytest.mark.parametrize("command", INPUTS)
def test_input(tfalign: Callable[..., Any], here: Path, command: str, name: str) -> None:
    outcome = tfalign(*filled(INPUTS[command], name))
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert name in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("bad", ["text", "text/below"])
@pytest.mark.parametrize("command", OUTPUTS)
def test_output(tfalign: Callable[..., Any], here: Path, command: str, bad: str) -> None:
    # A file where a folder must be made: not even root can write there.
    outcome = tfalign(*filled(OUTPUTS[command], bad))
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "text" in outcome.err
    assert Path("text").read_text() == "no picture, no model, no data"


def odd_pictures() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    rgb = rng.integers(0, 256, (90, 110, 3)).astype(np.uint8)
    opaque = np.full((90, 110, 1), 255, np.uint8)
    return {
        "rgb": rgb,
        "rgba": np.concatenate([rgb, opaque], axis=-1),
        "grey": rgb[..., 0],
        "deep": rgb.astype(np.uint16) * 257,
        "one pixel": np.full((1, 1, 3), 80, np.uint8),
    }


def evaluate(data: str, out: str) -> list[str]:
    return ["evaluate", "--model", "model.keras", "--dataset", "300w", "--data", data, "--split",
            "helen/trainset", "--quiet", "--out", out]  # fmt: skip


@pytest.mark.slow
def test_data_sets_of_pixels_of_every_kind(tfalign: Callable[..., Any], here: Path) -> None:
    pictures = odd_pictures()
    folder = faces_of_300w(Path("odd"), list(pictures.values()))
    refused = tfalign(*evaluate("odd", "refused"), "--json")
    assert refused.code == 2
    assert is_one_line(refused.err)
    assert "1×1 image" in refused.err  # where no 68 points can lie
    for file in folder.glob(f"{list(pictures).index('one pixel')}_1.*"):
        file.unlink()
    outcome = tfalign(*evaluate("odd", "out"), "--json")
    assert outcome.code == 0
    assert outcome.json["faces"] == len(pictures) - 1
    # Annotations belong to the stored pixels, so an orientation changes nothing.
    nme = tfalign(*evaluate("data", "plain"), "--json").json["nme"]
    for picture in Path("data/helen/trainset").glob("*.png"):
        turned = write_rgb(picture.with_suffix(".jpg"), cv2.imread(str(picture)))
        with_orientation(turned, 6)
        picture.unlink()
    again = tfalign(*evaluate("data", "turned"), "--json")
    assert again.json["nme"] == pytest.approx(nme, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["evaluate", "robustness", "train 300w"])
def test_data_sets_with_bombs_and_other_files(
    tfalign: Callable[..., Any], here: Path, command: str
) -> None:
    picture = Path("data/helen/trainset/1_1.png")
    flat_png(picture, 10_000, 10_000)
    outcome = tfalign(*filled(OUTPUTS[command], "out"))
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "10000×10000" in outcome.err
    picture.write_bytes(b"no picture")
    outcome = tfalign(*filled(OUTPUTS[command], "other"))
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "1_1.png" in outcome.err


@pytest.mark.slow
def test_calibration_pictures_of_every_kind(tfalign: Callable[..., Any], here: Path) -> None:
    pytest.importorskip("ai_edge_quantizer")
    Path("crops").mkdir()
    for name, image in odd_pictures().items():
        side = min(image.shape[:2])  # crops have the input's shape
        write_rgb(Path("crops", f"{name}.png"), image[:side, :side])
    words = ["export", "model.keras", "--kind", "int8", "--calibration", "crops", "--out", "out"]
    outcome = tfalign(*words, "--json")
    assert outcome.code == 0
    assert outcome.json["passed"] is True
    assert {p.name for p in Path("out").iterdir()} == {
        "model.tflite", "metadata.json", "golden.npz", "report.json", "scheme.json",
    }  # fmt: skip
    timed = tfalign("benchmark", "out/model.tflite", "--runs", 2, "--no-operators", "--json")
    assert timed.json["files"][0]["latency"][0]["median"] > 0
    counted = tfalign("macc", "out/model.tflite", "--totals", "--json")
    assert counted.json["reports"][0]["macc"] == outcome.json["macc"]
    flat_png(Path("crops/bomb.png"), 10_000, 10_000)
    refused = tfalign(*words)
    assert refused.code == 2
    assert is_one_line(refused.err)
    assert "10000×10000" in refused.err


@pytest.mark.slow
def test_macc_counts_twice_and_agrees(tfalign: Callable[..., Any], here: Path) -> None:
    outcome = tfalign("macc", "model.keras", "--totals", "--json")
    assert outcome.code == 0
    first, second = outcome.json["reports"]
    assert first["macc"] == second["macc"] > 0


def test_render(tfalign: Callable[..., Any], here: Path) -> None:
    words = ["render", "--out", "faces", "--train", 3, "--test", 2, "--size", 64, "--quiet"]
    outcome = tfalign(*words, "--workers", 1, "--json")
    assert outcome.code == 0
    assert len(list(Path("faces/WFLW_images").rglob("*.jpg"))) == 5
    assert Path(outcome.json["sheet"]).is_file()
    other = tfalign(*words, "--seed", 1)
    assert other.code == 2
    assert is_one_line(other.err)
    assert "differs in seed" in other.err
