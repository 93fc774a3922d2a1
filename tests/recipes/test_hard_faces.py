"""The recipe of hard faces: they are as hard as their level says, and errors are counted right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tfalign.data import synthetic
from tfalign.data.synthetic.parameters import sample_parameters
from tfalign.data.synthetic.scene import generator
from tfalign.inference.backends import CallableBackend
from tfalign.inference.predictor import Predictor
from tfalign.markup import IBUG68, WFLW98, convert


@pytest.fixture(scope="module")
def recipe(import_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return import_recipe("hard_faces")


@pytest.fixture(scope="module")
def faces(recipe: ModuleType) -> list[Any]:
    return [recipe.rendered(3, index) for index in range(3)]


class Oracle:
    """Knows the true points, and is wrong by a vector where it is told to be."""

    def __init__(self, faces: list[Any], apart: float = 0.0) -> None:
        self.backend = SimpleNamespace(scheme=IBUG68, calibration=None)
        self.points = np.stack([face.points for face in faces])
        eyes = np.linalg.norm(self.points[:, 36] - self.points[:, 45], axis=1)
        self.points += apart * eyes[:, None, None] * np.array([0.6, -0.8])

    def once(self, images: Any, boxes: np.ndarray) -> np.ndarray:
        return self.points[:, None]


def test_an_unturned_face_is_that_of_the_data_set(recipe: ModuleType) -> None:
    sample = synthetic.render(3, 1)
    yaw = sample_parameters(generator(3, 1)).yaw
    for face in (recipe.rendered(3, 1), recipe.rendered(3, 1, abs(yaw))):
        np.testing.assert_array_equal(face.image, sample.image)
        np.testing.assert_allclose(
            face.points, convert(sample.landmarks, WFLW98, IBUG68), atol=1e-4
        )


@pytest.mark.parametrize("yaw", [0, 30, 60])
def test_estimated_yaw(recipe: ModuleType, yaw: float) -> None:
    for index in range(3):
        drawn = sample_parameters(generator(3, index)).yaw
        found = recipe.estimated_yaw(recipe.rendered(3, index, yaw).points)
        assert found == pytest.approx(np.copysign(yaw, drawn), abs=10)


@pytest.mark.parametrize("side", [96, 24, 16])
def test_small_faces_have_that_size(recipe: ModuleType, faces: list[Any], side: float) -> None:
    # A bright disc on black: where its centre of mass goes, the points must go, too.
    y, x = np.mgrid[:256, :256] + 0.5
    disc = np.hypot(x - 150, y - 110) < 40
    points = faces[0].points.copy()
    points[30] = (150, 110)
    image = np.repeat(np.where(disc, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    face = recipe.changed([recipe.Face(image, points)], "size", side, 0)[0]
    low, high = face.points.min(axis=0), face.points.max(axis=0)
    assert (high - low).max() == pytest.approx(side)
    weight = face.image[..., 0] / 255.0
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    centre = [(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()]
    np.testing.assert_allclose(centre, face.points[30], atol=0.05)
    extent = np.ptp(points, axis=0).max()
    assert weight.sum() == pytest.approx(disc.sum() * (side / extent) ** 2, rel=0.02)
    with pytest.raises(ValueError, match="pixels or more"):
        recipe.changed(faces, "size", 200, 0)


def test_blur_has_that_width(recipe: ModuleType, faces: list[Any]) -> None:
    image = np.zeros((256, 256, 3), np.uint8)
    image[:, 128:] = 200
    face = recipe.changed([faces[0]._replace(image=image)], "blur", 0.04, 0)[0]
    edge = np.diff(face.image[128, :, 0].astype(float))  # a Gaussian
    at = np.arange(len(edge))
    middle = (edge * at).sum() / edge.sum()
    sigma = np.sqrt((edge * (at - middle) ** 2).sum() / edge.sum())
    assert sigma == pytest.approx(0.04 * np.ptp(faces[0].points, axis=0).max(), rel=0.03)


def test_rectangles_cover_that_share(recipe: ModuleType, faces: list[Any]) -> None:
    blank = [face._replace(image=np.zeros((256, 256, 3), np.uint8)) for face in faces * 4]
    colours = []
    for share in recipe.LEVELS["occlusion"]:
        hard = recipe.changed(blank, "occlusion", share, seed=1)
        for face in hard:
            # A dark colour's noise leaves some pixels black: the rectangle about all others.
            rows, columns = np.nonzero(face.image.any(axis=2))
            low, high = face.points.min(axis=0), face.points.max(axis=0)
            area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            assert area / (high - low).prod() == pytest.approx(share, abs=0.02)
            assert (low - 1 <= [columns.min(), rows.min()]).all()
            assert (high + 1 >= [columns.max() + 1, rows.max() + 1]).all()
            x, y = face.points.T
            inside = (columns.min() <= x) & (x < columns.max() + 1)
            inside &= (rows.min() <= y) & (y < rows.max() + 1)
            np.testing.assert_array_equal(face.hidden, inside)
        colours.append([f.image[f.image.any(axis=2)].mean(axis=0) for f in hard])
    np.testing.assert_allclose(colours[0], colours[-1], atol=5)  # a face's chance is the same


@pytest.mark.parametrize("sweep", ["untouched", "size", "blur", "occlusion"])
def test_errors_are_those_of_an_oracle(recipe: ModuleType, faces: list[Any], sweep: str) -> None:
    for level in recipe.LEVELS[sweep]:
        hard = recipe.changed(faces, sweep, level, seed=0)
        none = recipe.measure(Oracle(hard), hard, promise=True)
        assert none["nme"] == none["nme_visible"] == none["failure_rate"] == 0
        assert "promised" not in none  # there is no calibration
        known = recipe.measure(Oracle(hard, 0.09), hard, promise=False)
        assert known["nme"] == pytest.approx(0.09)
        assert known["nme_visible"] == pytest.approx(0.09)
        assert known["failure_rate"] == 1


def test_hidden_points_count_in_one_error_only(recipe: ModuleType, faces: list[Any]) -> None:
    hidden = np.arange(68) < 17
    hard = [face._replace(hidden=hidden) for face in faces]
    oracle, wrong = Oracle(hard), Oracle(hard, 0.2)
    oracle.points[:, hidden] = wrong.points[:, hidden]
    row = recipe.measure(oracle, hard, promise=False)
    assert row["nme_visible"] == 0
    assert row["nme"] == pytest.approx(0.2 * 17 / 68)


def test_a_whole_run(
    recipe: ModuleType, faces: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean = np.mean([(f.points - f.box[:2]) / (f.box[2:] - f.box[:2]) for f in faces], axis=0)
    backend = CallableBackend(
        lambda crops: np.repeat(0.1 + 0.8 * mean[None], len(crops), axis=0),
        (32, 32),
        "300w",
        IBUG68,
    )
    backend.calibration = SimpleNamespace(expected_nme=lambda apart: np.full(len(apart), 0.25))
    monkeypatch.setattr(recipe, "load_predictor", lambda model: Predictor(backend))
    page = tmp_path / "page.md"
    names = [*recipe.AXES, "promised"]
    page.write_text("".join(f"<!-- {name} -->\nold\n<!-- end -->\n" for name in names))
    out = tmp_path / "out"
    result = recipe.main(
        ["--model", "300w", "b=300w", "--rendered", "2", "--out", str(out), "--page", str(page)]
    )
    assert len(result["rows"]) == 2 * sum(len(levels) for levels in recipe.LEVELS.values())
    frame = pd.read_csv(out / "hard_faces.csv")
    assert set(frame.columns) == {key for row in result["rows"] for key in row}
    text = page.read_text(encoding="utf-8")
    assert "old" not in text
    assert text.count("| `b` |") == len(names)
    assert "/ 25.00 |" in text
    row = frame[(frame["sweep"] == "size") & (frame["level"] == 16) & (frame["model"] == "b")]
    size = text.split("<!-- size -->")[1].split("| rendered | `b` | ")[1]
    assert size.startswith(
        f"{100 * row['nme'].item():.2f} ({100 * row['failure_rate'].item():.0f})"
    )
    assert (out / "hard_faces.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="at least 2"):
        recipe.main(["--model", "300w", "--rendered", "1", "--out", str(out)])
