"""A small fitted-looking model and its pictures, shared by the tests of the exporters."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

EXTRAS = ("ai_edge_litert", "ai_edge_quantizer", "tf_keras", "tensorflow_model_optimization")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips these tests where the extra `mobile` is not installed."""
    missing = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        for item in items:
            if "tests/mobile_export" in str(item.path).replace("\\", "/"):
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))


def _like_trained(model: Any, pictures: np.ndarray, spread: float = 0.04) -> Any:
    """Gives a new model what training gives: settled statistics, outputs inside the picture.

    An untrained network's outputs lie anywhere, so that a distance in pixels says nothing. Here
    batch normalisation takes the statistics of ``pictures``, and the first dense layer is scaled
    so that the landmarks of different pictures differ by ``spread`` of the picture.
    """
    import keras

    rng = np.random.default_rng(7)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model.training_model(pictures.astype(np.float32), training=True)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
            layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(rng.normal(0.0, 0.1, layer.beta.shape))
    head = model.get_layer("fc")
    model.set_mean_shape(rng.uniform(0.3, 0.7, (model.num_landmarks, 2)))
    outputs = np.asarray(model.stage_shapes(pictures.astype(np.float32)))[:, 0]
    head.kernel.assign(head.kernel * (spread / outputs.std(axis=0).mean()))
    for name in ("local_1", "local_2"):
        if name in {layer.name for layer in model.layers}:
            local = model.get_layer(name)
            local.bias.assign(rng.normal(0.0, 0.1, local.bias.shape))
    return model


@pytest.fixture(scope="session")
def like_trained() -> Callable[..., Any]:
    """The function that gives a new model what training gives, for tests with other models."""
    return _like_trained


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """Smooth pictures (24, 48, 48, 3) uint8 of different brightness, contrast and tint.

    Pictures of one distribution look alike to an untrained network; scaling up what is left of
    their differences would scale up rounding errors as much.
    """
    from mobile_export.pictures import noise_pictures

    rng = np.random.default_rng(3)
    gain = rng.uniform(0.1, 0.5, (24, 1, 1, 3))
    level = rng.uniform(0.0, 1.0, (24, 1, 1, 3))
    smooth = noise_pictures(24, (48, 48), seed=3) / 255.0
    return np.rint(255.0 * np.clip(level + gain * (smooth - 0.5), 0.0, 1.0)).astype(np.uint8)


@pytest.fixture(scope="session")
def model(pictures: np.ndarray) -> Any:
    """A small GRegLRef with 12 landmarks at 48 × 48."""
    import keras

    from tfalign.models import GRegLRef

    keras.utils.set_random_seed(0)
    small = GRegLRef(12, (48, 48, 3), width=0.125, crop="300w")
    return _like_trained(small, pictures)


@pytest.fixture(scope="session")
def float_file(model: Any) -> bytes:
    """The small model as float32 `.tflite` bytes."""
    from mobile_export.converter import convert

    return convert(model)
