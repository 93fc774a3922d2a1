"""Weights: saving in half precision, loading, and every way in which they may not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfalign import markup, models
from tfalign.data import sets, synthetic
from tfalign.data.pipeline import CropCache, evaluation_arrays
from tfalign.models import GRegLRef, save_weights, weights

SMALL: dict[str, Any] = {"input_shape": (64, 64, 3), "width": 0.25, "trunk": "mobile"}


def images(count: int = 2, side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("uint8")


def outputs(model: keras.Model) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model.stage_shapes(images())))


@pytest.fixture(scope="module")
def model() -> GRegLRef:
    keras.utils.set_random_seed(3)
    model = GRegLRef(68, crop="300w", **SMALL, scheme="ibug68")
    model.set_mean_shape(np.random.default_rng(1).uniform(0.2, 0.8, (68, 2)))
    return model


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 2e-3)])
def test_saved_weights_give_the_same_model(
    model: GRegLRef, tmp_path: Path, dtype: str, tolerance: float
) -> None:
    path = tmp_path / "w.npz"
    save_weights(model, path, dtype)
    again = GRegLRef(68, crop="300w", weights=str(path), **SMALL, scheme="ibug68")
    assert np.abs(outputs(again) - outputs(model)).max() < tolerance
    assert [p.name for p in tmp_path.iterdir()] == ["w.npz"]


def test_weights_from_a_keras_file(model: GRegLRef, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    model.save(path)
    again = GRegLRef(68, crop="300w", weights=str(path), **SMALL, scheme="ibug68")
    np.testing.assert_array_equal(outputs(again), outputs(model))


def test_weights_of_another_number_of_points_are_refused(model: GRegLRef, tmp_path: Path) -> None:
    save_weights(model, tmp_path / "w.npz")
    model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"num_landmarks=98.*fc/kernel"):
        GRegLRef(98, weights=str(tmp_path / "w.npz"), **SMALL, scheme="wflw98")
    with pytest.raises(ValueError, match=r"num_landmarks=98 \(weights: 68\)"):
        GRegLRef(98, weights=str(tmp_path / "m.keras"), **SMALL, scheme="wflw98")


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        GRegLRef(68, weights=str(tmp_path / "nowhere.npz"), **SMALL, scheme="ibug68")
    with pytest.raises(ValueError, match="presets"):
        GRegLRef(68, weights="no_such_preset", **SMALL, scheme="ibug68")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ValueError, match="bad.npz"):
        GRegLRef(68, weights=str(tmp_path / "bad.npz"), **SMALL, scheme="ibug68")


def test_a_pickle_in_a_weights_file_is_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", **{"fc/kernel": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ValueError, match="evil.npz"):
        GRegLRef(68, weights=str(tmp_path / "evil.npz"), **SMALL, scheme="ibug68")


def test_shipped_presets_load_and_fit_their_sidecar() -> None:
    for name, sidecar in weights.shipped_presets().items():
        model = models.load(name)
        if sidecar["file"] is None:
            # What was measured is what its members are now.
            assert sidecar["sha256"] == weights.digest_of(sidecar["config"]["members"])
        else:
            file = weights.WEIGHTS_DIR / sidecar["file"]
            assert file.stat().st_size <= 5_000_000 or name == "300w_deepreg"  # the second wheel
        assert model.scheme is not None
        assert {"class", "config", "file", "licence", "provenance", "measured"} <= set(sidecar)
        json.dumps(sidecar)
        shape = np.asarray(keras.ops.convert_to_numpy(model(images(1, model.image_size[0]))))
        assert shape.shape == (1, model.num_landmarks, 2)
        assert np.isfinite(shape).all()


@pytest.mark.slow
def test_every_preset_can_be_trained_further(tmp_path: Path) -> None:
    """In training, batch normalisation divides by the spread of the batch: statistics that were
    moved into other weights would make another function of the model there."""
    root = synthetic.write_wflw(tmp_path / "faces", train=64, test=1, seed=2)
    faces = sets.get("wflw").read(root, "train", box="landmarks")
    for name in weights.shipped_presets():
        model = models.load(name)
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        cache = CropCache.build(faces, model.crop, model.image_size)
        pictures = evaluation_arrays(cache)[0].astype("float32")
        usual, training = (
            keras.ops.convert_to_numpy(model(pictures, training=mode)) for mode in (False, True)
        )
        apart = np.linalg.norm(training - usual, axis=-1).mean() * model.image_size[1]
        assert apart < 4.0, f"{name}: {apart:.1f} px"


def test_from_preset_on_every_class() -> None:
    model = GRegLRef.from_preset("300w")
    assert model.scheme == markup.get("ibug68")
    assert type(models.LandmarkModel.from_preset("300w")) is GRegLRef
    with pytest.raises(ValueError, match=r"`GRegLRef.from_preset`"):
        models.DSSD.from_preset("300w")
    with pytest.raises(ValueError, match="Presets are"):
        models.CCNN.from_preset("nothing")


def test_weights_of_the_same_points_in_another_order_are_refused(model: GRegLRef, tmp_path) -> None:
    model.save(tmp_path / "m.keras")
    ibug = markup.get("ibug68")
    other = markup.LandmarkScheme("backwards", ibug.points[::-1])
    with pytest.raises(ValueError, match="'ibug68', the model's is 'backwards'"):
        GRegLRef(scheme=other, weights=str(tmp_path / "m.keras"), **SMALL)


def test_load_refuses_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of the presets"):
        models.load("no_such_preset")
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        models.load(tmp_path / "none.keras")


def test_weights_of_the_second_wheel_are_asked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(weights, "WEIGHTS_DIR", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"pip install \.ci/weights_wheel"):
        weights.load_preset("300w")
    # Of another version: the same shapes, other numbers.
    other = models.GRegLRef.from_config(weights.shipped_presets()["300w"]["config"])
    save_weights(other, tmp_path / "300w.npz")
    with pytest.raises(ValueError, match="damaged or from another one"):
        weights.load_preset("300w")
