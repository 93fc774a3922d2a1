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
    result = mobile_export.export(model, "float32", out=tmp_path / "out", images=images)
    assert result.parity.max_px <= 1e-3
    assert not {"CUSTOM", "DELEGATE"} & set(result.histogram)
    # Keras takes the largest of top-k for the arg max; either is built in.
    assert {"ARG_MAX", "TOPK_V2"} & set(result.histogram)
    assert macc.count_tflite(result.path).macc == macc.count(model).macc


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
