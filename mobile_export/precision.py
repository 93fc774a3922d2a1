"""Which operators run in integers: the mixed recipe of the ``int8`` kind.

Convolutions and hidden dense layers take nearly all of a landmark model's time and tolerate eight
bits; coordinates do not, since an int8 coordinate has steps of 1/256 of the picture. The recipe
follows from the graph alone, so one rule serves every architecture:

* **static** (int8 activations and weights): convolutions, and dense layers with an activation
  function (batched matrix products too), whose result feeds, through operators that carry
  features, another convolution or dense layer. A dense layer without activation function makes
  coordinates or parameters of a transform; so does a map whose largest entry is looked up.
* **static**, carrying: operators between them whose inputs are all int8 already (residual sums,
  pooling, activations, reshapes, the gather of shape-indexed crops). A crop is therefore gathered
  from the int8 map, and only the few gathered cells are turned into float. Maps that are joined
  for int8 products alone are joined in int8 if any of them is int8.
* **dynamic** (int8 weights, float results): the dense layers that make coordinates from features,
  which are quantized on the fly with a scale of their own.
* **float**: everything else: coordinates, fractions, indices, resampling grids, fixed linear maps
  (an integral image has no use for eight bits), the products that take coordinates in, the tiles of
  large depthwise filters (``simplify``), convolutions of up to three channels, the picture's, and
  small ones that have float before and behind them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mobile_export.converter import layer_of
from mobile_export.simplify import is_tile
from tfalign.layers.fixed_map import is_fixed_linear_map
from tfalign.tflite import Graph, Operator

CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"})
PRODUCTS = frozenset({*CONVOLUTIONS, "FULLY_CONNECTED", "BATCH_MATMUL"})
MOVEMENT = frozenset(
    {"RESHAPE", "GATHER", "GATHER_ND", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "PACK"}
    | {"UNPACK", "CONCATENATION", "PAD", "MAX_POOL_2D", "RELU"}
)
"""Operators that keep every value, or the larger one: int8 costs them nothing."""
CARRIERS = MOVEMENT | {"ADD", "AVERAGE_POOL_2D", "MEAN", "TANH", "LOGISTIC", "HARD_SWISH"}
CARRIERS = CARRIERS | {"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}
"""Operators through which features reach the next layer."""
ACTIVATIONS = frozenset({"RELU", "RELU6", "PRELU", "LEAKY_RELU", "ELU", "TANH", "LOGISTIC"})
TRANSPARENT = CARRIERS | ACTIVATIONS | {"LOCAL_RESPONSE_NORMALIZATION", "SQUEEZE", "EXPAND_DIMS"}
"""Operators behind which a product still counts as hidden, whether or not they run in int8."""
SELECTORS = frozenset({"ARG_MAX", "ARG_MIN", "TOPK_V2"})
"""Operators that turn a map into a position: the map is then a coordinate."""
JOINS = frozenset({"CONCATENATION", "PACK"})
NEEDS_ALL = JOINS | {"ADD"}

THIN = 3
"""Convolutions of at most so many input channels stay float: LiteRT's int8 kernels take channels in
fours or eights and multiply by zeros for those that are missing. On a processor without
instructions for bytes the first convolutions of a colour picture, three channels, took 1.7 to 2.7
times as long in int8."""

ALONE = 32
"""Convolutions between float operators stay float below so many multiplications for each number
that would be rounded before or expanded behind: the conversions cost what int8 gains, and round."""

INTEGER = (PRODUCTS | CARRIERS | {"MUL", "SUB"}) - {"RELU", "HARD_SWISH", "BATCH_MATMUL"}
"""Operators that LiteRT runs on int8 and, where coordinates need it, int16."""

NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}
"""Schema name → the quantizer's name, where they differ."""


@dataclass(frozen=True)
class Decision:
    """How one operator of the float graph is exported.

    Attributes:
        operator: Built-in name, e.g. ``"CONV_2D"``.
        tensor: Name of its first output.
        precision: ``"static"``, ``"static16"``, ``"dynamic"``, ``"half"`` or ``"float"``.
    """

    operator: str
    tensor: str
    precision: str

    def to_dict(self) -> dict[str, str]:
        """The decision as plain data."""
        return asdict(self)


def mixed(graph: Graph) -> list[Decision]:
    """Returns the ``int8`` recipe of a float graph, one decision per operator in order."""
    integer: set[int] = set()
    coordinates: set[int] = set()
    decisions = []
    for op in graph.operators:
        precision = "float"
        product = op.kind in PRODUCTS and _weighted(graph, op)
        hidden = product and _hidden(graph, op)
        if is_tile(graph.layer(op)):
            pass  # Sums of eight-bit tiles would be rounded once for each.
        elif hidden:
            gains = _in_int8(graph, op) and not _alone(graph, op, integer)
            precision = "static" if gains else "float"
        elif op.kind == "FULLY_CONNECTED" and product and not coordinates & {*op.inputs}:
            precision = "dynamic"
        elif op.kind in CARRIERS and _carries(graph, op, integer):
            precision = "static"
        if precision == "static":
            integer.update(op.outputs)
        if _makes_coordinates(graph, op, product and not hidden, coordinates):
            coordinates.update(op.outputs)
        decisions.append(Decision(op.kind, graph.layer(op), precision))
    return decisions


