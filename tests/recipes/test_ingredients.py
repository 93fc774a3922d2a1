"""The recipe that measures what each ingredient of a training gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def recipe(import_recipe: Callable[[str], ModuleType]) -> ModuleType:
    return import_recipe("ingredients")


def test_wrong_boxes(recipe) -> None:
    shape = np.array([[[10.0, 20.0], [50.0, 100.0], [30.0, 60.0]]])
    boxes = recipe.boxes_of(shape)
    np.testing.assert_allclose(boxes["right boxes"], [[10, 20, 50, 100]])
    np.testing.assert_allclose(boxes["20 % too small"], [[14, 28, 46, 92]])
    np.testing.assert_allclose(boxes["20 % too large"], [[6, 12, 54, 108]])
    moved = boxes["beside by 10 %"] - boxes["right boxes"]
    np.testing.assert_allclose(moved[:, :2], moved[:, 2:])
    assert np.linalg.norm(moved[0, :2]) == pytest.approx(8)


def test_differences_are_paired_over_the_faces(recipe) -> None:
    first = {"right boxes": [3.0, 5.0], "small": [4.0, 6.0], "large": [6.0, 8.0]}
    other = {"right boxes": [3.5, 5.1], "small": [4.0, 6.0], "large": [5.0, 8.0]}
    lines = recipe.table({"everything": first, "without": other})
    assert list(lines["right boxes"]) == ["4.000 %", "4.300 %"]
    assert list(lines["wrong boxes"]) == ["6.000 %", "5.750 %"]
    # 0.5 and 0.1: mean 0.3, standard deviation 0.283, over the square root of two faces.
    assert list(lines["difference, right"]) == ["–", "+0.300 ± 0.200"]
    assert list(lines["difference, wrong"]) == ["–", "-0.250 ± 0.250"]


@pytest.mark.exhaustive
def test_a_second_run_trains_what_is_missing(recipe, folder: Path, tmp_path: Path) -> None:
    command = ["--data", str(folder), "--out", str(tmp_path / "out"), "--rendered", "4"]
    command += ["--holdout", "4", "--validation", "5"]
    one = recipe.main([*command, "--steps", "2", "--rows", "everything"])
    both = recipe.main([*command, "--steps", "2", "--rows", "everything", "wing loss"])
    assert list(both["rows"]) == ["everything", "wing loss"]
    assert both["rows"]["everything"] == one["rows"]["everything"]
    with pytest.raises(ValueError, match="same steps, seed and faces"):
        recipe.main([*command, "--steps", "3", "--rows", "everything"])
