"""The mixed recipe on small graphs written by hand, and int8_full end to end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jsonschema
import keras
import numpy as np
import pytest
from keras import layers

import mobile_export
from mobile_export import precision
from mobile_export.converter import convert
from tfalign.layers.fixed_map import SCOPE
from tfalign.tflite import Graph, Metadata, Operator, Tensor

FLOAT = "FLOAT32"


class Sketch:
    """Writes a graph operator by operator."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []

    def tensor(self, shape: Sequence[int], dtype: str = FLOAT, constant: bool = False) -> int:
        index = len(self.tensors)
        self.tensors.append(Tensor(index, f"t{index}", tuple(shape), dtype, constant))
        return index

    def weight(self, *shape: int) -> int:
        return self.tensor(shape, constant=True)

    def op(
        self, kind: str, inputs: Sequence[int], shape: Sequence[int], fused: str = "NONE"
    ) -> int:
        out = self.tensor(shape)
        self.operators.append(
            Operator(len(self.operators), kind, tuple(inputs), (out,), activation=fused)
        )
        return out

    def precisions(self, inputs: Sequence[int], outputs: Sequence[int]) -> list[str]:
        graph = Graph(tuple(self.tensors), tuple(self.operators), tuple(inputs), tuple(outputs))
        return [f"{d.operator} {d.precision}" for d in precision.mixed(graph)]


def test_residual_trunk_and_coordinate_layer() -> None:
    g = Sketch()
    image = g.tensor((1, 8, 8, 4))
    first = g.op("CONV_2D", [image, g.weight(4, 3, 3, 4)], (1, 8, 8, 4), "RELU")
    second = g.op("CONV_2D", [first, g.weight(4, 3, 3, 4)], (1, 8, 8, 4))
    total = g.op("ADD", [first, second], (1, 8, 8, 4))
    flat = g.op("RESHAPE", [total, g.tensor((2,), "INT32", True)], (1, 256))
    hidden = g.op("FULLY_CONNECTED", [flat, g.weight(16, 256)], (1, 16), "RELU")
    points = g.op("FULLY_CONNECTED", [hidden, g.weight(6, 16)], (1, 6))
    assert g.precisions([image], [points]) == [
        "CONV_2D static",
        "CONV_2D static",
        "ADD static",
        "RESHAPE static",
        "FULLY_CONNECTED static",
        "FULLY_CONNECTED dynamic",
    ]


def test_coordinates_that_feed_a_later_dense_layer_stay_float() -> None:
    # A coarse shape, moved by an affine map, enters the dense layer of a local stage.
    g = Sketch()
    features = g.tensor((1, 32))
    coarse = g.op("FULLY_CONNECTED", [features, g.weight(6, 32)], (1, 6))
    points = g.op("RESHAPE", [coarse, g.tensor((3,), "INT32", True)], (1, 3, 2))
    part = g.op("GATHER", [points, g.tensor((2,), "INT32", True)], (1, 2, 2))
    flat = g.op("RESHAPE", [part, g.tensor((2,), "INT32", True)], (1, 4))
    local = g.op("FULLY_CONNECTED", [flat, g.weight(6, 4)], (1, 6))
    assert g.precisions([features], [local]) == [
        "FULLY_CONNECTED dynamic",
        "RESHAPE float",
        "GATHER float",
        "RESHAPE float",
        "FULLY_CONNECTED float",
    ]


def test_map_whose_largest_entry_is_looked_up_stays_float() -> None:
    g = Sketch()
    features = g.tensor((1, 8, 8, 8))
    hidden = g.op("CONV_2D", [features, g.weight(8, 3, 3, 8)], (1, 8, 8, 8), "RELU")
    heat = g.op("CONV_2D", [hidden, g.weight(2, 1, 1, 8)], (1, 8, 8, 2))
    flat = g.op("RESHAPE", [heat, g.tensor((3,), "INT32", True)], (1, 64, 2))
    peak = g.op("ARG_MAX", [flat, g.tensor((), "INT32", True)], (1, 2))
    joined = g.op("CONCATENATION", [hidden, heat], (1, 8, 8, 10))
    last = g.op("CONV_2D", [joined, g.weight(4, 8, 8, 10)], (1, 1, 1, 4))
    assert g.precisions([features], [peak, last]) == [
        "CONV_2D static",
        "CONV_2D float",
        "RESHAPE float",
        "ARG_MAX float",
        "CONCATENATION float",
        "CONV_2D float",
    ]


