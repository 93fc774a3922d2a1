"""Unequal channels do not cost an int8 file its accuracy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from mobile_export import quantize
from mobile_export.converter import convert
from mobile_export.equalize import equalize
from mobile_export.parity import compare, keras_landmarks
from tfalign.tflite import Graph, Runner


def _unequal_gdconv(model: Any) -> None:
    """Scales gdconv's channels and lets the normalisation behind it undo that."""
    gdconv, norm = model.get_layer("gdconv_dwconv"), model.get_layer("gdconv_bn")
    (kernel,) = gdconv.get_weights()
    gamma, beta, mean, variance = norm.get_weights()
    factor = np.exp(np.linspace(-4, 4, kernel.shape[2])).astype(np.float32)
    gdconv.set_weights([kernel * factor[:, None]])
    deviation = np.sqrt(variance + norm.epsilon)
    norm.set_weights(
        [gamma / deviation / factor, beta, mean * factor, np.full_like(variance, 1 - norm.epsilon)]
    )


@pytest.mark.slow
def test_channels_behind_gdconv(model: Any, pictures: np.ndarray) -> None:
    unequal = keras.models.clone_model(model)
    unequal.set_weights(model.get_weights())
    _unequal_gdconv(unequal)
    expected = keras_landmarks(unequal, pictures)
    np.testing.assert_allclose(expected, keras_landmarks(model, pictures), atol=1e-4)
    graph = Graph.read(convert(unequal))
    equal = equalize(graph, pictures)
    np.testing.assert_allclose(Runner(equal)(pictures), expected, atol=1e-5)
    lost = [
        compare(Runner(quantize.quantize_mixed(one, pictures)[0])(pictures), expected, (48, 48))
        for one in (graph, equal)
    ]
    assert lost[1].mean_px < 0.5 * lost[0].mean_px


def _biased(x: Any) -> Any:
    return layers.Conv2D(4, 1, bias_initializer="random_normal")(x)


def _bounded(x: Any) -> Any:
    """Returns a map that cannot be scaled."""
    return layers.ReLU(6.0)(_biased(x))


CHAINS: dict[str, Callable[[Any], Any]] = {
    "depthwise": lambda x: layers.Conv2D(4, 1)(layers.DepthwiseConv2D(3, activation="relu")(x)),
    "pool": lambda x: layers.Dense(6, activation="relu")(
        layers.Flatten()(layers.MaxPooling2D()(x))
    ),
    "prelu": lambda x: layers.Conv2D(4, 3)(layers.PReLU(shared_axes=[1, 2])(x)),
    "padded": lambda x: layers.Conv2D(4, 3, strides=2)(layers.ZeroPadding2D(2)(x)),
    "joined": lambda x: layers.Conv2D(4, 3)(layers.Concatenate()([_biased(x), x, _bounded(x)])),
    "joined twice": lambda x: layers.Conv2D(4, 3)(layers.Concatenate()([x, x])),
    "joined, then added": lambda x: layers.Conv2D(4, 1)(
        layers.Add()([layers.Concatenate()([x, x]), layers.Conv2D(16, 1)(x)])
    ),
    "joined rows": lambda x: layers.Conv2D(4, 1)(layers.Concatenate(axis=1)([x, x])),
    "residual": lambda x: layers.Add()([x, layers.Conv2D(8, 1)(x)]),
    "relu6": lambda x: layers.Conv2D(4, 3)(layers.ReLU(6.0)(x)),
    "multiplier": lambda x: layers.Conv2D(4, 1)(layers.DepthwiseConv2D(3, depth_multiplier=2)(x)),
}
MOVED = {"depthwise", "pool", "prelu", "padded", "joined", "joined twice"}


