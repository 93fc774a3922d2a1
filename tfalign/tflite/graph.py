"""A ``.tflite`` file as a graph: operators, tensors, and who feeds whom.

``ai_edge_litert.tools.flatbuffer_utils`` turns the file into objects. It trusts the file, in which
offsets may point anywhere; what it stumbles over becomes one ``ValueError`` that names the file.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tfalign.tflite.optional import require

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every ``.tflite`` file (``file_identifier`` of TensorFlow Lite's schema)."""
ALIGNMENT = 16
"""Bytes to which stored weights are aligned, as the schema asks."""
MAX_RANK, MAX_OPERANDS, MAX_ELEMENTS = 8, 4096, 2**40
"""Above these, a number is damage and would be paid for in gigabytes."""

_DAMAGE = (
    *(struct.error, IndexError, KeyError, OverflowError, TypeError),
    *(ValueError, AttributeError, MemoryError),
)
"""What reading raises when it follows a damaged offset."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the main subgraph.

    Attributes:
        index: Position in the subgraph's list.
        name: Name given by the converter, usually the path of the Keras operation.
        shape: Its sizes; an axis that the file leaves open is stored as 1.
        dtype: Name in the schema, e.g. ``"FLOAT32"`` or ``"INT8"``.
        constant: Whether its values are stored in the file.
        open_axes: Axes whose size the file leaves to the runtime.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool
    open_axes: tuple[int, ...] = ()

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """An operator of the main subgraph.

    Attributes:
        index: Position in execution order.
        kind: Built-in name, e.g. ``"CONV_2D"``; ``"CUSTOM:name"`` for one that is not built in.
        operands: Indices of its input tensors; -1 stands for an absent optional one.
        outputs: Indices of its output tensors.
        options: The schema's options, an object with fields such as ``filterWidth``, or None.
        activation: Fused activation function, ``"NONE"`` where there is none.
    """

    index: int
    kind: str
    operands: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any = field(default=None, compare=False, repr=False)
    activation: str = "NONE"

    @property
    def inputs(self) -> tuple[int, ...]:
        """Indices of the input tensors that are present."""
        return tuple(index for index in self.operands if index >= 0)

    @property
    def custom(self) -> bool:
        """Whether the operator is not built into LiteRT."""
        return self.kind.startswith(("CUSTOM", "STABLEHLO_"))

    def option(self, name: str) -> int:
        """Returns a number among the options, e.g. ``filterWidth``; 0 where there is none."""
        return int(getattr(self.options, name, 0) or 0)


@dataclass(frozen=True)
class Graph:
    """The main subgraph of a ``.tflite`` file, made by ``Graph.read``.

    Attributes:
        tensors: All tensors, by index.
        operators: All operators in execution order.
        inputs: Indices of the graph's input tensors.
        outputs: Indices of the graph's output tensors.
        name: Of the file, for messages.
        content: The whole file.
        tree: The file as the schema's objects (``ModelT``). Whoever changes it works on a copy.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str = "graph"
    content: bytes = field(default=b"", repr=False)
    tree: Any = field(default=None, compare=False, repr=False)

    @classmethod
    def read(cls, source: str | Path | bytes | Graph) -> Graph:
        """Reads a file once; a graph is returned as it is.

        Args:
            source: A path, a file's bytes, or a graph.

        Raises:
            FileNotFoundError: If the path does not exist.
            ValueError: If the file is foreign, damaged or cut short.
            ImportError: If ai-edge-litert is not installed.
        """
        if isinstance(source, Graph):
            return source
        if isinstance(source, (bytes, bytearray)):
            content, name = bytes(source), "bytes"
        else:
            if not Path(source).is_file():
                raise FileNotFoundError(
                    f"There is no such .tflite file. Received: path={str(source)!r}"
                )
            content, name = Path(source).read_bytes(), str(source)
        received = f"Received: {name}, {len(content)} bytes"
        if len(content) < 8 or content[4:8] != IDENTIFIER:
            raise ValueError(
                f"A .tflite file has the identifier {IDENTIFIER.decode()!r} at byte 4; this has "
                f"{content[4:8]!r}. {received}"
            )
        require("ai_edge_litert")
        try:
            return _read(content, name)
        except _DAMAGE as error:
            raise ValueError(
                f"The .tflite file is damaged or cut short ({type(error).__name__}: {error}). "
                f"{received}"
            ) from error

    @cached_property
    def producer(self) -> dict[int, Operator]:
        """The operator that writes each tensor."""
        return {tensor: op for op in self.operators for tensor in op.outputs}

    @cached_property
    def consumers(self) -> dict[int, list[Operator]]:
        """The operators that read each tensor, in execution order."""
        readers: dict[int, list[Operator]] = {}
        for op in self.operators:
            for tensor in dict.fromkeys(op.inputs):
                readers.setdefault(tensor, []).append(op)
        return readers

    @property
    def weight_bytes(self) -> int:
        """Bytes of the constants among the tensors; what several share is counted once."""
        used = {self.tree.subgraphs[0].tensors[tensor.index].buffer for tensor in self.tensors}
        return sum(_stored_bytes(self.tree.buffers[buffer]) for buffer in used)

    def histogram(self) -> dict[str, int]:
        """Returns how often each operator occurs, the most frequent first."""
        return dict(Counter(op.kind for op in self.operators).most_common())

    def origin(self, index: int) -> int | None:
        """Returns the constant that a tensor is or is widened from; None if it is computed.

        Half-precision files keep weights as float16 and widen them with DEQUANTIZE.
        """
        maker = self.producer.get(index)
        if maker is not None and maker.kind in ("DEQUANTIZE", "DENSIFY") and maker.inputs:
            index = maker.inputs[0]
        return index if self.tensors[index].constant else None

    def values(self, index: int) -> np.ndarray:
        """Returns the stored bytes of a constant, as uint8."""
        buffer = self.tree.buffers[self.tree.subgraphs[0].tensors[index].buffer]
        return np.frombuffer(bytes(buffer.data), np.uint8)

    def scope(self, op: Operator) -> str:
        """Returns the operator's outputs as ai-edge-quantizer writes them: ``name;name;``."""
        return "".join(f"{self.tensors[i].name};" for i in op.outputs)

    def layer(self, op: Operator) -> str:
        """Returns the name of the operator's first output: the path of a Keras layer."""
        return self.tensors[op.outputs[0]].name if op.outputs else f"operator {op.index}"

    def activations(self, op: Operator) -> list[Tensor]:
        """Returns the operator's inputs that are computed, not stored in the file."""
        return [self.tensors[i] for i in op.inputs if not self.tensors[i].constant]


