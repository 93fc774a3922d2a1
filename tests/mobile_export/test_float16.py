"""float16 weights: which numbers are shortened, and that files are packed soundly."""

from __future__ import annotations

import numpy as np

from mobile_export import precision
from mobile_export.quantize import store_float16
from tfalign.tflite import Graph


def test_only_weights_of_products_are_shortened(float_file: bytes) -> None:
    graph = Graph.read(float_file)
    content = store_float16(graph, precision.weights_only(graph, "half"))
    before, after = Graph.read(float_file).tree, Graph.read(content).tree
    weights = {
        op.inputs[1]
        for op in graph.operators
        if op.kind in precision.PRODUCTS and graph.tensors[op.inputs[1]].constant
    }
    found = Graph.read(content)
    for tensor in graph.tensors:
        stored = found.tensors[tensor.index]
        assert stored.dtype == ("FLOAT16" if tensor.index in weights else tensor.dtype)
        if not tensor.constant:
            continue
        old = bytes(before.buffers[before.subgraphs[0].tensors[tensor.index].buffer].data)
        new = bytes(after.buffers[after.subgraphs[0].tensors[tensor.index].buffer].data)
        if tensor.index in weights:
            expected = np.frombuffer(old, np.float32).astype(np.float16)
            np.testing.assert_array_equal(np.frombuffer(new, np.float16), expected)
        else:
            assert new == old
    assert [op.kind for op in found.operators].count("DEQUANTIZE") == len(weights)
