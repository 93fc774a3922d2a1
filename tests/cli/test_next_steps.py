"""The commands that commands print as the next ones run as printed, names with spaces, too."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from tfalign.data import synthetic

NAMES = ["right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner"]
POINTS = [96, 97, 54, 76, 82]  # the same of WFLW's


def write_coco(file: Path, faces: range, missing: bool = False) -> Path:
    """Writes rendered faces with five points as an annotation tool would, beside their pictures."""
    images, annotations = [], []
    file.parent.mkdir(parents=True, exist_ok=True)
    for index in faces:
        sample = synthetic.render(5, index, 96)
        name = f"face {index}.png"
        if not (missing and index == faces[-1]):
            cv2.imwrite(str(file.parent / name), np.ascontiguousarray(sample.image[..., ::-1]))
        points = [[*map(float, point), 2] for point in sample.landmarks[POINTS] - 0.5]
        images.append({"id": index, "file_name": name})
        annotations.append(
            {
                "id": index,
                "image_id": index,
                "category_id": 1,
                "keypoints": [value for point in points for value in point],
            }
        )
    category = {"id": 1, "name": "face", "keypoints": NAMES, "skeleton": []}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    file.write_text(json.dumps(content))
    return file


def printed(out: str) -> list[list[str]]:
    """The words of the commands that a shell would see, of the indented lines at the end."""
    lines = out.rstrip("\n").split("\n")
    while lines and not lines[-1].startswith("  "):
        lines.pop()
    found = []
    while lines and lines[-1].startswith("  "):
        found.insert(0, shlex.split(lines.pop()))
    return found


def test_a_missing_picture_is_told_with_its_entry_and_the_way_on(tfalign, tmp_path):
    file = write_coco(tmp_path / "my faces" / "points.json", range(4), missing=True)
    broken = tfalign("train", "coco", "--data", file, "--out", tmp_path / "run")
    assert broken.code == 2
    assert broken.err.count("\n") == 1
    for part in (f"{file}: annotations[3]", "face 3.png", "--reader images=", "--skip-bad"):
        assert part in broken.err
    looked = tfalign("inspect", "coco", "--data", file, "--out", tmp_path / "look")
    assert looked.code == 1
    assert str(tmp_path / "look" / "problems.txt") in looked.out
    (train,) = printed(looked.out)
    assert train[:5] == ["tfalign", "train", "coco", "--data", str(file)]
    assert "--skip-bad" in train


@pytest.mark.parametrize(
    ("dataset", "what"), [("coco", "a file or folder of"), ("300w", "the folder of")]
)
def test_data_that_is_not_there(tfalign, tmp_path, dataset, what):
    for command in (("inspect", dataset), ("evaluate", "--model", "300w", "--dataset", dataset)):
        outcome = tfalign(*command, "--data", tmp_path / "gone", "--out", tmp_path / "out")
        assert outcome.code == 2
        assert what in outcome.err
        assert f"`tfalign data {dataset}`" in outcome.err
        assert str(tmp_path / "gone") in outcome.err


@pytest.mark.slow
def test_printed_commands_run(tfalign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = write_coco(tmp_path / "my faces" / "points.json", range(24), missing=True)
    (train,) = printed(tfalign("inspect", "coco", "--data", file, "--out", "look").out)
    train[train.index("--steps") + 1] = "4"
    train[train.index("--out") + 1] = "my runs/first"
    trained = tfalign(*train[1:], "--batch-size", "4", "--holdout", "6")
    assert trained.code == 0, trained.err
    evaluate, export, align, tensorboard = printed(trained.out)
    evaluated = tfalign(*evaluate[1:])
    assert evaluated.code == 0, evaluated.err
    assert "6 faces only" in evaluated.out
    for command in printed(evaluated.out):
        assert command[0] == "tfalign"
        assert Path(command[command.index("--model") + 1 if "--model" in command else 2]).is_file()
    # Four steps make no model that int8 keeps.
    exported = tfalign(*export[1:], "--allow-loss")
    assert exported.code == 0, exported.err
    for command in (align, *printed(exported.out)):
        words = [str(file.parent / "face 0.png") if w == "PHOTO.jpg" else w for w in command[1:]]
        assert tfalign(*words).code == 0
    assert any(Path(tensorboard[-1]).rglob("events*"))
