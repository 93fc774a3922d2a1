"""What is said of the GPU delegate."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobile_export.converter import convert
from mobile_export.gpu import GPU_OPERATORS, gpu_compatibility, refusals
from mobile_export.parity import keras_landmarks
from tfalign.tflite import Graph, Runner


def test_gpu_report_names_operators_outside_the_documented_list(float_file: bytes) -> None:
    report = gpu_compatibility(Graph.read(float_file))
    assert report["operators"]["CONV_2D"] is True
    assert report["operators"]["MINIMUM"] is False
    assert report["compatible"] is False
    assert set(report["refused"]) == {k for k, taken in report["operators"].items() if not taken}


def test_a_gpu_takes_every_operator_of_a_file_without_gathers(
    model: Any, pictures: np.ndarray
) -> None:
    graph = Graph.read(convert(model, "float32", gathers=False))
    assert not {"GATHER", "GATHER_ND"} & set(graph.histogram())
    report = gpu_compatibility(graph)
    assert report["compatible"], report["refused"]
    expected = keras_landmarks(model, pictures)
    np.testing.assert_allclose(Runner(graph)(pictures), expected, atol=1e-5)
    # The model itself looks up as before.
    assert "GATHER" in Graph.read(convert(model)).histogram()


def test_warnings_of_the_analyzer_go_to_the_operator_above_them() -> None:
    report = (
        "Subgraph#0 main(T#0) -> [T#2]\n"
        "  Op#0 CONV_2D(T#0, T#1) -> [T#3]\n"
        "  Op#1 CAST(T#3) -> [T#2]\n"
        "GPU COMPATIBILITY WARNING: Not supported type\n"
        "\nGPU COMPATIBILITY WARNING: Subgraph#0 has GPU delegate compatibility issues at nodes 1\n"
    )
    assert refusals(report) == {"CAST": ["Not supported type"]}


def test_the_list_knows_the_operators_of_mobile_networks() -> None:
    # tensorflow/lite/tools/versioning/gpu_compatibility.cc has a case for each of them.
    assert {"HARD_SWISH", "MEAN", "GELU", "RESIZE_BILINEAR"} <= GPU_OPERATORS
