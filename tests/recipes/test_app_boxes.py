"""What a wrong box costs an exported file, and where the page for apps says so."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tfalign.data import sets
from tfalign.markup import LandmarkScheme

pytest.importorskip("ai_edge_litert")


@pytest.fixture
def recipe(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("app_boxes", repository / "recipes/app_boxes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_box_has_its_row_on_the_page(recipe: ModuleType, repository: Path) -> None:
    page = (repository / "android_demo_assets/README.md").read_text(encoding="utf-8")
    rows = [f"| {name} | 1 % | 2 % |" for name in recipe.BOXES]
    changed = recipe.with_rows(page, rows)
    assert all(row in changed for row in rows)
    same = [line for line in page.split("\n") if line in changed.split("\n")]
    assert len(same) == page.count("\n") + 1 - len(rows)
    with pytest.raises(ValueError, match="one row '| another box |'. Received: 0"):
        recipe.with_rows(page, ["| another box | 1 % | 2 % |"])


def test_points_that_are_not_annotated_make_no_box_and_no_error(
    recipe: ModuleType, tmp_path: Path, rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lie at (0, 0), far from the face."""
    cv2.imwrite(str(tmp_path / "a.png"), rng.integers(0, 256, (90, 110, 3), "uint8"))
    scheme = LandmarkScheme("four", ("a", "b", "c", "d"), flip_pairs=None, normalizer=((0,), (1,)))
    points = np.array([[41.0, 31.0], [81.0, 31.0], [61.0, 71.0]])  # d is not annotated
    (tmp_path / "faces.csv").write_text(
        "image,a_x,a_y,b_x,b_y,c_x,c_y,d_x,d_y\na.png,40.5,30.5,80.5,30.5,60.5,70.5,,\n"
    )
    reader = sets.get("csv").read(tmp_path / "faces.csv", scheme=scheme)
    boxes: list[Any] = []

    def cut(images: Any, given: Any, crop: Any, size: Any) -> tuple[Any, Any]:
        boxes.append(given)
        return np.zeros((1, 32, 32, 3)), np.eye(2, 3)[None]

    class Fixed:
        image_size = (100, 100)

        def __init__(self, path: Path) -> None:
            del path

        def __call__(self, crops: Any) -> Any:
            return (np.concatenate([points, [[50.0, 50.0]]]) + [4.0, 0.0])[None] / 100

    about = SimpleNamespace(crop="300w", scheme=scheme, kind="float32")
    monkeypatch.setattr(recipe, "Metadata", SimpleNamespace(read=lambda _: about))
    monkeypatch.setattr(recipe.measuring, "read_data", lambda _: reader)
    monkeypatch.setattr(recipe, "Runner", Fixed)
    monkeypatch.setattr(recipe, "cut_crops", cut)
    found = recipe.main(
        ["none", "--dataset", "csv", "--data", str(tmp_path / "faces.csv"),
         "--out", str(tmp_path / "boxes")]
    )  # fmt: skip
    np.testing.assert_allclose(boxes[0], [[41, 31, 81, 71]], atol=1e-3)
    for row in found["rows"]:  # 4 pixels of 40 between the eyes
        assert row["one_look"] == row["two_looks"] == pytest.approx(0.1, rel=1e-4)


@pytest.mark.slow
def test_the_tight_box_gives_the_errors_of_an_evaluation(
    recipe: ModuleType, tmp_path: Path, rng: Any
) -> None:
    import mobile_export
    from tfalign.evaluation import evaluate_model
    from tfalign.models import GRegNet

    folder = tmp_path / "data" / "afw"
    folder.mkdir(parents=True)
    for index in range(4):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (90, 110, 3), "uint8"))
        lines = "\n".join(f"{x:.2f} {y:.2f}" for x, y in rng.uniform((30, 20), (80, 70), (68, 2)))
        text = f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n"
        (folder / f"{index}.pts").write_text(text, encoding="utf-8")
    model = GRegNet(68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", scheme="ibug68")
    model.set_mean_shape(rng.uniform(0.3, 0.7, (68, 2)))
    result = mobile_export.export(model, "float32", out=tmp_path / "out")
    found = recipe.main(
        [str(tmp_path / "out"), "--dataset", "300w", "--data", str(tmp_path / "data"),
         "--split", "afw", "--out", str(tmp_path / "boxes")]
    )  # fmt: skip
    reader = sets.get("300w").read(tmp_path / "data", ["afw"])
    expected = evaluate_model(result.path, reader, "300w_inter_ocular", progress=False)
    by_name = {row["box"]: row for row in found["rows"]}
    row = by_name["the annotated landmarks' tight box"]
    assert row["one_look"] == pytest.approx(expected.nme, rel=1e-3)
    assert (tmp_path / "boxes/table.md").read_text().count("\n") == 2 + len(recipe.BOXES)