def full(graph: Graph) -> list[Decision]:
    """Returns the ``int8_full`` recipe: integers throughout, int16 from the coordinates on.

    Raises:
        ValueError: If an operator has no integer form; it and its layer are named.
    """
    floats = [op for op in graph.operators if _touches_float(graph, op)]
    refused = [op for op in floats if op.kind not in INTEGER]
    if refused:
        listed = ", ".join(
            dict.fromkeys(f"{op.kind} in {layer_of(graph.layer(op))}" for op in refused)
        )
        raise ValueError(
            "Kind 'int8_full' takes only operators that have an integer form here, "
            f"{', '.join(sorted(INTEGER))}; use 'int8', which leaves the others in float. "
            f"Received: {listed}"
        )
    fine: set[int] = set()
    decisions = []
    for op in graph.operators:
        precision = "float"
        if op in floats:
            product = op.kind in PRODUCTS and _weighted(graph, op)
            sixteen = (product and not _hidden(graph, op)) or fine & set(op.inputs)
            precision = "static16" if sixteen else "static"
            if precision == "static16":
                fine.update(op.outputs)
        decisions.append(Decision(op.kind, graph.layer(op), precision))
    return decisions


def _touches_float(graph: Graph, op: Operator) -> bool:
    return any(graph.tensors[i].dtype == "FLOAT32" for i in (*op.inputs, *op.outputs))


def weights_only(graph: Graph, precision: str) -> list[Decision]:
    """Returns a recipe that changes how the weights of products are stored and nothing else.

    Other stored numbers (the small ones that guard a division, grids) keep float32: a float16
    guard would be zero.

    Args:
        graph: A float graph.
        precision: ``"dynamic"`` (int8) or ``"half"`` (float16).
    """
    return [
        Decision(
            op.kind,
            graph.layer(op),
            precision if op.kind in PRODUCTS and _weighted(graph, op) else "float",
        )
        for op in graph.operators
    ]


def _weighted(graph: Graph, op: Operator) -> bool:
    """Whether one factor of the product is a learned weight; a fixed linear map is none."""
    stored = len(op.inputs) > 1 and graph.tensors[op.inputs[1]].constant
    return stored and not is_fixed_linear_map(graph.layer(op))


def _in_int8(graph: Graph, op: Operator) -> bool:
    """Whether the operator is a product of features that gains from int8."""
    product = op.kind in PRODUCTS and _weighted(graph, op) and not is_tile(graph.layer(op))
    return product and not _thin(graph, op) and _hidden(graph, op)


def _thin(graph: Graph, op: Operator) -> bool:
    """Whether the operator is a convolution with too few channels to gain from int8."""
    return op.kind == "CONV_2D" and graph.tensors[op.inputs[1]].shape[3] <= THIN


def _alone(graph: Graph, op: Operator, integer: set[int]) -> bool:
    """Whether the operator is a small convolution with float before and behind it."""
    read = {t.index for t in graph.activations(op)}
    if op.kind not in CONVOLUTIONS or read & integer or _feeds_int8(graph, op):
        return False
    result, weight = graph.tensors[op.outputs[0]], graph.tensors[op.inputs[1]]
    products = result.elements * weight.elements // result.shape[3]
    converted = result.elements + sum(graph.tensors[index].elements for index in read)
    return products < ALONE * converted


def _feeds_int8(graph: Graph, op: Operator) -> bool:
    """Whether a product in int8 reads the result, directly or through operators that carry it."""
    return any(
        _in_int8(graph, reader) or (reader.kind in CARRIERS and _feeds_int8(graph, reader))
        for out in op.outputs
        for reader in graph.consumers.get(out, ())
    )


def _hidden(graph: Graph, op: Operator) -> bool:
    """Whether features, not coordinates, leave the operator."""
    readers = [reader.kind for out in op.outputs for reader in graph.consumers.get(out, ())]
    activated = op.activation != "NONE" or bool(_steps(graph, op) & ACTIVATIONS)
    if op.kind not in CONVOLUTIONS and not activated and not ACTIVATIONS & {*readers}:
        return False
    reached = _reached(graph, op)
    return bool(reached & {*CONVOLUTIONS, "FULLY_CONNECTED"}) and not reached & SELECTORS