@pytest.mark.parametrize(("channels", "precision"), [(1, "float"), (3, "float"), (4, "static")])
def test_convolutions_of_hardly_any_channel_stay_float(channels: int, precision: str) -> None:
    g = Sketch()
    image = g.tensor((1, 8, 8, channels))
    first = g.op("CONV_2D", [image, g.weight(8, 3, 3, channels)], (1, 8, 8, 8), "RELU")
    last = g.op("CONV_2D", [first, g.weight(16, 3, 3, 8)], (1, 8, 8, 16), "RELU")
    flat = g.op("RESHAPE", [last, g.tensor((2,), "INT32", True)], (1, 1024))
    # What a filter in float makes is no coordinate: the layers behind it are as before.
    points = g.op("FULLY_CONNECTED", [flat, g.weight(6, 1024)], (1, 6))
    assert g.precisions([image], [points]) == [
        f"CONV_2D {precision}",
        "CONV_2D static",
        "RESHAPE static",
        "FULLY_CONNECTED dynamic",
    ]


def test_tiles_of_a_large_depthwise_filter_stay_float() -> None:
    image = keras.Input((24, 24, 3))
    x = layers.Conv2D(16, 3, activation="relu")(image)
    x = layers.Conv2D(16, 3, activation="relu")(x)
    x = layers.DepthwiseConv2D(7, activation="relu")(x)
    x = layers.Flatten()(layers.Conv2D(16, 3, activation="relu")(x))
    model = keras.Model(image, layers.Reshape((3, 2))(layers.Dense(6)(x)))
    decisions = precision.mixed(Graph.read(convert(model)))
    found = {(one.operator, one.precision) for one in decisions}
    assert ("DEPTHWISE_CONV_2D", "float") in found
    assert ("DEPTHWISE_CONV_2D", "static") not in found
    convolutions = [one.precision for one in decisions if one.operator == "CONV_2D"]
    assert convolutions == ["float", "static", "static"]  # The first reads three channels.


@pytest.mark.parametrize(("channels", "precision"), [(32, "float"), (64, "static")])
def test_convolutions_that_cost_no_more_than_their_conversions_stay_float(
    channels: int, precision: str
) -> None:
    # n² products a pixel for 2 n numbers: 16 for each of 32 channels, 32 for each of 64.
    g = Sketch()
    features = g.tensor((1, 8, 8, channels))
    before = g.op("LEAKY_RELU", [features], (1, 8, 8, channels))
    mixed = g.op("CONV_2D", [before, g.weight(channels, 1, 1, channels)], (1, 8, 8, channels))
    behind = g.op("LEAKY_RELU", [mixed], (1, 8, 8, channels))
    last = g.op("CONV_2D", [behind, g.weight(64, 3, 3, channels)], (1, 8, 8, 64), "RELU")
    # Two in a row are not between floats.
    pair = g.op("CONV_2D", [last, g.weight(channels, 1, 1, 64)], (1, 8, 8, channels))
    flat = g.op("RESHAPE", [pair, g.tensor((2,), "INT32", True)], (1, 64 * channels))
    points = g.op("FULLY_CONNECTED", [flat, g.weight(6, 64 * channels)], (1, 6))
    assert g.precisions([features], [points]) == [
        "LEAKY_RELU float",
        f"CONV_2D {precision}",
        "LEAKY_RELU float",
        "CONV_2D static",
        "CONV_2D static",
        "RESHAPE static",
        "FULLY_CONNECTED dynamic",
    ]