def pack(tree: Any) -> bytes:
    """Returns a file's bytes, with its stored tensors aligned behind the flatbuffer.

    The Python flatbuffer builder aligns them to one byte only; their place is therefore written
    as an offset, which the schema allows and the quantizer uses too.

    Args:
        tree: The file's object tree (``ModelT``).
    """
    from ai_edge_litert.tools import flatbuffer_utils

    stored = [buffer.data for buffer in tree.buffers]
    contents = {id(b): bytes(b.data) for b in tree.buffers if _stored_bytes(b)}
    used = {id(tree.buffers[tensor.buffer]) for part in tree.subgraphs for tensor in part.tensors}
    used |= {id(tree.buffers[entry.buffer]) for entry in tree.metadata or ()}
    for buffer in tree.buffers:
        buffer.data = None

    def build(start: int) -> tuple[bytes, bytes]:
        tail = b""
        for buffer in tree.buffers:
            if id(buffer) in contents and id(buffer) in used:
                tail += b"\0" * (-len(tail) % ALIGNMENT)
                buffer.offset, buffer.size = start + len(tail), len(contents[id(buffer)])
                tail += contents[id(buffer)]
        return bytes(flatbuffer_utils.convert_object_to_bytearray(tree)), tail

    # Offsets have a fixed width, so that the second pass is as long as the first.
    head, _ = build(2**32)
    padding = -len(head) % ALIGNMENT
    again, tail = build(len(head) + padding)
    for buffer, data in zip(tree.buffers, stored, strict=True):
        buffer.data, buffer.offset, buffer.size = data, 0, 0
    if len(again) != len(head):
        raise RuntimeError(f"The flatbuffer's length changed: {len(head)} to {len(again)} bytes.")
    return again + b"\0" * padding + tail


