"""A float ``.tflite`` file with the same results, in operators that LiteRT runs at speed.

* Keras guards every look-up against negative indices. Where an index cannot be negative, the three
  operators of the guard go.
* LiteRT's kernels for depthwise filters are unrolled up to 25 taps; larger ones cost three times as
  much in float32 and twenty times as much in int8. A larger filter becomes a sum of tiles.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfalign.tflite import Graph, Operator, pack

TAPS = 25
"""The most taps of a depthwise filter for which XNNPACK has an unrolled kernel."""
_SIGN_KEEPING = ("ADD", "MUL", "MINIMUM", "FLOOR", "CAST", "RESHAPE", "CONCATENATION", "PACK")
TILE = "/depthwise_tile"
"""What follows the layer's path in the name of everything between the tiles of its filter."""


def simplify(graph: Graph) -> Graph:
    """Returns the file without what costs time and changes nothing.

    Args:
        graph: A float file of one picture, as the converter writes it.
    """
    tree = copy.deepcopy(graph.tree)
    main = tree.subgraphs[0]
    never = _never_negative(graph)
    guarded = {op.outputs[0]: _guarded(graph, op, never) for op in graph.operators if op.outputs}
    passed = {output: index for output, index in guarded.items() if index is not None}
    steps = []
    for op, stored in zip(graph.operators, main.operators, strict=True):
        stored.inputs = [passed.get(int(index), int(index)) for index in stored.inputs]
        steps += _tiles(graph, op, tree) if _wide(graph, op) else [stored]
    main.operators = _needed(steps, graph.outputs)
    drop_unused(tree)
    return Graph.read(pack(tree))


def is_tile(name: str) -> bool:
    """Whether a tensor lies between the tiles of a large depthwise filter."""
    return TILE in name


