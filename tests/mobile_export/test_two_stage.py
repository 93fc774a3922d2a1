"""TwoStage as a .tflite: built-in operators only, and the Keras model's landmarks."""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest

import mobile_export
from tfalign import macc
from tfalign.models import TwoStage

MEAN_PX = {"float32": 1e-3, "float16": 0.05, "int8": 0.5}


@pytest.mark.exhaustive
@pytest.mark.parametrize("batch_norm", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_exports_agree_with_keras(rng, tmp_path, batch_norm: bool) -> None:
    keras.utils.set_random_seed(1)
    model = TwoStage(
        num_landmarks=19,
        input_shape=(96, 80, 3),
        width=0.0625,
        face_size=64,
        view_size=40,
        view_width=0.25,
        batch_norm=batch_norm,
        scheme="aflw19",
    )
    model.set_mean_shape(rng.uniform(0.25, 0.75, (19, 2)))
    for weight in model.trainable_weights:
        # Every transform and increment depends on the picture, as after training.
        if "theta_" in weight.path or "increment_" in weight.path:
            weight.assign(weight + rng.normal(scale=0.004, size=weight.shape))
    small = rng.integers(0, 256, (6, 12, 10, 3), dtype=np.uint8)
    images = np.stack([cv2.resize(x, (80, 96), interpolation=cv2.INTER_CUBIC) for x in small])
    expected = macc.count(model).macc
    for kind, limit in MEAN_PX.items():
        result = mobile_export.export(
            model,
            kind,
            calibration=images if kind == "int8" else None,
            out=tmp_path / kind,
            images=images,
            allow_loss=True,
        )
        assert result.parity.mean_px <= limit, kind
        assert result.macc == expected, kind
        assert not {"CUSTOM", "DELEGATE"} & set(result.histogram)
