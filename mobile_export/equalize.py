"""Cross-layer equalisation: channels of one feature map get like ranges before they share a scale.

An int8 feature map has one scale. Where a converter has moved a normalisation's factors into the
next layer, channels may differ by a factor of hundreds, and the small ones are rounded away. A
factor per channel can be moved from a layer to the next without changing the result, as far as only
ReLU, PReLU, pooling, reshaping and joining stand between them. Joined maps share a scale: features
of ±6 would leave heatmaps of height 1 beside them a sixth of its steps.

Reference: Nagel, van Baalen, Blankevoort, Welling, "Data-Free Quantization through Weight
Equalization and Bias Correction", ICCV 2019, section 4.1. A map's ranges are those that it reaches
on pictures of faces, not its weights'.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_export.simplify import drop_unused
from mobile_export.tensor_values import TensorValues
from tfalign.tflite import Graph, Operator, pack

MOST = 1e3
"""The largest factor that is moved."""
JOINED = 0.75
"""How far the channels of joined maps become alike, where 0.5 is the paper's balance with the
weights on them, and 1 is entirely: features beside heatmaps have the wider range to bridge."""

_PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_PASSING = ("RESHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "RELU", "PRELU")


@dataclass(frozen=True)
class _Reader:
    """A layer that reads a feature map, alone or beside others.

    Attributes:
        op: The layer.
        first: Place of the map's first channel among those that the layer reads.
        channels: How many the layer reads.
    """

    op: Operator
    first: int
    channels: int


@dataclass(frozen=True)
class _Map:
    """A feature map whose channels can be scaled: the layer that makes it, and who reads it."""

    op: Operator
    channels: int
    readers: tuple[_Reader, ...]

    @property
    def tensor(self) -> int:
        """The map's place among the tensors."""
        return self.op.outputs[0]


def equalize(graph: Graph, images: np.ndarray) -> Graph:
    """Returns a float file of the same function whose feature maps have like channels.

    Args:
        graph: The float file.
        images: Pictures (N, H, W, 3), RGB in [0, 255]; a few show which channels are large.
    """
    groups = _groups(graph)
    sizes = {one.tensor: one.channels for group in groups for one in group}
    sizes |= {r.op.inputs[0]: r.channels for group in groups for one in group for r in one.readers}
    ranges = _channel_ranges(graph, sizes, images)
    tree = copy.deepcopy(graph.tree)
    weights = _Weights(graph, tree)
    for group in groups:
        joined = any(r.channels != one.channels for one in group for r in one.readers)
        share = JOINED if joined else 0.5
        factors = [_factors(ranges[one.tensor], one, weights, share) for one in group]
        # Only the ratios count, unless channels that cannot be scaled lie beside: theirs is 1.
        beside = _beside(group, ranges, weights, share)
        known = np.concatenate(beside or factors)
        known = known[np.isfinite(known) & (known > 0)]
        if not len(known):
            continue
        level = np.exp(np.log(known).mean())
        for one, factor in zip(group, factors, strict=True):
            alive = np.isfinite(factor) & (factor > 0)
            scaled = np.where(alive, factor / level, 1.0)
            _scale(one, np.clip(scaled, 1 / MOST, MOST).astype(np.float32), weights)
    drop_unused(tree)
    return Graph.read(pack(tree))


def _factors(reached: np.ndarray, one: _Map, weights: _Weights, share: float) -> np.ndarray:
    """Returns what a map's channels would be divided by to be alike, up to a common factor.

    Args:
        reached: Largest values (channels,) of the map.
        one: The map.
        weights: The file's.
        share: 0.5 makes a channel as large as the weights on it; 1 makes all channels alike.
    """
    if not reached.any():
        return np.zeros(one.channels)
    # A channel that no picture reaches is smaller than those that one does; left as it is, its
    # weights in the reader could be the largest by far and set the scale for all others.
    reached = np.where(reached > 0, reached, reached[reached > 0].min())
    # Both layers' weights have a scale for each output, so that only the reader's range over
    # its inputs counts; a depthwise reader has a single input for each output, hence no range.
    wanted = [
        np.abs(weights.of(reader.op.inputs[1]).reshape(-1, reader.channels)).max(axis=0)[
            reader.first : reader.first + one.channels
        ]
        for reader in one.readers
        if reader.op.kind != "DEPTHWISE_CONV_2D"
    ]
    if not wanted:
        return reached
    with np.errstate(divide="ignore"):
        return np.asarray(reached**share / np.max(wanted, axis=0) ** (1 - share))