@pytest.mark.parametrize("name", CHAINS)
def test_the_function_stays_and_channels_become_alike(name: str) -> None:
    keras.utils.set_random_seed(1)
    image = keras.Input((12, 12, 3))
    # Behind a ReLU there would be nothing left for a PReLU, and no operator of that name.
    activation = None if name == "prelu" else "relu"
    first = layers.Conv2D(8, 3, activation=activation, bias_initializer="random_normal")
    x = CHAINS[name](first(layers.Rescaling(1 / 255)(image)))
    x = layers.Reshape((2, 2))(layers.Dense(4)(layers.Flatten()(x)))
    kernel, bias = first.get_weights()
    factor = np.exp(np.linspace(-3, 3, 8)).astype(np.float32)
    first.set_weights([kernel * factor, bias * factor])
    graph = Graph.read(convert(keras.Model(image, x)))
    pictures = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3), "uint8")
    equal = equalize(graph, pictures)
    expected = Runner(graph)(pictures)
    np.testing.assert_allclose(Runner(equal)(pictures), expected, rtol=1e-4, atol=1e-5)
    # What was replaced does not stay in the file.
    assert len(equal.tensors) == len(graph.tensors)
    assert len(equal.content) < 1.1 * len(graph.content)

    def spread(one: Graph) -> float:
        op = next(op for op in one.operators if op.kind == "CONV_2D")
        weight = one.values(op.inputs[1]).view(np.float32).reshape(8, -1)
        size = np.abs(weight).max(axis=1)
        return float(size.max() / size.min())

    assert (spread(equal) < 0.5 * spread(graph)) == (name in MOVED)


def test_a_channel_that_no_picture_reaches_does_not_set_the_readers_scale() -> None:
    keras.utils.set_random_seed(1)
    image = keras.Input((12, 12, 3))
    first = layers.Dense(64, activation="relu")
    second = layers.Dense(32)
    x = second(first(layers.Flatten()(layers.Rescaling(1 / 255)(image))))
    model = keras.Model(image, layers.Reshape((16, 2))(x))
    kernel, bias = first.get_weights()
    bias[5] = -1e3  # Off on every picture, and read with weights like those of rare features.
    first.set_weights([kernel, bias])
    kernel, bias = second.get_weights()
    kernel[5] *= 1e3
    second.set_weights([kernel, bias])
    pictures = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3), "uint8")
    equal = equalize(Graph.read(convert(model)), pictures)
    expected = Runner(equal)(pictures)
    stored, _ = quantize.quantize_weights(equal, "dynamic")
    error = np.abs(Runner(Graph.read(stored))(pictures) - expected).max()
    assert error < 0.05 * np.abs(expected).max()


def test_small_maps_beside_large_features_keep_their_steps() -> None:
    keras.utils.set_random_seed(1)
    image = keras.Input((12, 12, 3))
    features = layers.Conv2D(8, 3, activation="relu", padding="same")
    maps = layers.Conv2D(8, 3, activation="relu", padding="same")
    reader = layers.Conv2D(8, 1, activation="relu")
    x = layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = reader(layers.Concatenate()([features(x), maps(x)]))
    x = layers.Conv2D(8, 3, activation="relu")(x)
    model = keras.Model(image, layers.Reshape((2, 2))(layers.Dense(4)(layers.Flatten()(x))))
    kernel, bias = features.get_weights()
    features.set_weights([kernel * 100, bias])
    kernel, bias = reader.get_weights()
    kernel[:, :, :8] /= 1000  # What the large features say is of little weight.
    reader.set_weights([kernel, bias])
    pictures = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 3), "uint8")
    graph = Graph.read(convert(model))
    expected = keras_landmarks(model, pictures)
    errors = []
    for one in (graph, equalize(graph, pictures)):
        content, decisions = quantize.quantize_mixed(one, pictures)
        assert "static" in {d.precision for d in decisions if d.operator == "CONCATENATION"}
        errors.append(np.abs(Runner(Graph.read(content))(pictures) - expected).mean())
    assert errors[1] < 0.2 * errors[0]
