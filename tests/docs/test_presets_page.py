"""The page of the shipped presets: made of the sidecars, which agree with the curves beside it."""

from __future__ import annotations

import csv
import importlib
import shutil
from pathlib import Path

import pytest

from tfalign.models.weights import shipped_presets

RESULTS = Path(__file__).resolve().parents[2] / "docs/results"
CURVES = sorted((RESULTS / "presets").glob("*.csv"))


def test_page_is_what_the_recipe_writes(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(RESULTS.parents[1] / "recipes")
    recipe = importlib.import_module("preset_page")
    shutil.copytree(RESULTS / "presets", tmp_path / "presets")
    monkeypatch.setattr(recipe, "PAGE", tmp_path / "presets.md")
    monkeypatch.setattr(recipe, "picture", lambda rows, file: None)
    recipe.main()
    assert (tmp_path / "presets.md").read_text() == (RESULTS / "presets.md").read_text()


@pytest.mark.parametrize("curve", CURVES, ids=lambda path: path.stem)
def test_sidecar_says_what_the_curve_ends_with(curve):
    training = shipped_presets()[curve.stem]["training"]
    with curve.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if curve.stem != "300w_phone":  # Its curve is that of the finding network alone.
        assert training["presentations"] == int(rows[-1]["presentations"])
    last = {row.get("phase"): float(row["validation_nme"]) for row in rows}
    for phase, error in last.items():
        # Curves of one column of errors have no phases: they end with the last of them.
        ours = list(training["validation_nme"].values())[-1]
        ours = ours if phase is None else training["validation_nme"][phase]
        assert ours == pytest.approx(error, abs=1e-6)