def names_of(enumeration: type) -> dict[int, str]:
    """Returns code → name of one of the schema's generated enumerations."""
    return {code: name for name, code in vars(enumeration).items() if isinstance(code, int)}


def _read(content: bytes, name: str) -> Graph:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    _check_lengths(schema.Model.GetRootAs(content, 0), len(content))
    tree = flatbuffer_utils.read_model_from_bytearray(content)
    main = tree.subgraphs[0]
    kinds, activations = names_of(schema.BuiltinOperator), names_of(schema.ActivationFunctionType)
    types = names_of(schema.TensorType)

    def tensor(index: int, stored: Any) -> Tensor:
        label, shape = _text(stored.name), tuple(map(int, _items(stored.shape)))
        if any(axis < 0 for axis in shape) or math.prod(shape) > MAX_ELEMENTS:
            raise ValueError(f"tensor {label!r} claims shape {shape}")
        signature = [int(axis) for axis in _items(stored.shapeSignature)]
        if signature and len(signature) != len(shape):
            raise ValueError(f"tensor {label!r} claims shape {shape} and signature {signature}")
        open_axes = tuple(axis for axis, length in enumerate(signature) if length < 0)
        constant = _stored_bytes(tree.buffers[stored.buffer]) > 0
        return Tensor(index, label, shape, types[stored.type], constant, open_axes)

    def operator(index: int, stored: Any) -> Operator:
        code = tree.operatorCodes[stored.opcodeIndex]
        kind = kinds[flatbuffer_utils.get_builtin_code_from_operator_code(code)]
        if kind == "CUSTOM":
            kind += f":{_text(code.customCode)}"
        fused = activations[getattr(stored.builtinOptions, "fusedActivationFunction", 0)]
        operands = tuple(int(i) for i in _items(stored.inputs))
        outputs = tuple(int(i) for i in _items(stored.outputs))
        if any(not -1 <= i < len(tensors) for i in operands) or not _inside(outputs, tensors):
            raise ValueError(f"operator {kind} names a tensor that does not exist")
        return Operator(index, kind, operands, outputs, stored.builtinOptions, fused)

    tensors = tuple(tensor(index, stored) for index, stored in enumerate(_items(main.tensors)))
    operators = tuple(operator(index, op) for index, op in enumerate(_items(main.operators)))
    inputs, outputs = (tuple(map(int, _items(ends))) for ends in (main.inputs, main.outputs))
    if not tensors or not _inside((*inputs, *outputs), tensors):
        raise ValueError("an input or output names a tensor that does not exist")
    return Graph(tensors, operators, inputs, outputs, name, content, tree)


def _check_lengths(model: Any, size: int) -> None:
    """Refuses claims that would cost gigabytes to follow, or that end behind the file."""

    def entries(count: int) -> Iterator[int]:
        # Every entry of a list of tables takes four bytes of offset.
        if not 0 <= count <= size // 4:
            raise ValueError(f"a list claims {count} entries")
        return iter(range(count))

    if not model.SubgraphsLength():
        raise ValueError("it holds no subgraph")
    for index in entries(model.BuffersLength()):
        buffer = model.Buffers(index)
        # The quantizer keeps weights behind the flatbuffer and stores only their place.
        outside = buffer.Offset() > 1 and buffer.Offset() + buffer.Size() > size
        if outside or buffer.DataLength() > size:
            raise ValueError("a buffer ends behind the file")
    for part in map(model.Subgraphs, entries(model.SubgraphsLength())):
        for tensor in map(part.Tensors, entries(part.TensorsLength())):
            if max(tensor.ShapeLength(), tensor.ShapeSignatureLength()) > MAX_RANK:
                raise ValueError(f"a tensor claims more than {MAX_RANK} axes")
        for op in map(part.Operators, entries(part.OperatorsLength())):
            if max(op.InputsLength(), op.OutputsLength()) > MAX_OPERANDS:
                raise ValueError(f"an operator claims more than {MAX_OPERANDS} operands")


def _items(values: Any) -> Any:
    return () if values is None else values


def _inside(indices: tuple[int, ...], tensors: tuple[Tensor, ...]) -> bool:
    return all(0 <= index < len(tensors) for index in indices)


def _stored_bytes(buffer: Any) -> int:
    return 0 if buffer.data is None else len(buffer.data)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