def _steps(graph: Graph, op: Operator) -> set[str]:
    """Kinds and fused activations of the operators that a bias and a reshape may stand before."""
    kinds: set[str] = set()
    waiting = list(op.outputs)
    while waiting:
        for reader in graph.consumers.get(waiting.pop(), ()):
            kinds.add(reader.kind)
            biased = reader.kind == "ADD" and len(graph.activations(reader)) == 1
            if biased and reader.activation != "NONE":
                kinds.add("RELU")
            if biased or reader.kind in {"RESHAPE", "TRANSPOSE"}:
                waiting.extend(reader.outputs)
    return kinds


def _makes_coordinates(graph: Graph, op: Operator, product: bool, coordinates: set[int]) -> bool:
    """Whether coordinates, or parameters of a transform, leave the operator."""
    if product:
        return op.kind != "BATCH_MATMUL" or bool(coordinates & {*op.inputs})
    if op.kind in PRODUCTS and _weighted(graph, op):
        return False
    # Cells gathered at computed positions are features, and so is what fractions of positions
    # weigh; coordinates are what is made of coordinates alone.
    gathers = op.kind in {"GATHER", "GATHER_ND"}
    sources = {i for i in op.inputs[: 1 if gathers else None] if not graph.tensors[i].constant}
    return bool(sources) and sources <= coordinates


def _reached(graph: Graph, op: Operator) -> set[str]:
    """Kinds of the operators that read the result directly or through transparent operators."""
    kinds: set[str] = set()
    waiting, seen = list(op.outputs), set(op.outputs)
    while waiting:
        tensor = waiting.pop()
        for reader in graph.consumers.get(tensor, ()):
            if reader.kind in {"GATHER", "GATHER_ND"} and reader.inputs[0] != tensor:
                continue  # an index is not what the gather passes on
            kinds.add(reader.kind)
            if reader.kind in TRANSPARENT:
                new = [out for out in reader.outputs if out not in seen]
                seen.update(new)
                waiting.extend(new)
    return kinds


def _carries(graph: Graph, op: Operator, integer: set[int]) -> bool:
    """Whether every feature that the operator reads is already int8, or is rounded in any case."""
    floats = {t.index for t in graph.activations(op) if t.dtype == "FLOAT32"}
    stored = [i for i in op.inputs if graph.tensors[i].constant]
    if op.kind in NEEDS_ALL and any(graph.tensors[i].dtype == "FLOAT32" for i in stored):
        return False
    readers = [reader for out in op.outputs for reader in graph.consumers.get(out, ())]
    if op.kind in JOINS and readers and all(_in_int8(graph, reader) for reader in readers):
        # It is rounded whole for its readers: in float, its int8 parts would be expanded first.
        return bool(floats & integer)
    return bool(floats) and floats <= integer


def apply(quantizer: Any, graph: Graph, decisions: Sequence[Decision]) -> None:
    """Writes decisions into an ``ai_edge_quantizer`` quantizer, one rule per operator.

    Args:
        quantizer: ``ai_edge_quantizer.quantizer.Quantizer`` of the same float model.
        graph: The float model's graph.
        decisions: As ``mixed`` returns them, one per operator.
    """
    from ai_edge_quantizer import qtyping

    for op, decision in zip(graph.operators, decisions, strict=True):
        if decision.precision == "float":
            continue
        scope = f"^{re.escape(graph.scope(op))}$"
        operation = qtyping.TFLOperationName(NAMES.get(op.kind, op.kind))
        if decision.precision == "dynamic":
            quantizer.add_dynamic_config(scope, operation, num_bits=8)
        else:
            # LiteRT's batched product takes one scale for all weights: given one per channel it
            # computes something else, without a word.
            single = op.kind == "BATCH_MATMUL"
            quantizer.add_static_config(
                scope,
                operation,
                activation_num_bits=16 if decision.precision == "static16" else 8,
                weight_num_bits=8,
                weight_granularity=qtyping.QuantGranularity.TENSORWISE
                if single
                else qtyping.QuantGranularity.CHANNELWISE,
            )


def integer_ends(quantizer: Any) -> None:
    """Makes the picture uint8 and the landmarks int16, so that no float remains at the ends."""
    from ai_edge_quantizer import qtyping

    weights = qtyping.TensorQuantizationConfig(num_bits=8, symmetric=True)
    pixels = qtyping.TensorQuantizationConfig(
        num_bits=8, symmetric=False, dtype=qtyping.TensorDataType.UINT
    )
    quantizer.update_quantization_recipe(
        ".*",
        qtyping.TFLOperationName.INPUT,
        qtyping.OpQuantizationConfig(
            activation_tensor_config=pixels,
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.INTEGER,
        ),
    )
    quantizer.add_static_config(
        ".*", qtyping.TFLOperationName.OUTPUT, activation_num_bits=16, weight_num_bits=8
    )
