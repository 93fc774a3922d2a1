"""Dense layers with a kernel for each landmark, as one grouped convolution.

The converter makes a batched matrix product of such a layer: n times (1, k) × (k, f). LiteRT pads
the f columns of each kernel to the width of its tile, four times the numbers for f = 4, and this
product does nothing but read numbers. The same sum is a 1×1 convolution with n groups of k channels
each, whose kernels are packed as they are: from cold caches 0.70 ms against 1.27 ms for 98 kernels
of 1,600 × 4 (float32, one thread). Quantized, a convolution also has a scale for each output, a
batched product one for all kernels together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mobile_export.flatbuffer import Graph, Operator, read_graph, read_object
from mobile_export.packing import pack

GROUPS_VERSION = 6
"""The version of CONV_2D that takes groups."""


def group_products(model: bytes) -> bytes:
    """Returns the file with each batched product of single rows as a grouped convolution.

    Args:
        model: A float ``.tflite`` file's bytes.
    """
    graph = read_graph(model)
    found = [op for op in graph.operators if _is_of_single_rows(graph, op)]
    if not found:
        return model
    tree = read_object(model)
    main = tree.subgraphs[0]
    steps = {
        op.index: _as_convolution(tree, op, alone=graph.consumers[op.inputs[1]] == [op])
        for op in found
        if not main.operators[op.index].builtinOptions.adjY
    }
    operators: list[Any] = []
    for index, operator in enumerate(main.operators):
        operators += steps.get(index, [operator])
    main.operators = operators
    return pack(tree)


def _is_of_single_rows(graph: Graph, op: Operator) -> bool:
    """Whether the operator is n products of one computed row with a stored kernel of its own."""
    if op.kind != "BATCH_MATMUL":
        return False
    rows, kernels = (graph.tensors[i] for i in op.inputs)
    return (
        not rows.constant
        and kernels.constant
        and rows.dtype == kernels.dtype == "FLOAT32"
        and len(rows.shape) == len(kernels.shape) == 3
        and rows.shape == (kernels.shape[0], 1, kernels.shape[1])
    )


def _as_convolution(tree: Any, op: Operator, alone: bool) -> list[Any]:
    """Adds the tensors of the grouped convolution and returns its three operators.

    Args:
        tree: The file.
        op: The batched product.
        alone: Whether no other operator reads its kernels.
    """
    from ai_edge_litert import schema_py_generated as schema

    main = tree.subgraphs[0]
    rows, kernels = op.inputs
    out = op.outputs[0]
    n, k, f = (int(size) for size in main.tensors[kernels].shape)
    values = np.frombuffer(bytes(tree.buffers[main.tensors[kernels].buffer].data), np.float32)
    values = values.reshape(n, k, f)
    name = main.tensors[out].name
    float32 = schema.TensorType.FLOAT32
    flat = _tensor(tree, name + b"/groups", (1, 1, 1, n * k), float32)
    kernel = np.ascontiguousarray(values.transpose(0, 2, 1)).reshape(n * f, 1, 1, k)
    if alone:  # In place, so that the file does not keep the old form beside the new one.
        weight = kernels
        main.tensors[kernels].shape = list(kernel.shape)
        main.tensors[kernels].buffer = _store(tree, kernel)
    else:
        weight = _tensor(tree, name + b"/kernels", kernel.shape, float32, kernel)
    # LiteRT's kernel without XNNPACK, which calibration runs on, insists on a bias.
    bias = _tensor(tree, name + b"/bias", (n * f,), float32, np.zeros(n * f, np.float32))
    result = _tensor(tree, name + b"/grouped", (1, 1, 1, n * f), float32)

    convolution = schema.OperatorT()
    convolution.opcodeIndex = _code(tree, schema.BuiltinOperator.CONV_2D, GROUPS_VERSION)
    convolution.inputs, convolution.outputs = [flat, weight, bias], [result]
    settings = schema.Conv2DOptionsT()
    settings.padding, settings.strideW, settings.strideH = schema.Padding.VALID, 1, 1
    settings.dilationWFactor = settings.dilationHFactor = 1
    convolution.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    convolution.builtinOptions = settings
    return [
        _reshape(tree, rows, flat, (1, 1, 1, n * k)),
        convolution,
        _reshape(tree, result, out, (n, 1, f)),
    ]


def _reshape(tree: Any, source: int, target: int, shape: tuple[int, ...]) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    name = tree.subgraphs[0].tensors[target].name + b"/shape"
    values = np.array(shape, np.int32)
    sizes = _tensor(tree, name, values.shape, schema.TensorType.INT32, values)
    operator = schema.OperatorT()
    operator.opcodeIndex = _code(tree, schema.BuiltinOperator.RESHAPE, 1)
    operator.inputs, operator.outputs = [source, sizes], [target]
    settings = schema.ReshapeOptionsT()
    settings.newShape = list(shape)
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = settings
    return operator


def _tensor(
    tree: Any, name: bytes, shape: tuple[int, ...], dtype: int, values: np.ndarray | None = None
) -> int:
    """Adds a tensor, stored where values are given, and returns its index."""
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, list(shape), dtype
    tensor.hasRank, tensor.buffer = True, 0
    if values is not None:
        tensor.buffer = _store(tree, values)
    main = tree.subgraphs[0]
    main.tensors.append(tensor)
    return len(main.tensors) - 1


def _store(tree: Any, values: np.ndarray) -> int:
    """Adds a buffer and returns its index."""
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    tree.buffers.append(buffer)
    return len(tree.buffers) - 1


def _code(tree: Any, builtin: int, version: int) -> int:
    """Returns the place of an operator code of at least this version, added if it is missing."""
    from ai_edge_litert import schema_py_generated as schema

    for index, code in enumerate(tree.operatorCodes):
        if code.builtinCode == builtin and code.version >= version:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = version
    tree.operatorCodes.append(code)
    return len(tree.operatorCodes) - 1