def tiles_of(height: int, width: int) -> list[tuple[slice, slice]]:
    """Parts a filter into the fewest rectangles of at most ``TAPS`` taps, equal within one row."""

    def parts(size: int, most: int) -> int:
        return -(-size // most)

    rows = min(range(1, TAPS + 1), key=lambda n: parts(height, n) * parts(width, TAPS // n))

    def spans(size: int, count: int) -> list[slice]:
        ends = [size * i // count for i in range(count + 1)]
        return [slice(*pair) for pair in itertools.pairwise(ends)]

    across = spans(width, parts(width, TAPS // rows))
    return [(y, x) for y in spans(height, parts(height, rows)) for x in across]


def _needed(steps: Sequence[Any], outputs: Sequence[int]) -> list[Any]:
    """Returns the operators from which something is still read."""
    wanted, kept = set(outputs), []
    for step in reversed(steps):
        if wanted & {int(index) for index in step.outputs}:
            wanted.update(int(index) for index in step.inputs)
            kept.append(step)
    return kept[::-1]


def drop_unused(tree: Any) -> None:
    """Removes the tensors that no operator names, and empties the buffers that no tensor has.

    The quantizer would look for such tensors' values, and the file would carry the buffers.

    Args:
        tree: The file as objects of its schema; changed in place.
    """
    main = tree.subgraphs[0]
    ends = [end for part in tree.signatureDefs or () for end in (*part.inputs, *part.outputs)]
    named = {int(i) for op in main.operators for i in (*op.inputs, *op.outputs)}
    used = sorted((named | {int(i) for i in (*main.inputs, *main.outputs)}) - {-1})
    place = {-1: -1} | {old: new for new, old in enumerate(used)}
    main.tensors = [main.tensors[index] for index in used]
    for holder in (main, *main.operators):
        holder.inputs = [place[int(index)] for index in holder.inputs]
        holder.outputs = [place[int(index)] for index in holder.outputs]
    for end in ends:
        end.tensorIndex = place[int(end.tensorIndex)]
    buffers = {int(t.buffer) for part in tree.subgraphs for t in part.tensors}
    buffers |= {int(entry.buffer) for entry in tree.metadata or ()}
    for index, stored in enumerate(tree.buffers):
        if index not in buffers:
            stored.data = None


# -- Guards of indices


def _guarded(graph: Graph, op: Operator, never_negative: set[int]) -> int | None:
    """Returns i of ``where(i < 0, i + size, i)`` where i is never negative."""
    if op.kind not in ("SELECT", "SELECT_V2"):
        return None
    condition, index = graph.producer.get(op.operands[0]), op.operands[2]
    zero = condition is not None and condition.kind == "LESS" and condition.operands[0] == index
    if not zero or not _is_zero(graph, condition.operands[1]):  # type: ignore[union-attr]
        return None
    return index if index in never_negative else None


def _is_zero(graph: Graph, index: int) -> bool:
    values = _numbers(graph, index)
    return values is not None and not values.any()


def _never_negative(graph: Graph) -> set[int]:
    """Returns the tensors whose numbers are never below zero, as far as the operators tell."""
    found: set[int] = set()
    for index, tensor in enumerate(graph.tensors):
        values = _numbers(graph, index)
        stored = values is not None and not (values < 0).any()
        given = index not in graph.producer and tensor.dtype.startswith("UINT")
        if stored or (given and not tensor.constant):
            found.add(index)
    # Operators stand behind those whose results they read.
    for op in graph.operators:
        known = [index in found for index in op.inputs[: 1 if op.kind == "RESHAPE" else None]]
        if op.kind == "MAXIMUM":
            never = any(known)
        elif op.kind in _SIGN_KEEPING:
            never = all(known)
        else:
            never = op.kind == "RELU" or op.activation == "RELU"
        if never:
            found.update(op.outputs)
    return found


def _numbers(graph: Graph, index: int) -> np.ndarray | None:
    """Returns a stored tensor's numbers, where it has any of the usual types."""
    tensor = graph.tensors[index]
    if not tensor.constant or tensor.dtype not in ("INT32", "INT64", "FLOAT32"):
        return None
    return graph.values(index).view(tensor.dtype.lower())


# -- Large depthwise filters


def _wide(graph: Graph, op: Operator) -> bool:
    if op.kind != "DEPTHWISE_CONV_2D":
        return False
    weight = graph.tensors[op.inputs[1]]
    taps = weight.shape[1] * weight.shape[2]
    return taps > TAPS and weight.constant and weight.dtype == "FLOAT32"


def _tiles(graph: Graph, op: Operator, tree: Any) -> list[Any]:
    """Returns the operators that add up the tiles of a depthwise convolution's filter."""
    from ai_edge_litert import schema_py_generated as schema

    main = tree.subgraphs[0]
    source, weight, *bias = op.inputs
    image, output = graph.tensors[source].shape, graph.tensors[op.outputs[0]].shape
    kernel = graph.values(weight).view(np.float32).reshape(graph.tensors[weight].shape)
    options = op.options
    stride = np.array([options.strideH, options.strideW])
    spread = np.array([options.dilationHFactor, options.dilationWFactor])
    steps: list[Any] = []

    def tensor(shape: Sequence[int], values: np.ndarray | None = None) -> int:
        new = schema.TensorT()
        new.name = f"{graph.layer(op)}{TILE}_{len(main.tensors)}".encode()
        new.shape, new.buffer = [int(size) for size in shape], 0
        new.type = schema.TensorType.FLOAT32
        if values is not None:
            new.type = new.type if values.dtype == np.float32 else schema.TensorType.INT32
            stored = schema.BufferT()
            stored.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            tree.buffers.append(stored)
            new.buffer = len(tree.buffers) - 1
        main.tensors.append(new)
        return len(main.tensors) - 1

    def step(kind: str, inputs: list[int], shape: Sequence[int], **fields: Any) -> int:
        new = schema.OperatorT()
        new.opcodeIndex = _code(tree, getattr(schema.BuiltinOperator, kind))
        name = {"DEPTHWISE_CONV_2D": "DepthwiseConv2D"}.get(kind, kind.capitalize())
        new.builtinOptions = getattr(schema, f"{name}OptionsT")()
        new.builtinOptionsType = getattr(schema.BuiltinOptions, f"{name}Options")
        for field, value in fields.items():
            setattr(new.builtinOptions, field, value)
        new.inputs, new.outputs = inputs, [tensor(shape)]
        steps.append(new)
        return int(new.outputs[0])

    size, reach = np.array(image[1:3]), (np.array(kernel.shape[1:3]) - 1) * spread + 1
    if options.padding == schema.Padding.SAME:
        beyond = np.maximum((np.array(output[1:3]) - 1) * stride + reach - size, 0)
        rim = np.zeros((4, 2), np.int32)
        rim[1:3, 0], rim[1:3, 1] = beyond // 2, beyond - beyond // 2
        padded = [image[0], *(size + beyond), image[3]]
        source = step("PAD", [source, tensor((4, 2), rim)], padded)
    nothing = tensor(kernel.shape[3:], np.zeros(kernel.shape[3], np.float32))
    total = None
    for y, x in tiles_of(*kernel.shape[1:3]):
        part = kernel[:, y, x]
        first = np.array([y.start, x.start]) * spread
        extent = (np.array(output[1:3]) - 1) * stride
        extent = extent + (np.array(part.shape[1:3]) - 1) * spread + 1
        begin = np.array([0, *first, 0], np.int32)
        shape = np.array([image[0], *extent, image[3]], np.int32)
        view = step("SLICE", [source, tensor((4,), begin), tensor((4,), shape)], shape)
        product = step(
            "DEPTHWISE_CONV_2D",
            [view, tensor(part.shape, part), bias[0] if bias and total is None else nothing],
            output,
            padding=schema.Padding.VALID,
            strideH=options.strideH,
            strideW=options.strideW,
            depthMultiplier=options.depthMultiplier,
            dilationHFactor=options.dilationHFactor,
            dilationWFactor=options.dilationWFactor,
        )
        total = product if total is None else step("ADD", [total, product], output)
    # The last sum is the convolution's result, with its activation.
    steps[-1].outputs = list(op.outputs)
    steps[-1].builtinOptions.fusedActivationFunction = options.fusedActivationFunction
    return steps


def _code(tree: Any, builtin: int) -> int:
    """Returns the place of a built-in operator among the file's operator codes."""
    from ai_edge_litert import schema_py_generated as schema

    for place, code in enumerate(tree.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin:
            return place
    code = schema.OperatorCodeT()
    # Codes above 127 do not fit the old field.
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
    tree.operatorCodes.append(code)
    return len(tree.operatorCodes) - 1
