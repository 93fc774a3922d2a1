"""Files that version 0.1 wrote still open; `make_0_1.py` made them with its code."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tfalign.data.pipeline import CropCache

FILES = Path(__file__).parent / "v0_1"


@pytest.fixture(scope="module")
def outputs():
    with np.load(FILES / "outputs.npz") as stored:
        return {name: stored[name] for name in stored.files}


def test_models(outputs):
    model = keras.saving.load_model(FILES / "greglref.keras")
    np.testing.assert_allclose(model(outputs["images"]), outputs["landmarks"], atol=1e-5)
    # Version 0.1 took the scheme from the number of points, without being told.
    assert model.scheme.name == "ibug68"
    assert model.crop.padding == (0.1, 0.1, 0.1, 0.1)


def test_crop_caches():
    cache = CropCache.load(FILES / "cache")
    with np.load(FILES / "cache_values.npz") as stored:
        np.testing.assert_allclose(cache.unit_landmarks, stored["unit_landmarks"], atol=1e-6)
    assert cache.scheme.name == "wflw98"
    assert len(cache) == 2


def test_exported_folders():
    check = pytest.importorskip("mobile_export.check")
    assert check.check(FILES / "exported").passed
