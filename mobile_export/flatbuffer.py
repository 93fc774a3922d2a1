"""Reading a ``.tflite`` file as a graph: operators, tensors, and who feeds whom."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mobile_export.extras import require

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every ``.tflite`` file (``file_identifier`` of TensorFlow Lite's schema)."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the main subgraph.

    Attributes:
        index: Position in the subgraph's list.
        name: Name given by the converter, usually the path of the Keras operation.
        shape: Static shape.
        dtype: Name in the schema, e.g. ``"FLOAT32"`` or ``"INT8"``.
        constant: Whether its values are stored in the file.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool


@dataclass(frozen=True)
class Operator:
    """An operator of the main subgraph.

    Attributes:
        index: Position in execution order.
        kind: Built-in name, e.g. ``"CONV_2D"``; ``"CUSTOM"`` for operators that are not built in.
        custom: Name of a custom or Flex operator, else None.
        activation: Fused activation function, ``"NONE"`` where there is none.
        inputs: Indices of its input tensors, absent optional ones left out.
        outputs: Indices of its output tensors.
    """

    index: int
    kind: str
    custom: str | None
    activation: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """The main subgraph of a ``.tflite`` file.

    Attributes:
        tensors: All tensors, by index.
        operators: All operators in execution order.
        inputs: Indices of the graph's input tensors.
        outputs: Indices of the graph's output tensors.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

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

    def scope(self, op: Operator) -> str:
        """Returns the operator's outputs as ai-edge-quantizer writes them: ``name;name;``."""
        return "".join(f"{self.tensors[i].name};" for i in op.outputs)

    def layer(self, op: Operator) -> str:
        """Returns the name of the operator's first output: the path of a Keras layer."""
        return self.tensors[op.outputs[0]].name if op.outputs else f"operator {op.index}"

    def activations(self, op: Operator) -> list[Tensor]:
        """Returns the operator's inputs that are computed, not stored in the file."""
        return [self.tensors[i] for i in op.inputs if not self.tensors[i].constant]


def read_bytes(model: str | Path | bytes) -> bytes:
    """Returns a model's bytes after checking that they can be a ``.tflite`` file.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If it is no ``.tflite`` file.
    """
    if isinstance(model, (bytes, bytearray)):
        data, name = bytes(model), "bytes"
    else:
        path = Path(model)
        if not path.is_file():
            raise FileNotFoundError(f"There is no such .tflite file. Received: path={str(path)!r}")
        data, name = path.read_bytes(), str(path)
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise ValueError(
            f"A .tflite file has the identifier {IDENTIFIER.decode()!r} at byte 4; this is none. "
            f"Received: {name}, {len(data)} bytes"
        )
    return data


def read_object(model: str | Path | bytes) -> Any:
    """Returns the file as the schema's object tree (``ModelT``).

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If the file is foreign or damaged.
    """
    require("ai_edge_litert")
    from ai_edge_litert import schema_py_generated as schema

    data = read_bytes(model)
    try:
        tree = schema.ModelT.InitFromPackedBuf(data, 0)
    except (struct.error, IndexError, ValueError, TypeError, MemoryError, OverflowError) as error:
        raise ValueError(_damaged(model, data)) from error
    if not tree.subgraphs or not tree.operatorCodes or not tree.subgraphs[0].tensors:
        raise ValueError(_damaged(model, data))
    for buffer in tree.buffers or ():
        # The quantizer keeps weights behind the flatbuffer and stores only their place.
        if buffer.offset > 1:
            if buffer.offset + buffer.size > len(data):
                raise ValueError(_damaged(model, data))
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return tree


def read_graph(model: str | Path | bytes) -> Graph:
    """Returns the main subgraph of a ``.tflite`` file.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If the file is foreign or damaged.
    """
    tree = read_object(model)
    from ai_edge_litert import schema_py_generated as schema

    kinds, activations = names_of(schema.BuiltinOperator), names_of(schema.ActivationFunctionType)
    dtypes = names_of(schema.TensorType)
    main = tree.subgraphs[0]
    try:
        tensors = tuple(
            Tensor(
                index,
                _text(tensor.name),
                tuple(int(size) for size in (tensor.shape if tensor.shape is not None else ())),
                dtypes[tensor.type],
                _stored(tree.buffers[tensor.buffer]),
            )
            for index, tensor in enumerate(main.tensors)
        )
        operators = tuple(
            _operator(index, op, tree.operatorCodes[op.opcodeIndex], kinds, activations)
            for index, op in enumerate(main.operators)
        )
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(_damaged(model, read_bytes(model))) from error
    return Graph(tensors, operators, _indices(main.inputs), _indices(main.outputs))


def names_of(enum: type) -> dict[int, str]:
    """Returns code → name of one of the schema's generated enumerations."""
    return {code: name for name, code in vars(enum).items() if isinstance(code, int)}


def _operator(
    index: int, op: Any, code: Any, kinds: dict[int, str], activations: dict[int, str]
) -> Operator:
    # Files older than schema 3a keep the code in the one-byte field.
    kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
    custom = _text(code.customCode) if kind == "CUSTOM" else None
    fused = activations[getattr(op.builtinOptions, "fusedActivationFunction", 0)]
    return Operator(index, kind, custom, fused, _indices(op.inputs), _indices(op.outputs))


def _indices(values: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in (values if values is not None else ()) if int(i) >= 0)


def _stored(buffer: Any) -> bool:
    return buffer.data is not None and np.size(buffer.data) > 0


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _damaged(model: str | Path | bytes, data: bytes) -> str:
    name = "bytes" if isinstance(model, (bytes, bytearray)) else str(model)
    return f"The .tflite file is damaged or cut short. Received: {name}, {len(data)} bytes"
