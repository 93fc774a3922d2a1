"""DeepReg as a .tflite: built-in operators only, and the Keras model's landmarks."""

from __future__ import annotations

import numpy as np
import pytest

import mobile_export
from tfalign.models import DeepReg

SHAPE = (64, 72, 3)


@pytest.mark.slow
@pytest.mark.parametrize("global_layer", [True, False])
def test_float32_agrees_with_keras(rng, tmp_path, global_layer: bool) -> None:
    model = DeepReg(
        num_landmarks=5,
        input_shape=SHAPE,
        local_layers=2,
        patches=(16, 8),
        global_layer=global_layer,
    )
    model.set_mean_shape(rng.uniform(0.2, 0.8, (5, 2)))
    for weight in model.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.01, size=weight.shape))
    images = rng.integers(0, 256, (4, *SHAPE), dtype=np.uint8)
    result = mobile_export.export(
        model, "float32", out=tmp_path / "out", images=images, allow_loss=True
    )
    assert result.parity.max_px <= 0.05
    assert not {"CUSTOM", "DELEGATE"} & set(result.histogram)
