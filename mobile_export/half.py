"""Storing the weights of products as float16.

The converter's own float16 mode shortens every stored number, also the small ones that guard a
division or a logarithm, which then become zero; the quantizer's has no batched products. Here only
the weights of convolutions, dense layers and batched products are shortened, and one DEQUANTIZE
operator expands each when the model is loaded, the form in which XNNPACK and the GPU delegate take
float16 weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mobile_export.flatbuffer import read_object
from mobile_export.packing import pack
from mobile_export.recipe import Decision


def store_half(model: bytes, decisions: Sequence[Decision]) -> bytes:
    """Returns the file with the weights of some operators as float16.

    Args:
        model: A float ``.tflite`` file's bytes.
        decisions: One per operator; those with precision ``"half"`` are changed.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = read_object(model)
    main = tree.subgraphs[0]
    expand = schema.OperatorCodeT()
    expand.builtinCode = expand.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    expand.version = 3  # the first that takes float16
    tree.operatorCodes.append(expand)
    pairs = zip(main.operators, decisions, strict=True)
    weights = dict.fromkeys(int(op.inputs[1]) for op, d in pairs if d.precision == "half")
    expanded = {weight: _shorten(tree, weight) for weight in weights}
    for operator in main.operators:
        # Every reader: the same numbers may also be the first factor of another product.
        operator.inputs = [expanded.get(int(i), int(i)) for i in operator.inputs]
    steps = []
    for weight, whole in expanded.items():
        step = schema.OperatorT()
        step.opcodeIndex = len(tree.operatorCodes) - 1
        step.inputs, step.outputs = [weight], [whole]
        steps.append(step)
    main.operators = steps + list(main.operators)
    return pack(tree)


def _shorten(tree: Any, weight: int) -> int:
    """Makes a stored tensor float16 and returns the index of a new one for its float32 values."""
    import copy

    from ai_edge_litert import schema_py_generated as schema

    main = tree.subgraphs[0]
    tensor = main.tensors[weight]
    values = np.frombuffer(bytes(tree.buffers[tensor.buffer].data), np.float32)
    largest = float(np.finfo(np.float16).max)
    stored = schema.BufferT()
    stored.data = np.frombuffer(
        np.clip(values, -largest, largest).astype(np.float16).tobytes(), np.uint8
    )
    whole = copy.copy(tensor)
    whole.name, whole.buffer = tensor.name + b"_float32", 0
    # A buffer of its own: another tensor may share the old one.
    tree.buffers.append(stored)
    tensor.buffer, tensor.type = len(tree.buffers) - 1, schema.TensorType.FLOAT16
    main.tensors.append(whole)
    return len(main.tensors) - 1
