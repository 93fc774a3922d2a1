"""The recipe that fits the quality score: known constants come back, boxes are as described."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def recipe(repository: Path) -> ModuleType:
    path = repository / "recipes" / "calibrate_quality.py"
    spec = importlib.util.spec_from_file_location("calibrate_quality", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_known_constants_come_back(recipe: ModuleType, rng: np.random.Generator) -> None:
    apart = np.exp(rng.uniform(np.log(0.005), np.log(0.2), 20_000))
    good = rng.random(len(apart)) < 1 / (1 + (apart / 0.03) ** 5)
    errors = np.where(good, 0.02 + apart, 0.5)
    calibration = recipe.fit(apart, errors)
    assert calibration.midpoint == pytest.approx(0.03, rel=0.03)
    assert calibration.steepness == pytest.approx(5, rel=0.05)
    assert np.all(np.diff(calibration.errors) >= 0)
    # What is promised is the mean of what happens.
    promised = calibration.expected_nme(apart)
    for low, high in ((0.008, 0.015), (0.02, 0.04), (0.06, 0.12)):
        rows = (apart > low) & (apart < high)
        assert promised[rows].mean() == pytest.approx(errors[rows].mean(), rel=0.1)


def test_unusable_looks_do_not_spoil_the_fit(recipe: ModuleType, rng: np.random.Generator) -> None:
    apart = np.exp(rng.uniform(np.log(0.005), np.log(0.2), 500))
    errors = apart * 2
    clean = recipe.fit(apart, errors)
    assert recipe.fit(np.append(apart, np.inf), np.append(errors, 3.0)) == clean


def test_boxes(recipe: ModuleType, rng: np.random.Generator) -> None:
    tight, image = np.array([140.0, 140.0, 260.0, 260.0]), np.zeros((400, 400, 3), np.uint8)
    boxes = np.array([recipe.boxes_of(tight, image, rng) for _ in range(200)])
    assert boxes.shape == (200, 6, 4)
    sides = boxes[..., 2] - boxes[..., 0]
    np.testing.assert_allclose(sides, boxes[..., 3] - boxes[..., 1])
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    assert sides[:, :3].mean() == pytest.approx(0.963 * 120, rel=0.02)
    assert (centres[:, :3] - 200).std() == pytest.approx(0.064 * 120, rel=0.1)
    assert np.ptp(sides[:, 3:5]) > 120
    background = boxes[:, 5]
    assert background.min() >= 0
    assert background.max() <= 400
    assert (np.abs(centres[:, 5] - 200).max(axis=1) > 60).all()
    # No room beside the face: no background.
    assert len(recipe.boxes_of(tight - 140, np.zeros((120, 120, 3), np.uint8), rng)) == 5
