"""Batched products of single rows as grouped convolutions."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from mobile_export.converter import SIGNATURE
from mobile_export.flatbuffer import read_graph
from mobile_export.grouped import group_products
from mobile_export.runtime import LiteModel
from tfalign import macc


def converted(function: Any, *shapes: tuple[int, ...]) -> bytes:
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    concrete = tf.function(function, input_signature=specs).get_concrete_function()
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


def run(content: bytes, *inputs: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Once through XNNPACK and once through LiteRT's own kernels, which must agree.
    results = []
    for resolver in (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
        interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
        for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], values)
        interpreter.invoke()
        results.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-5)
    return results[0]


def kinds(content: bytes) -> list[str]:
    return [op.kind for op in read_graph(content).operators]


def test_each_row_meets_its_own_kernel(rng: np.random.Generator, tmp_path: Any) -> None:
    kernels = rng.normal(size=(7, 10, 3)).astype("float32")
    rows = rng.normal(size=(7, 1, 10)).astype("float32")
    before = converted(lambda x: keras.ops.matmul(x, kernels), (7, 1, 10))
    after = group_products(before)
    assert kinds(before) == ["BATCH_MATMUL"]
    assert kinds(after) == ["RESHAPE", "CONV_2D", "RESHAPE"]
    expected = np.stack([row @ kernel for row, kernel in zip(rows, kernels, strict=True)])
    np.testing.assert_allclose(run(after, rows), expected, rtol=1e-5, atol=1e-5)
    for name, content in (("before", before), ("after", after)):
        (tmp_path / name).write_bytes(content)
        assert macc.count_tflite(tmp_path / name).macc == 7 * 10 * 3
    assert len(after) < len(before) + 2000  # the kernels are there once


def test_kernels_that_another_operator_reads_stay(rng: np.random.Generator) -> None:
    kernels = rng.normal(size=(4, 6, 2)).astype("float32")
    rows = rng.normal(size=(4, 1, 6)).astype("float32")
    content = converted(
        lambda x: keras.ops.concatenate(
            [keras.ops.matmul(x, kernels), keras.ops.matmul(2.0 * x, kernels)], axis=1
        ),
        (4, 1, 6),
    )
    grouped = group_products(content)
    assert kinds(grouped).count("CONV_2D") == 2
    np.testing.assert_allclose(run(grouped, rows), run(content, rows), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "stored"),
    [
        (((4, 2, 6),), (4, 6, 3)),  # two rows for each kernel
        (((4, 1, 6), (4, 6, 3)), None),  # a computed factor
    ],
)
def test_other_products_stay(rng: np.random.Generator, shapes: Any, stored: Any) -> None:
    if stored is None:
        content = converted(lambda x, y: keras.ops.matmul(x, y), *shapes)
    else:
        kernels = rng.normal(size=stored).astype("float32")
        content = converted(lambda x: keras.ops.matmul(x, kernels), *shapes)
    assert group_products(content) == content


def test_landmarkwise_layers_of_a_model_are_grouped(
    model: Any, float_file: bytes, pictures: Any
) -> None:
    graph = read_graph(float_file)
    grouped = [
        op
        for op in graph.operators
        if op.kind == "CONV_2D" and graph.tensors[op.inputs[0]].shape[:3] == (1, 1, 1)
    ]
    assert len(grouped) == 2
    found = LiteModel(float_file)(pictures[:4])
    expected = np.asarray(model(pictures[:4].astype(np.float32), training=False))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert SIGNATURE in LiteModel(float_file).interpreter.get_signature_list()