@pytest.mark.parametrize(("reader", "precision"), [("CONV_2D", "static"), ("EXP", "float")])
def test_maps_are_joined_in_int8_for_products_in_int8_alone(reader: str, precision: str) -> None:
    g = Sketch()
    features, heat = g.tensor((1, 8, 8, 8)), g.tensor((1, 8, 8, 8))
    hidden = g.op("CONV_2D", [features, g.weight(8, 3, 3, 8)], (1, 8, 8, 8), "RELU")
    joined = g.op("CONCATENATION", [hidden, g.op("EXP", [heat], (1, 8, 8, 8))], (1, 8, 8, 16))
    deeper = g.op("CONV_2D", [joined, g.weight(8, 3, 3, 16)], (1, 8, 8, 8), "RELU")
    other = [joined, g.weight(8, 1, 1, 16)] if reader == "CONV_2D" else [joined]
    beside = g.op(reader, other, (1, 8, 8, 8))
    total = g.op("CONCATENATION", [deeper, beside], (1, 8, 8, 16))
    flat = g.op("RESHAPE", [total, g.tensor((2,), "INT32", True)], (1, 1024))
    points = g.op("FULLY_CONNECTED", [flat, g.weight(6, 1024)], (1, 6))
    found = g.precisions([features, heat], [points])
    assert found[:4] == [
        "CONV_2D static",
        "EXP float",
        f"CONCATENATION {precision}",
        "CONV_2D static",
    ]


def test_gather_of_cells_is_int8_and_its_indices_are_not_features() -> None:
    g = Sketch()
    image = g.tensor((1, 8, 8, 4))
    index = g.tensor((9,), "INT32")
    features = g.op("CONV_2D", [image, g.weight(4, 3, 3, 4)], (1, 8, 8, 4), "RELU")
    rows = g.op("RESHAPE", [features, g.tensor((2,), "INT32", True)], (64, 4))
    cells = g.op("GATHER", [rows, index], (9, 4))
    blended = g.op("MUL", [cells, g.tensor((9, 1))], (9, 4))
    deeper = g.op("CONV_2D", [features, g.weight(4, 3, 3, 4)], (1, 8, 8, 4), "RELU")
    final = g.op("FULLY_CONNECTED", [deeper, g.weight(6, 256)], (1, 6))
    assert g.precisions([image, index], [blended, final]) == [
        "CONV_2D static",
        "RESHAPE static",
        "GATHER static",
        "MUL float",
        "CONV_2D static",
        "FULLY_CONNECTED dynamic",
    ]


def test_product_of_two_computed_tensors_stays_float() -> None:
    g = Sketch()
    theta, grid = g.tensor((1, 2, 3)), g.tensor((1, 3, 9))
    points = g.op("BATCH_MATMUL", [theta, grid], (1, 2, 9))
    assert g.precisions([theta, grid], [points]) == ["BATCH_MATMUL float"]


def test_stored_grid_that_a_transform_multiplies_stays_float() -> None:
    g = Sketch()
    features = g.tensor((1, 32))
    parameters = g.op("FULLY_CONNECTED", [features, g.weight(6, 32)], (1, 6))
    theta = g.op("RESHAPE", [parameters, g.tensor((2,), "INT32", True)], (2, 3))
    points = g.op("FULLY_CONNECTED", [theta, g.weight(64, 3)], (2, 64))
    others = g.op("BATCH_MATMUL", [theta, g.weight(3, 64)], (2, 64))
    assert g.precisions([features], [points, others]) == [
        "FULLY_CONNECTED dynamic",
        "RESHAPE float",
        "FULLY_CONNECTED float",
        "BATCH_MATMUL float",
    ]


