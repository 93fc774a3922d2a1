"""CCNN as a .tflite: built-in operators only, and the Keras model's landmarks and counts."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mobile_export
from tfalign import macc
from tfalign.geometry.heatmaps import gaussian_heatmaps
from tfalign.layers import HeatmapArgmax
from tfalign.models import CCNN

SHAPE = (64, 96, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("soft", "filters"), [(True, "separable"), (False, "paper")])
def test_float32_agrees_with_keras(rng, tmp_path, soft: bool, filters: str) -> None:
    keras.utils.set_random_seed(2)
    model = CCNN(5, SHAPE, units=2, width=0.125, trunk="mobile", filters=filters, soft=soft)
    images = rng.integers(0, 256, (4, *SHAPE), dtype=np.uint8)
    result = mobile_export.export(
        model, "float32", out=tmp_path / "out", images=images, allow_loss=True
    )
    assert result.parity.max_px <= 1e-3
    assert not {"CUSTOM", "DELEGATE"} & set(result.histogram)
    # Keras takes the largest of top-k for the arg max; either is built in.
    assert {"ARG_MAX", "TOPK_V2"} & set(result.histogram)
    assert macc.count_tflite(result.path).macc == macc.count(model).macc


def _blobs(rng, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns pictures (count, size, size, 3) uint8 of one spot of each colour, and the spots."""
    colours = np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]])
    landmarks = rng.uniform(0.15, 0.85, (count, len(colours), 2)).astype(np.float32)
    axis = (np.arange(size) + 0.5) / size
    images = 0.3 + rng.normal(0.0, 0.03, (count, size, size, 3))
    for k, colour in enumerate(colours):
        x, y = landmarks[:, k, 0, None, None], landmarks[:, k, 1, None, None]
        distance = (axis[None, None, :] - x) ** 2 + (axis[None, :, None] - y) ** 2
        share = np.exp(-distance / (2 * 0.05**2))[..., None]
        images = images * (1 - share) + share * colour
    return np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8), landmarks


FORMS = {
    "paper": {"units": 1},
    "mobile": {"units": 2, "trunk": "mobile", "filters": "separable", "soft": True},
}


@pytest.fixture(scope="module", params=FORMS)
def fitted(request) -> tuple[CCNN, np.ndarray]:
    """A CCNN whose maps have learned peaks, as training gives them, and its eight pictures.

    The maps of an untrained network are nearly flat: rounding chooses their maxima.
    """
    import tensorflow as tf

    images, landmarks = _blobs(np.random.default_rng(0), 8, 48)
    keras.utils.set_random_seed(0)
    model = CCNN(5, (48, 48, 3), width=0.125, dropout=0.0, **FORMS[request.param])
    training = model.training_model
    for layer in training.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.8  # its statistics must settle within these few steps
    inputs, maps = images.astype(np.float32), gaussian_heatmaps(landmarks, (12, 12), 1.3)
    optimizer = keras.optimizers.Adam(3e-3)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            found = training(inputs, training=True)
            loss = tf.constant(0.0)
            for k in range(model.units + 1):
                loss += tf.reduce_mean((found[f"heatmap_{k}"] - maps) ** 2)
            for k in range(1, model.units + 1):
                loss += tf.reduce_mean((found[f"refined_{k}"] - landmarks) ** 2)
        variables = training.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    for _ in range(160):
        step()
    error = np.linalg.norm((np.asarray(model(inputs, training=False)) - landmarks) * 48, axis=-1)
    assert error.mean() < 1.0  # of cells of 4 pixels: the peaks are where the spots are
    return model, images


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dynamic", "int8"])
def test_rounded_weights_keep_the_peaks_of_a_fitted_model(fitted, tmp_path, kind: str) -> None:
    model, images = fitted
    calibration = images if kind == "int8" else None
    result = mobile_export.export(
        model, kind, calibration, tmp_path / "out", images=images, allow_loss=True
    )
    found = mobile_export.Runner(result.path)(images)
    expected = np.asarray(model(images.astype(np.float32), training=False))
    distance = np.linalg.norm((found - expected) * 48, axis=-1)
    # Plain maxima stay in their cells; within a cell a point follows the heights, rounded or not.
    assert np.median(distance) <= (0.3 if model.soft else 0.1)
    assert distance.mean() <= 0.5  # where two cells are alike, a peak may move by one, 4 pixels
    assert macc.count_tflite(result.path).macc == macc.count(model).macc


@pytest.mark.slow
@pytest.mark.parametrize("soft", [False, True])
def test_maxima_on_the_border_are_found_by_the_runtime_too(tmp_path, soft: bool) -> None:
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    landmarks = np.float32([[[0, 0.3], [1, 1], [0.52, 0], [0.31, 0.77]]])
    maps = gaussian_heatmaps(landmarks, (12, 16), 1.3)
    symbol = keras.Input(maps.shape[1:], batch_size=1)
    model = keras.Model(symbol, HeatmapArgmax(soft)(symbol))
    model.export(tmp_path / "saved", verbose=False)
    content = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")).convert()
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], maps)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, np.asarray(model(maps)), atol=1e-6)
