"""Cross-layer equalisation: channels of one feature map get like ranges before they share a scale.

An int8 feature map has one scale. Where a converter has moved a normalisation's factors into the
next layer, channels may differ by a factor of hundreds, and the small ones are rounded away. A
factor per channel can be moved from a layer to the next without changing the result, as far as only
ReLU, PReLU, pooling and reshaping stand between them.

Reference: Nagel, van Baalen, Blankevoort, Welling, "Data-Free Quantization through Weight
Equalization and Bias Correction", ICCV 2019, section 4.1. A map's ranges are those that it reaches
on pictures of faces, not its weights'.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from mobile_export.simplify import drop_unused
from mobile_export.tensor_values import TensorValues
from tfalign.tflite import Graph, Operator, pack

MOST = 1e3
"""The largest factor that is moved."""

_PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_PASSING = ("RESHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "RELU", "PRELU")


def equalize(graph: Graph, images: np.ndarray) -> Graph:
    """Returns a float file of the same function whose feature maps have like channels.

    Args:
        graph: The float file.
        images: Pictures (N, H, W, 3), RGB in [0, 255]; a few show which channels are large.
    """
    pairs = {
        op.outputs[0]: (op, readers) for op in graph.operators if (readers := _next(graph, op))
    }
    ranges = _channel_ranges(graph, list(pairs), images)
    tree = copy.deepcopy(graph.tree)
    weights = _Weights(graph, tree)
    for tensor, (op, readers) in pairs.items():
        reached = ranges[tensor]
        channels = len(reached)
        if not reached.any():
            continue
        # A channel that no picture reaches is smaller than those that one does; left as it is, its
        # weights in the reader could be the largest by far and set the scale for all others.
        reached = np.where(reached > 0, reached, reached[reached > 0].min())
        # Both layers' weights have a scale for each output, so that only the reader's range over
        # its inputs counts; a depthwise reader has a single input for each output, hence no range.
        wanted = [
            np.abs(weights.of(reader.inputs[1]).reshape(-1, channels)).max(axis=0)
            for reader in readers
            if reader.kind != "DEPTHWISE_CONV_2D"
        ]
        factor = np.sqrt(reached / np.max(wanted, axis=0)) if wanted else reached.copy()
        alive = np.isfinite(factor) & (factor > 0)
        if not alive.any():
            continue
        factor = np.where(alive, factor / np.exp(np.log(factor[alive]).mean()), 1.0)
        factor = np.clip(factor, 1 / MOST, MOST).astype(np.float32)
        outputs = (-1, *[1] * (3 if op.kind == "CONV_2D" else 1))
        along = (channels,) if op.kind == "DEPTHWISE_CONV_2D" else outputs
        weights.set(op.inputs[1], weights.of(op.inputs[1]) / factor.reshape(along))
        if len(op.inputs) > 2:
            weights.set(op.inputs[2], weights.of(op.inputs[2]) / factor, op)
        for reader in readers:
            values = weights.of(reader.inputs[1])
            scaled = values.reshape(*values.shape[:-1], -1, channels) * factor
            weights.set(reader.inputs[1], scaled.reshape(values.shape))
    drop_unused(tree)
    return Graph.read(pack(tree))


def _next(graph: Graph, op: Operator) -> list[Operator]:
    """Returns the layers that read a layer's features; none where a factor cannot be moved."""
    if not _own_weights(graph, op) or op.activation not in ("NONE", "RELU"):
        return []
    channels = graph.tensors[op.outputs[0]].shape[-1]
    found: list[Operator] = []
    waiting = list(op.outputs)
    while waiting:
        tensor = waiting.pop()
        if tensor in graph.outputs:
            return []
        for reader in graph.consumers.get(tensor, ()):
            kept = reader.activation in ("NONE", "RELU") and reader.inputs[0] == tensor
            if reader.kind in _PASSING and kept and _keeps_channels(graph, reader, channels):
                waiting.extend(reader.outputs)
            elif reader.kind in _PRODUCTS and _reads_channels(graph, reader, tensor, channels):
                found.append(reader)
            else:
                return []
    return found


def _own_weights(graph: Graph, op: Operator) -> bool:
    if op.kind not in _PRODUCTS or len(op.inputs) < 2:
        return False
    stored = [graph.tensors[index] for index in op.inputs[1:]]
    mine = len(graph.consumers[op.inputs[1]]) == 1
    return mine and all(tensor.constant and tensor.dtype == "FLOAT32" for tensor in stored)


def _keeps_channels(graph: Graph, op: Operator, channels: int) -> bool:
    """Whether the channels stay innermost, so that a flattened map repeats them in order."""
    length = graph.tensors[op.outputs[0]].shape[-1]
    return length == channels or (op.kind == "RESHAPE" and length % channels == 0)


def _reads_channels(graph: Graph, op: Operator, tensor: int, channels: int) -> bool:
    if op.inputs[0] != tensor or not _own_weights(graph, op):
        return False
    length = graph.tensors[op.inputs[1]].shape[-1]
    flat = op.kind == "FULLY_CONNECTED" and length % channels == 0
    # A depthwise filter per channel; several for one have another order.
    return length == channels or flat


def _channel_ranges(
    graph: Graph, tensors: Sequence[int], images: np.ndarray
) -> dict[int, np.ndarray]:
    """Returns the largest absolute value (channels,) of each tensor over pictures."""
    values = TensorValues(graph)
    ranges = {index: np.zeros(graph.tensors[index].shape[-1]) for index in tensors}
    for image in images:
        values.run(image)
        for index, reached in ranges.items():
            found = np.abs(values.of(index)).reshape(-1, len(reached)).max(axis=0)
            np.maximum(reached, found, out=reached)
    return ranges


class _Weights:
    """The stored numbers of a file, changed one tensor at a time."""

    def __init__(self, graph: Graph, tree: Any) -> None:
        self._graph, self._tree = graph, tree
        self._changed: dict[int, np.ndarray] = {}

    def of(self, index: int) -> np.ndarray:
        if index in self._changed:
            return self._changed[index]
        return self._graph.values(index).view(np.float32).reshape(self._graph.tensors[index].shape)

    def set(self, index: int, values: np.ndarray, op: Operator | None = None) -> None:
        """Stores new numbers, with ``op`` in a new tensor for it: others may share the old one."""
        from ai_edge_litert import schema_py_generated as schema

        main = self._tree.subgraphs[0]
        stored = schema.BufferT()
        stored.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
        self._tree.buffers.append(stored)
        if op is not None:
            tensor = copy.copy(main.tensors[index])
            main.tensors.append(tensor)
            place = list(main.operators[op.index].inputs)
            main.operators[op.index].inputs = [*place[:2], len(main.tensors) - 1]
            tensor.name += b"_%d" % op.index
        else:
            tensor = main.tensors[index]
            self._changed[index] = values
        tensor.buffer = len(self._tree.buffers) - 1