def test_fixed_linear_map_stays_float_in_every_kind() -> None:
    g = Sketch()
    image = g.tensor((1, 64))
    integral = g.op("FULLY_CONNECTED", [image, g.weight(64, 64)], (1, 64))
    start = g.tensors[integral]
    g.tensors[integral] = replace(start, name=f"model/maps/{SCOPE}/MatMul")
    points = g.op("FULLY_CONNECTED", [integral, g.weight(6, 64)], (1, 6))
    assert g.precisions([image], [points]) == ["FULLY_CONNECTED float", "FULLY_CONNECTED dynamic"]
    graph = Graph(tuple(g.tensors), tuple(g.operators), (image,), (points,))
    for name in ("dynamic", "half"):
        found = [decision.precision for decision in precision.weights_only(graph, name)]
        assert found == ["float", name]


def test_features_sampled_at_coordinates_are_features() -> None:
    # One stage of a cascade without convolutions: descriptors around points, then a dense layer.
    g = Sketch()
    image, shape, index = g.tensor((64, 1)), g.tensor((1, 6)), g.tensor((9,), "INT32")
    start = g.op("FULLY_CONNECTED", [shape, g.weight(6, 6)], (1, 6))
    fraction = g.op("SUB", [start, g.weight(1)], (1, 6))
    cells = g.op("GATHER", [image, index], (1, 6))
    blended = g.op("MUL", [cells, fraction], (1, 6))
    step = g.op("FULLY_CONNECTED", [blended, g.weight(6, 6)], (1, 6))
    final = g.op("ADD", [start, step], (1, 6))
    again = g.op("FULLY_CONNECTED", [final, g.weight(6, 6)], (1, 6))
    precisions = g.precisions([image, shape, index], [again])
    assert [p.split()[1] for p in precisions] == [
        *("dynamic", "float", "float", "float", "dynamic", "float", "float"),
    ]


@pytest.mark.slow
def test_product_of_each_landmark_runs_in_int8(float_file: bytes) -> None:
    decisions = precision.mixed(Graph.read(float_file))
    products = {d.precision for d in decisions if d.operator == "BATCH_MATMUL"}
    assert products == {"static"}
    increments = [d.precision for d in decisions if d.operator == "FULLY_CONNECTED"]
    assert increments == ["dynamic"] * 3


@pytest.mark.slow
def test_int8_full_of_a_global_network(
    tmp_path: Any, pictures: np.ndarray, like_trained: Any, repository: Any
) -> None:
    import keras

    from tfalign.models import GRegNet

    keras.utils.set_random_seed(1)
    network = like_trained(GRegNet(12, (48, 48, 3), width=0.125, crop="300w"), pictures)
    result = mobile_export.export(
        network, "int8_full", pictures, tmp_path, images=pictures, allow_loss=True
    )
    assert result.parity.mean_px <= 1.0
    graph = Graph.read(result.path)
    assert {tensor.dtype for tensor in graph.tensors} <= {
        "UINT8",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
    }
    assert graph.tensors[graph.inputs[0]].dtype == "UINT8"
    assert graph.tensors[graph.outputs[0]].dtype == "INT16"
    # What metadata.json says is enough to read the file's integers, which LiteRT gives as they are.
    from ai_edge_litert.interpreter import Interpreter

    about = json.loads((tmp_path / "metadata.json").read_text(encoding="utf-8"))
    run = Interpreter(model_path=str(result.path)).get_signature_runner()
    raw = run(image=pictures[:1])["landmarks"].astype(np.float64)
    steps = about["output"]["quantization"]
    found = (raw - steps["zero_point"]) * steps["scale"]
    assert np.abs(found - np.asarray(network(pictures[:1].astype(np.float32)))).max() < 0.1
    assert np.abs(raw / 32767 - found).max() > 0.1  # The full range is no guess to make.
    assert Metadata.read(tmp_path).output_quantization == steps
    schema = json.loads((repository / "tfalign/tflite/metadata.schema.json").read_text())
    jsonschema.validate(about, schema)


@pytest.mark.slow
def test_int8_full_names_what_has_no_integer_form(model: Any, tmp_path: Any, pictures: Any) -> None:
    with pytest.raises(ValueError, match=r"(?s)integer form.*FLOOR in crop_1"):
        mobile_export.export(model, "int8_full", pictures, tmp_path)
