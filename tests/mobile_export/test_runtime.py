"""Damaged and foreign files, and the graph that is read from good ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_export.flatbuffer import read_bytes, read_graph
from mobile_export.operators import check_builtin, gpu_compatibility, histogram, refusals
from mobile_export.runtime import LiteModel


def test_graph_agrees_with_the_interpreter(float_file: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=float_file, experimental_op_resolver_type=plain, num_threads=1
    )
    expected = [op["op_name"] for op in interpreter._get_ops_details()]
    graph = read_graph(float_file)
    assert [op.kind for op in graph.operators] == expected
    assert sum(histogram(graph).values()) == len(expected)
    for detail in interpreter.get_tensor_details()[: len(graph.tensors)]:
        assert graph.tensors[detail["index"]].name == detail["name"]
    check_builtin(graph)


def test_foreign_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such .tflite file"):
        LiteModel(tmp_path / "absent.tflite")
    foreign = tmp_path / "foreign.tflite"
    foreign.write_bytes(b"PK\x03\x04 not a model")
    with pytest.raises(ValueError, match="identifier 'TFL3'"):
        LiteModel(foreign)


@pytest.mark.parametrize("keep", [9, 64, 0.3, 0.7, 0.99])
def test_file_cut_short(float_file: bytes, keep: float) -> None:
    length = int(keep if keep > 1 else keep * len(float_file))
    with pytest.raises(ValueError, match="damaged|cut short|cannot load"):
        LiteModel(float_file[:length])


def test_model_of_another_task_is_refused() -> None:
    import keras
    import tensorflow as tf

    image = keras.Input((8, 8, 3), batch_size=1)
    model = keras.Model(image, keras.layers.Flatten()(image))
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    with pytest.raises(ValueError, match="one signature"):
        LiteModel(content)


def test_picture_of_another_size_is_refused(float_file: bytes) -> None:
    with pytest.raises(ValueError, match=r"must be \(48, 48, 3\)"):
        LiteModel(float_file).set_image(np.zeros((48, 47, 3), np.uint8))


def test_bytes_and_path_are_the_same(float_file: bytes, tmp_path: Path, pictures: Any) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(float_file)
    assert read_bytes(path) == float_file
    np.testing.assert_array_equal(
        LiteModel(path)(pictures[:2]), LiteModel(float_file)(pictures[:2])
    )


def test_gpu_report_names_operators_outside_the_documented_list(float_file: bytes) -> None:
    report = gpu_compatibility(float_file)
    assert report["operators"]["CONV_2D"] is True
    assert report["operators"]["GATHER"] is False
    assert report["compatible"] is False
    assert set(report["refused"]) == {k for k, taken in report["operators"].items() if not taken}


def test_warnings_of_the_analyzer_go_to_the_operator_above_them() -> None:
    report = (
        "Subgraph#0 main(T#0) -> [T#2]\n"
        "  Op#0 CONV_2D(T#0, T#1) -> [T#3]\n"
        "  Op#1 CAST(T#3) -> [T#2]\n"
        "GPU COMPATIBILITY WARNING: Not supported type\n"
        "\nGPU COMPATIBILITY WARNING: Subgraph#0 has GPU delegate compatibility issues at nodes 1\n"
    )
    assert refusals(report) == {"CAST": ["Not supported type"]}
