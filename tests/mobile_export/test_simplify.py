"""Files without needless operators give the same results as Keras."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from mobile_export.converter import convert
from mobile_export.simplify import TAPS, is_tile, simplify, tiles_of
from tfalign.tflite import Graph, Runner

FILTERS: list[dict[str, Any]] = [
    {"kernel_size": (13, 13), "padding": "same", "activation": "relu"},
    {"kernel_size": (7, 9), "padding": "same", "strides": 2, "depth_multiplier": 2},
    {"kernel_size": (1, 31), "padding": "same", "use_bias": False},
    {"kernel_size": (6, 6), "padding": "valid", "activation": "relu6"},
    {"kernel_size": (6, 5), "padding": "same", "dilation_rate": 2},
]


@pytest.mark.parametrize("options", FILTERS)
def test_large_depthwise_filters_become_tiles_with_the_same_sum(options: dict[str, Any]) -> None:
    keras.utils.set_random_seed(3)
    image = keras.Input((33, 40, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(image))
    wide = layers.DepthwiseConv2D(bias_initializer="random_normal", **options)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="tanh")(wide(x)))
    model = keras.Model(image, layers.Reshape((3, 2))(x))
    content = convert(model)
    graph = Graph.read(content)
    taps = [
        graph.tensors[op.inputs[1]].shape[1:3]
        for op in graph.operators
        if op.kind == "DEPTHWISE_CONV_2D"
    ]
    assert len(taps) > 1
    assert max(height * width for height, width in taps) <= TAPS
    assert sum(height * width for height, width in taps) == np.prod(options["kernel_size"])
    pictures = np.random.default_rng(0).integers(0, 256, (3, 33, 40, 3), "uint8")
    expected = ops.convert_to_numpy(model(pictures.astype("float32")))
    np.testing.assert_allclose(Runner(content)(pictures), expected, atol=2e-6)
    assert any(is_tile(graph.layer(op)) for op in graph.operators)


def test_tiles_cover_every_tap_once() -> None:
    for height, width in itertools.product(range(1, 32), repeat=2):
        covered = np.zeros((height, width), int)
        for y, x in tiles_of(height, width):
            covered[y, x] += 1
            assert covered[y, x].size <= TAPS
        assert (covered == 1).all()


class LookUp(layers.Layer):
    """Takes cells at indices that may be negative, or never are."""

    def __init__(self, lowest: int) -> None:
        super().__init__()
        self.lowest = lowest

    def call(self, images: Any) -> Any:
        cells = ops.reshape(images, (-1, 1))
        index = ops.cast(ops.floor(cells[:8, 0] * 0.1), "int32")
        index = ops.clip(index - 12, self.lowest, 20)
        return ops.reshape(ops.take(cells, index, axis=0), (-1, 4, 2)) / 255


@pytest.mark.parametrize(("lowest", "guards"), [(0, 0), (-5, 1)])
def test_guards_go_only_where_no_index_is_negative(lowest: int, guards: int) -> None:
    image = keras.Input((4, 5, 3))
    content = convert(keras.Model(image, LookUp(lowest)(image)))
    kinds = Graph.read(content).histogram()
    assert kinds.get("SELECT", 0) + kinds.get("SELECT_V2", 0) == guards
    pictures = np.random.default_rng(1).integers(0, 256, (5, 4, 5, 3), "uint8")
    cells = pictures.reshape(5, -1)
    index = np.clip(np.floor(cells[:, :8] * np.float32(0.1)).astype(int) - 12, lowest, 20)
    expected = np.take_along_axis(cells, index % 60, axis=1).reshape(5, 4, 2) / 255
    np.testing.assert_allclose(Runner(content)(pictures), expected, atol=1e-6)


def test_what_is_simple_stays_as_it_is() -> None:
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(layers.DepthwiseConv2D(5, padding="same")(image))
    graph = Graph.read(convert(keras.Model(image, layers.Reshape((2, 2))(layers.Dense(4)(x)))))
    again = simplify(graph)
    assert again.histogram() == graph.histogram()
    assert [t.name for t in again.tensors] == [t.name for t in graph.tensors]


def test_an_index_that_forks_forty_times_is_looked_at_once() -> None:
    """Walking every path to where an index comes from would take 2⁴⁰ steps."""
    image = keras.Input((4, 4, 3))
    y = keras.ops.relu(layers.Flatten()(layers.Rescaling(1 / 255)(image))[:, :4])
    for _ in range(40):
        y = keras.ops.minimum(y, keras.ops.floor(y) + 0.5)
    index = keras.ops.cast(keras.ops.minimum(4 * y, 3.0), "int32")
    found = keras.ops.take(np.arange(4, dtype=np.float32), index)
    model = keras.Model(image, layers.Reshape((2, 2))(found))
    pictures = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), "uint8")
    graph = Graph.read(convert(model))
    np.testing.assert_array_equal(Runner(graph)(pictures), model.predict(pictures, verbose=0))
    assert "SELECT_V2" not in graph.histogram()
    assert "SELECT" not in graph.histogram()