def _beside(
    group: Sequence[_Map], ranges: Mapping[int, np.ndarray], weights: _Weights, share: float
) -> list[np.ndarray]:
    """Returns the factors of the channels that the same layers read and nothing can scale."""
    found = []
    for reader in {r.op.index: r for one in group for r in one.readers}.values():
        free = np.ones(reader.channels, bool)
        for one in group:
            for other in one.readers:
                if other.op == reader.op:
                    free[other.first : other.first + one.channels] = False
        if free.any():
            whole = _Map(reader.op, reader.channels, (_Reader(reader.op, 0, reader.channels),))
            found.append(_factors(ranges[reader.op.inputs[0]], whole, weights, share)[free])
    return found


def _scale(one: _Map, factor: np.ndarray, weights: _Weights) -> None:
    """Divides a map's channels by factors (channels,) and multiplies the weights on them."""
    op = one.op
    outputs = (-1, *[1] * (3 if op.kind == "CONV_2D" else 1))
    along = (one.channels,) if op.kind == "DEPTHWISE_CONV_2D" else outputs
    weights.set(op.inputs[1], weights.of(op.inputs[1]) / factor.reshape(along))
    if len(op.inputs) > 2:
        weights.set(op.inputs[2], weights.of(op.inputs[2]) / factor, op)
    for reader in one.readers:
        values = weights.of(reader.op.inputs[1])
        scaled = values.reshape(*values.shape[:-1], -1, reader.channels).copy()
        scaled[..., reader.first : reader.first + one.channels] *= factor
        weights.set(reader.op.inputs[1], scaled.reshape(values.shape))


def _groups(graph: Graph) -> list[list[_Map]]:
    """Returns the maps whose channels can be scaled; those that are read joined form a group."""
    groups: list[list[_Map]] = []
    for op in graph.operators:
        readers = _readers(graph, op)
        if not readers:
            continue
        one = _Map(op, graph.tensors[op.outputs[0]].shape[-1], tuple(readers))
        mine = {reader.op.index for reader in readers}
        joined = [g for g in groups if mine & {r.op.index for other in g for r in other.readers}]
        groups = [g for g in groups if g not in joined]
        groups.append([*(other for g in joined for other in g), one])
    return groups


def _readers(graph: Graph, op: Operator) -> list[_Reader]:
    """Returns the layers that read a layer's features; none where a factor cannot be moved."""
    if not _own_weights(graph, op) or op.activation not in ("NONE", "RELU"):
        return []
    channels = graph.tensors[op.outputs[0]].shape[-1]
    found: list[_Reader] = []
    # A tensor, the place of the features' first channel in it, and how many channels it has.
    waiting = [(op.outputs[0], 0, channels)]
    while waiting:
        tensor, first, total = waiting.pop()
        if tensor in graph.outputs:
            return []
        for reader in dict.fromkeys(graph.consumers.get(tensor, ())):
            kept = reader.activation in ("NONE", "RELU") and reader.inputs[0] == tensor
            if reader.kind in _PASSING and kept and _keeps_channels(graph, reader, total):
                waiting.extend((output, first, total) for output in reader.outputs)
            elif reader.kind == "CONCATENATION" and _joins(graph, reader, tensor, total):
                sizes = [graph.tensors[index].shape[-1] for index in reader.inputs]
                waiting.extend(
                    (reader.outputs[0], sum(sizes[:place]) + first, sum(sizes))
                    for place, index in enumerate(reader.inputs)
                    if index == tensor
                )
            elif reader.kind in _PRODUCTS and _reads_channels(graph, reader, tensor, total):
                found.append(_Reader(reader, first, total))
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


def _joins(graph: Graph, op: Operator, tensor: int, channels: int) -> bool:
    """Whether maps are put side by side channel by channel."""
    shape = graph.tensors[tensor].shape
    # A flattened map has its channels many times over.
    whole = len(shape) == 4 and shape[3] == channels
    return whole and op.option("axis") in (-1, 3) and op.activation in ("NONE", "RELU")


def _reads_channels(graph: Graph, op: Operator, tensor: int, channels: int) -> bool:
    if op.inputs[0] != tensor or not _own_weights(graph, op):
        return False
    length = graph.tensors[op.inputs[1]].shape[-1]
    flat = op.kind == "FULLY_CONNECTED" and length % channels == 0
    # A depthwise filter per channel; several for one have another order.
    return length == channels or flat


def _channel_ranges(
    graph: Graph, channels: Mapping[int, int], images: np.ndarray
) -> dict[int, np.ndarray]:
    """Returns the largest absolute values (channels,) over pictures of tensors of so many each."""
    values = TensorValues(graph)
    ranges = {index: np.zeros(size) for index, size in channels.items()}
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
