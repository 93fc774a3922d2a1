"""Reading the operators and tensors of a ``.tflite`` file, with its bounds checked.

The flatbuffer reader of the schema trusts the file: offsets may point anywhere and lengths may
be any 32-bit number. Every length is checked here against the size of the file before it is
used, and whatever the reader stumbles over becomes one ``ValueError`` that names the file.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tfalign.macc.cost import Shape, size

IDENTIFIER = b"TFL3"
MAX_RANK = 8
MAX_ELEMENTS = 2**40
MAX_OPERANDS = 4096

_DAMAGE = (
    struct.error,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
    AttributeError,
    MemoryError,
)
"""What the flatbuffer reader raises when it follows a damaged offset."""


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One tensor of the graph.

    Attributes:
        name: its name in the file.
        dtype: its type, such as ``FLOAT32``.
        shape: its sizes; an open axis is stored as 1 until ``with_closed_sizes`` works it out.
        open_axes: axes whose size the file leaves to the runtime.
        constant: whether the file holds its values.
    """

    name: str
    dtype: str
    shape: Shape
    open_axes: tuple[int, ...]
    constant: bool

    @property
    def elements(self) -> int:
        """Number of elements."""
        return size(self.shape)


@dataclasses.dataclass(frozen=True)
class Operator:
    """One operator of the graph.

    Attributes:
        kind: its name, such as ``CONV_2D``; a custom one is ``CUSTOM:name``.
        inputs: indices of tensors; -1 is an absent input.
        outputs: indices of tensors.
        options: the few options that the counts depend on.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]


@dataclasses.dataclass(frozen=True)
class TFLiteFile:
    """The first subgraph of a ``.tflite`` file.

    Attributes:
        tensors: all tensors.
        operators: all operators, in the order in which they run.
        inputs: tensors that the caller fills in.
        weight_bytes: bytes of the constants among the tensors.
        file_bytes: size of the whole file.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    weight_bytes: int
    file_bytes: int

    @functools.cached_property
    def _widened(self) -> dict[int, int]:
        """Output of each DEQUANTIZE or DENSIFY: its input."""
        return {
            operator.outputs[0]: operator.inputs[0]
            for operator in self.operators
            if operator.kind in ("DEQUANTIZE", "DENSIFY") and operator.inputs and operator.outputs
        }

    def origin(self, index: int) -> int | None:
        """The constant that a tensor is or is converted from; None if it is computed.

        Half-precision files keep weights as float16 and widen them with DEQUANTIZE.
        """
        source = self._widened.get(index, index)
        return source if self.tensors[source].constant else None


def schema() -> ModuleType:
    """The generated flatbuffer schema, from ai-edge-litert or else from TensorFlow.

    Raises:
        ImportError: neither is installed.
    """
    for name in (
        "ai_edge_litert.schema_py_generated",
        "tensorflow.lite.python.schema_py_generated",
    ):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError(
        "Reading a .tflite file needs ai-edge-litert or TensorFlow: pip install 'tfalign[mobile]'"
    )


def read_tflite(path: Path) -> TFLiteFile:
    """Reads the first subgraph.

    Raises:
        ValueError: the file is damaged or no ``.tflite``.
        ImportError: see ``schema``.
    """
    generated = schema()
    data = path.read_bytes()
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise ValueError(
            f"A .tflite file has the identifier 'TFL3' at byte 4. Received: path='{path}' of "
            f"{len(data)} bytes, with {data[4:8]!r} there"
        )
    try:
        return _Reader(data, generated).file()
    except _DAMAGE as error:
        raise ValueError(
            f"The .tflite file is damaged: {type(error).__name__}: {error}. Received: path='{path}'"
        ) from error


