"""Cutting one operator out of a ``.tflite`` file into a file of its own."""

from __future__ import annotations

import copy
from typing import Any

from mobile_export.flatbuffer import Graph, Operator


def single_operator(tree: Any, graph: Graph, op: Operator) -> bytes | None:
    """Returns a file that holds one operator, its stored weights and its quantization.

    Args:
        tree: The whole file, as ``flatbuffer.read_object`` returns it.
        graph: Its graph.
        op: The operator.

    Returns:
        The bytes; None where the operator only expands a stored weight (DEQUANTIZE of float16),
        which a runtime does once.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    expanding = _expanders(graph)
    if op.index in expanding:
        return None
    # A weight stored as float16 is expanded by an operator in front; it comes along.
    before = [
        graph.producer[i]
        for i in op.inputs
        if i in graph.producer and graph.producer[i].index in expanding
    ]
    main = tree.subgraphs[0]
    operators = [main.operators[o.index] for o in (*before, op)]
    used = list(
        dict.fromkeys(int(i) for o in operators for i in (*o.inputs, *o.outputs) if int(i) >= 0)
    )
    place = {old: new for new, old in enumerate(used)}
    stored = {i for i in used if graph.tensors[i].constant}
    made = {int(i) for o in operators for i in o.outputs}

    model = schema.ModelT()
    model.version, model.description = 3, b"one operator"
    empty = schema.BufferT()
    model.buffers = [empty]
    model.operatorCodes = list(tree.operatorCodes)
    part = schema.SubGraphT()
    part.tensors, part.operators = [], []
    for index in used:
        tensor = copy.copy(main.tensors[index])
        tensor.buffer = 0
        if index in stored:
            model.buffers.append(tree.buffers[main.tensors[index].buffer])
            tensor.buffer = len(model.buffers) - 1
        part.tensors.append(tensor)
    for operator in operators:
        moved = copy.copy(operator)
        moved.inputs = [place[int(i)] if int(i) >= 0 else -1 for i in operator.inputs]
        moved.outputs = [place[int(i)] for i in operator.outputs]
        part.operators.append(moved)
    part.inputs = [place[i] for i in used if i not in stored | made]
    part.outputs = [place[i] for i in op.outputs]
    model.subgraphs = [part]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _expanders(graph: Graph) -> set[int]:
    """Indices of the operators that turn a stored weight into float."""
    return {
        op.index
        for op in graph.operators
        if op.kind == "DEQUANTIZE" and graph.tensors[op.inputs[0]].constant
    }
