"""HeatmapArgmax: the inverse of GaussianHeatmaps, and what it does with maps that are none."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from contract.gradients import gradients
from contract.other_backend import other_backend
from tfalign.geometry.heatmaps import gaussian_heatmaps
from tfalign.layers import GaussianHeatmaps, HeatmapArgmax

ROWS, COLUMNS = 32, 24


def places(maps: np.ndarray, **arguments) -> np.ndarray:
    return ops.convert_to_numpy(HeatmapArgmax(**arguments)(maps))


def points(rng: np.random.Generator) -> np.ndarray:
    """Points inside, on every side of the border, in the corners, and outside."""
    inside = rng.uniform(0, 1, (40, 2))
    border = rng.uniform(0, 1, (40, 2))
    border[np.arange(40), np.arange(40) % 2] = np.arange(40) // 2 % 2
    corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
    outside = rng.uniform(-0.5, 1.5, (40, 2))
    return np.concatenate([inside, border, corners, outside])[None].astype("float32")


@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=pytest.mark.jax)])
@pytest.mark.parametrize(("soft", "cells"), [(False, 0.5), (True, 0.01)])
@pytest.mark.parametrize("sigma", [1.0, 1.3, 2.0])
def test_inverts_the_gaussian(
    rng, tmp_path: Path, backend: str, soft: bool, cells: float, sigma: float
) -> None:
    landmarks = points(rng)
    symbol = keras.Input(landmarks.shape[1:])
    maps = GaussianHeatmaps((ROWS, COLUMNS), sigma)(symbol)
    model = keras.Model(symbol, HeatmapArgmax(soft, sigma)(maps))
    if backend == keras.backend.backend():
        found = ops.convert_to_numpy(model(landmarks))
    else:
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
        answer = other_backend(backend).compute(
            tmp_path / "other", config, [], [landmarks], 0, [], ("tfalign",)
        )
        found = answer["outputs"][0]
    error = (found - np.clip(landmarks, 0, 1)) * (COLUMNS, ROWS)
    assert np.abs(error).max() <= cells + 1e-4


def test_a_gaussian_of_another_width_is_inverted_too(rng) -> None:
    landmarks = rng.uniform(0.1, 0.9, (1, 60, 2)).astype("float32")
    for width in (0.93, 1.1, 1.6, 1.83):
        found = places(gaussian_heatmaps(landmarks, (ROWS, COLUMNS), width), soft=True, sigma=1.3)
        assert np.abs((found - landmarks) * (COLUMNS, ROWS)).max() < 0.01
    for width in (0.8, 1.95):
        found = places(gaussian_heatmaps(landmarks, (ROWS, COLUMNS), width), soft=True, sigma=1.3)
        assert 0.01 < np.abs((found - landmarks) * (COLUMNS, ROWS)).max() < 0.1


def test_soft_takes_cells_below_zero_as_zero(rng) -> None:
    landmarks = rng.uniform(0.1, 0.9, (1, 20, 2)).astype("float32")
    maps = gaussian_heatmaps(landmarks, (ROWS, COLUMNS), 1.3) - 0.05
    cut = np.maximum(maps, 0)
    np.testing.assert_array_equal(places(maps, soft=True), places(cut, soft=True))


def test_plain_is_numpys_argmax(rng) -> None:
    maps = rng.normal(size=(3, 7, 9, 5)).astype("float32")
    for face, point in np.ndindex(3, 5):
        row, column = np.unravel_index(maps[face, :, :, point].argmax(), (7, 9))
        expected = ((column + 0.5) / 9, (row + 0.5) / 7)
        np.testing.assert_allclose(places(maps)[face, point], expected, atol=1e-6)


def test_soft_is_the_vertex_of_a_parabola_through_logarithms(rng) -> None:
    """Blobs of two Gaussians are no Gaussians; the vertex is NumPy's least squares."""
    centres = rng.uniform(0.2, 0.8, (1, 30, 2)).astype("float32")
    moved = centres + rng.uniform(-0.03, 0.03, centres.shape).astype("float32")
    maps = gaussian_heatmaps(centres, (ROWS, COLUMNS), 1.2)
    maps = maps + 0.6 * gaussian_heatmaps(moved, (ROWS, COLUMNS), 1.6)
    found = places(maps, soft=True) * (COLUMNS, ROWS)
    for point in range(30):
        blob = maps[0, :, :, point].astype(np.float64)
        row, column = np.unravel_index(blob.argmax(), blob.shape)
        window = blob[row - 2 : row + 3, column - 2 : column + 3]
        for axis, start in ((0, column), (1, row)):
            logarithms = np.log(window.sum(axis=axis)[1:4])
            bend, slope, _ = np.polyfit([-1, 0, 1], logarithms, 2)
            assert 0.5 < -2 * bend * 1.3**2 < 2  # inside what the layer leaves as it is
            expected = start + 0.5 + np.clip(-slope / (2 * bend), -0.5, 0.5)
            np.testing.assert_allclose(found[0, point, axis], expected, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, -1.0, 3e4])
def test_constant_maps_give_the_first_cell(value: float) -> None:
    maps = np.full((1, 6, 8, 2), value, "float32")
    np.testing.assert_allclose(places(maps), [[[0.5 / 8, 0.5 / 6]] * 2], atol=1e-6)
    soft = places(maps, soft=True) * (8, 6)
    assert ((soft > -1e-6) & (soft < 1 + 1e-6)).all()


def test_soft_stays_within_the_largest_cell(rng) -> None:
    maps = np.maximum(rng.normal(size=(4, 9, 9, 6)), 0).astype("float32")
    difference = (places(maps, soft=True) - places(maps)) * 9
    assert np.abs(difference).max() <= 0.5 + 1e-5
    assert np.abs(difference).max() > 0.3


def test_no_gradient_passes(rng) -> None:
    maps = rng.uniform(size=(2, 6, 6, 3)).astype("float32")
    for soft in (False, True):
        _, (gradient,) = gradients(HeatmapArgmax(soft), maps, [np.ones((2, 3, 2), "float32")])
        assert gradient is None or not np.any(gradient)


def test_positions_are_float32_under_any_policy(rng) -> None:
    landmarks = rng.uniform(0, 1, (1, 20, 2)).astype("float32")
    maps = gaussian_heatmaps(landmarks, (112, 112), 1.3)
    found = HeatmapArgmax(soft=True, dtype="mixed_float16")(maps)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert np.abs(ops.convert_to_numpy(found) - landmarks).max() * 112 < 0.01


@pytest.mark.jax
@pytest.mark.parametrize("soft", [False, True])
def test_contract(rng, tmp_path, soft: bool) -> None:
    run_contract(
        HeatmapArgmax,
        rng.uniform(size=(3, 7, 9, 4)).astype("float32"),
        {"soft": soft, "sigma": 1.1},
        tmp_path,
        expected_shape=(3, 4, 2),
    )


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match=r"`sigma` must be positive\. Received: sigma=0"):
        HeatmapArgmax(sigma=0)
    with pytest.raises(ValueError, match="of known size"):
        HeatmapArgmax()(np.zeros((2, 5, 3), "float32"))
    with pytest.raises(ValueError, match="of known size"):
        HeatmapArgmax()(keras.Input((None, 8, 3)))
