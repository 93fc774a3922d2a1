"""float16 weights: which numbers are shortened, and that files are packed soundly."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobile_export import recipe
from mobile_export.flatbuffer import read_graph, read_object
from mobile_export.half import store_half
from mobile_export.packing import ALIGNMENT, pack
from mobile_export.runtime import LiteModel


def test_only_weights_of_products_are_shortened(float_file: bytes) -> None:
    graph = read_graph(float_file)
    content = store_half(float_file, recipe.weights_only(graph, "half"))
    before, after = read_object(float_file), read_object(content)
    weights = {
        op.inputs[1]
        for op in graph.operators
        if op.kind in recipe.PRODUCTS and graph.tensors[op.inputs[1]].constant
    }
    found = read_graph(content)
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


def test_packing_keeps_the_model_and_aligns_its_weights(float_file: bytes, pictures: Any) -> None:
    content = pack(read_object(float_file))
    np.testing.assert_array_equal(
        LiteModel(content)(pictures[:3]), LiteModel(float_file)(pictures[:3])
    )
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(content, 0)
    offsets = [buffer.offset for buffer in tree.buffers if buffer.size]
    assert len(offsets) > 10
    assert all(offset % ALIGNMENT == 0 for offset in offsets)