class _Reader:
    """Walks the flatbuffer from its root table."""

    def __init__(self, data: bytes, generated: ModuleType) -> None:
        self._data = data
        self._schema = generated
        self._operators = _names(generated.BuiltinOperator)
        self._types = _names(generated.TensorType)

    def file(self) -> TFLiteFile:
        model = self._schema.Model.GetRootAsModel(self._data, 0)
        if self._length(model.SubgraphsLength()) == 0:
            raise ValueError("it holds no subgraph")
        codes = [
            self._kind(model.OperatorCodes(i)) for i in self._range(model.OperatorCodesLength())
        ]
        sizes = [self._buffer_bytes(model.Buffers(i)) for i in self._range(model.BuffersLength())]
        graph = model.Subgraphs(0)
        tensors = tuple(
            self._tensor(graph.Tensors(i), sizes) for i in self._range(graph.TensorsLength())
        )
        operators = tuple(
            self._operator(graph.Operators(i), codes, len(tensors))
            for i in self._range(graph.OperatorsLength())
        )
        inputs = tuple(graph.Inputs(i) for i in self._range(graph.InputsLength()))
        if any(not 0 <= index < len(tensors) for index in inputs):
            raise ValueError("an input names a tensor that does not exist")
        used = {graph.Tensors(i).Buffer() for i in range(len(tensors))}
        weight_bytes = sum(sizes[buffer] for buffer in used)
        return TFLiteFile(tensors, operators, inputs, weight_bytes, len(self._data))

    def _length(self, entries: int) -> int:
        # Every entry of a vector of tables takes four bytes of offset.
        if not 0 <= entries <= len(self._data) // 4:
            raise ValueError(f"a list claims {entries} entries")
        return entries

    def _range(self, entries: int) -> Iterator[int]:
        return iter(range(self._length(entries)))

    def _kind(self, code: Any) -> str:
        # Files of old converters keep the operator in a byte-sized field.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        kind = self._operators[number]
        if kind != "CUSTOM":
            return kind
        return "CUSTOM:" + (code.CustomCode() or b"").decode("utf-8")

    def _buffer_bytes(self, buffer: Any) -> int:
        # Files above 2 GB keep the data behind the flatbuffer.
        claimed = int(buffer.DataLength() or buffer.Size())
        if not 0 <= claimed <= len(self._data):
            raise ValueError(f"a buffer claims {claimed} bytes")
        return claimed

    def _tensor(self, tensor: Any, sizes: list[int]) -> Tensor:
        name = (tensor.Name() or b"").decode("utf-8")
        rank = tensor.ShapeLength()
        if rank > MAX_RANK:
            raise ValueError(f"tensor {name!r} claims {rank} axes")
        shape = tuple(int(tensor.Shape(axis)) for axis in range(rank))
        if any(axis < 0 for axis in shape) or size(shape) > MAX_ELEMENTS:
            raise ValueError(f"tensor {name!r} claims shape {shape}")
        if tensor.ShapeSignatureLength() > MAX_RANK:
            raise ValueError(f"tensor {name!r} claims a signature of more than {MAX_RANK} axes")
        signature = [tensor.ShapeSignature(axis) for axis in range(tensor.ShapeSignatureLength())]
        if signature and len(signature) != rank:
            raise ValueError(f"tensor {name!r} claims shape {shape} and signature {signature}")
        open_axes = tuple(axis for axis, length in enumerate(signature) if length < 0)
        dtype = self._types[tensor.Type()]
        return Tensor(name, dtype, shape, open_axes, constant=sizes[tensor.Buffer()] > 0)

    def _operator(self, operator: Any, codes: list[str], tensors: int) -> Operator:
        kind = codes[operator.OpcodeIndex()]
        if max(operator.InputsLength(), operator.OutputsLength()) > MAX_OPERANDS:
            raise ValueError(f"operator {kind} claims more than {MAX_OPERANDS} operands")
        inputs = tuple(operator.Inputs(i) for i in self._range(operator.InputsLength()))
        outputs = tuple(operator.Outputs(i) for i in self._range(operator.OutputsLength()))
        if any(not -1 <= i < tensors for i in inputs) or any(not 0 <= i < tensors for i in outputs):
            raise ValueError(f"operator {kind} names a tensor that does not exist")
        return Operator(kind, inputs, outputs, self._options(operator, kind))

    def _options(self, operator: Any, kind: str) -> dict[str, int]:
        """The few options that the counts depend on."""
        reader = _OPTIONS.get(kind)
        table = operator.BuiltinOptions()
        if reader is None or table is None:
            return {}
        class_name, fields = reader
        options = getattr(self._schema, class_name)()
        options.Init(table.Bytes, table.Pos)
        return {field: int(getattr(options, field)()) for field in fields}


_ACTIVATION = ("FusedActivationFunction",)
_OPTIONS = {
    "ADD": ("AddOptions", _ACTIVATION),
    "AVERAGE_POOL_2D": ("Pool2DOptions", ("FilterWidth", "FilterHeight", *_ACTIVATION)),
    "BATCH_MATMUL": ("BatchMatMulOptions", ("AdjX", "AdjY")),
    "CONV_2D": ("Conv2DOptions", _ACTIVATION),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _ACTIVATION),
    "DIV": ("DivOptions", _ACTIVATION),
    "FULLY_CONNECTED": ("FullyConnectedOptions", _ACTIVATION),
    "MAX_POOL_2D": ("Pool2DOptions", ("FilterWidth", "FilterHeight", *_ACTIVATION)),
    "MUL": ("MulOptions", _ACTIVATION),
    "SUB": ("SubOptions", _ACTIVATION),
    "TRANSPOSE_CONV": ("TransposeConvOptions", _ACTIVATION),
}
"""Operator: the class of its options in the schema, and the fields read from it."""


def _names(enumeration: type) -> dict[int, str]:
    """Number: name, of one enumeration of the schema."""
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
