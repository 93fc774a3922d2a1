"""A small fitted-looking model and its pictures, shared by the tests of the exporters."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tfalign.layers import LandmarkwiseDense

EXTRAS = ("ai_edge_litert", "ai_edge_quantizer", "tf_keras", "tensorflow_model_optimization")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips these tests where the extra `mobile` is not installed."""
    missing = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        for item in items:
            if "tests/mobile_export" in str(item.path).replace("\\", "/"):
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))


def _like_trained(
    model: Any, pictures: np.ndarray, heads: Mapping[str, float] | None = None
) -> Any:
    """Gives a new model what training gives: settled statistics, outputs inside the picture.

    An untrained network's outputs lie anywhere, so that a distance in pixels says nothing. Here
    batch normalisation takes the statistics of ``pictures``, and each layer of ``heads`` is scaled
    so that its outputs differ by so much of the picture from one picture to the next.
    """
    import keras

    rng = np.random.default_rng(7)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    images = pictures.astype(np.float32)
    model.training_model(images, training=True)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            if layer.center:
                layer.beta.assign(rng.normal(0.0, 0.1, layer.beta.shape))
    model.set_mean_shape(rng.uniform(0.3, 0.7, (model.num_landmarks, 2)))
    for name, spread in ({"fc": 0.04} if heads is None else heads).items():
        head = model.get_layer(name)
        if not np.any(head.kernel):
            head.kernel.assign(rng.normal(size=head.kernel.shape))
        outputs = np.asarray(keras.Model(model.input, head.output)(images))
        head.kernel.assign(head.kernel * (spread / outputs.std(axis=0).mean()))
    for layer in model.layers:
        if isinstance(layer, LandmarkwiseDense):
            layer.bias.assign(rng.normal(0.0, 0.1, layer.bias.shape))
    return model


def _pictures(count: int, size: tuple[int, int]) -> np.ndarray:
    """Returns smooth pictures of different brightness, contrast and tint; size is (h, w).

    Pictures of one distribution look alike to an untrained network; scaling up what is left of
    their differences would scale up rounding errors as much.
    """
    from mobile_export.pictures import noise_pictures

    rng = np.random.default_rng(3)
    gain = rng.uniform(0.1, 0.5, (count, 1, 1, 3))
    level = rng.uniform(0.0, 1.0, (count, 1, 1, 3))
    smooth = noise_pictures(count, size, seed=3) / 255.0
    return np.rint(255.0 * np.clip(level + gain * (smooth - 0.5), 0.0, 1.0)).astype(np.uint8)


@pytest.fixture(scope="session")
def like_trained() -> Callable[..., Any]:
    """The function that gives a new model what training gives, for tests with other models."""
    return _like_trained


@pytest.fixture(scope="session")
def make_pictures() -> Callable[[int, tuple[int, int]], np.ndarray]:
    """The function that makes pictures: (count, (height, width)) → (count, h, w, 3) uint8."""
    return _pictures


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """Smooth pictures (24, 48, 48, 3) uint8 of different brightness, contrast and tint."""
    return _pictures(24, (48, 48))


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
