"""Which ``.tflite`` operator costs what.

A product with a learned weight is MACC; one with a matrix that the definition of a layer fixes is
resampling, see ``fixed_product``.

Sizes are checked against each other on the way: a convolution whose weights do not fit its input,
or a reshape that changes the number of elements, means a damaged file, and a count from it would
be wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tfalign.layers.fixed_map import is_fixed_linear_map
from tfalign.macc.cost import TAPS, Cost
from tfalign.tflite import Graph, Operator, Tensor

Operands = list[Tensor | None]
OperatorRule = Callable[[Operator, Operands, list[Tensor]], Cost]

_RULES: dict[str, OperatorRule] = {}

_WEIGHTS = {
    "BATCH_MATMUL": (0, 1),
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "PRELU": (1,),
    "TRANSPOSE_CONV": (1, 3),
}
"""Operator: the inputs that hold weights and biases, where they are constants."""

PRODUCTS = ("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
"""Operators that multiply and accumulate."""

_INDEX_TYPES = ("INT32", "INT64")


def weight_operands(operator: Operator, graph: Graph) -> set[int]:
    """Stored tensors that an operator uses as weights or biases.

    A bias that the converter could not merge stays behind as an ADD with a constant: constants of
    elementwise arithmetic count if they are more than a single number and no index arithmetic.
    """
    if fixed_product(operator, graph):
        return set()
    elementwise = operator.kind in ("ADD", "MUL", "SUB")
    places = (0, 1) if elementwise else _WEIGHTS.get(operator.kind, ())
    used = (operator.operands[i] for i in places if i < len(operator.operands))
    found = {graph.origin(index) for index in used if index >= 0}
    return {
        index
        for index in found
        if index is not None
        and not (
            elementwise
            and (graph.tensors[index].elements == 1 or graph.tensors[index].dtype in _INDEX_TYPES)
        )
    }


def cost_of_operator(operator: Operator, graph: Graph) -> Cost:
    """Cost of one operator.

    Raises:
        ValueError: no rule counts it, or its tensors do not fit together.
    """
    function = _RULES.get(operator.kind)
    if function is None:
        raise ValueError(
            "No rule counts this operator; add one to tfalign/macc/tflite_operators.py. "
            f"Received: operator={operator.kind!r}."
        )
    inputs: Operands = [graph.tensors[i] if i >= 0 else None for i in operator.operands]
    outputs = [graph.tensors[i] for i in operator.outputs]
    if not outputs or not inputs:
        raise _misfit(operator, inputs, outputs)
    cost = function(operator, inputs, outputs)
    if fixed_product(operator, graph):
        cost = dataclasses.replace(cost, macc=0, resampling=cost.resampling + cost.macc)
    if operator.activation != "NONE":
        cost += Cost(activation=outputs[0].elements)
    return cost


def fixed_product(operator: Operator, graph: Graph) -> bool:
    """Whether an operator multiplies by a matrix that a layer's definition fixes.

    Such a product interpolates, as a resize does: its multiply-adds stand in the resampling column
    and its matrix is no parameter. Two things must hold: a factor is stored in the file, and the
    operator is named after an operation made in ``tfalign.layers.fixed_map.fixed_linear_map``. The
    numbers themselves could not tell: a learned kernel is stored just like that.
    """
    factors = operator.operands[:2]
    return (
        operator.kind in PRODUCTS
        and bool(operator.outputs)
        and any(index >= 0 and graph.origin(index) is not None for index in factors)
        and is_fixed_linear_map(graph.tensors[operator.outputs[0]].name)
    )


def _rule(*kinds: str) -> Callable[[OperatorRule], OperatorRule]:
    def register(function: OperatorRule) -> OperatorRule:
        _RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


def _misfit(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> ValueError:
    shapes = [None if tensor is None else tensor.shape for tensor in inputs]
    return ValueError(
        "The tensors of an operator do not fit together: the file is damaged, or it leaves open a "
        "size that does not follow from a batch of 1 (convert it with a batch of 1). "
        f"Received: operator={operator.kind!r}, inputs={shapes}, "
        f"outputs={[tensor.shape for tensor in outputs]}."
    )


def _present(
    operator: Operator, inputs: Operands, outputs: list[Tensor], ranks: str
) -> list[Tensor]:
    """The leading inputs, each of the rank that the digit in ``ranks`` says (``*`` is any)."""
    found = [tensor for tensor in inputs[: len(ranks)] if tensor is not None]
    if len(found) != len(ranks) or any(
        rank != "*" and len(tensor.shape) != int(rank)
        for tensor, rank in zip(found, ranks, strict=True)
    ):
        raise _misfit(operator, inputs, outputs)
    return found


def _bias(inputs: Operands, place: int, output: Tensor) -> int:
    """Additions of a bias, which may be absent."""
    return output.elements if len(inputs) > place and inputs[place] is not None else 0


@_rule("CONV_2D")
def _convolution(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    image, kernel = _present(operator, inputs, outputs, "44")
    filters, height, width, channels = kernel.shape
    output = outputs[0]
    # Grouped: the kernel's channels are those of one group.
    if not channels or image.shape[3] % channels or output.shape[3:] != (filters,):
        raise _misfit(operator, inputs, outputs)
    macc = output.elements * height * width * channels
    return Cost(macc=macc, bias_norm=_bias(inputs, 2, output))


@_rule("DEPTHWISE_CONV_2D")
def _depthwise(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    image, kernel = _present(operator, inputs, outputs, "44")
    one, height, width, filters = kernel.shape
    output = outputs[0]
    fits = one == 1 and image.shape[3] and filters % image.shape[3] == 0
    if not fits or output.shape[3:] != (filters,):
        raise _misfit(operator, inputs, outputs)
    return Cost(macc=output.elements * height * width, bias_norm=_bias(inputs, 2, output))


@_rule("TRANSPOSE_CONV")
def _transpose_convolution(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    _, kernel, image = _present(operator, inputs, outputs, "144")
    filters, height, width, channels = kernel.shape
    output = outputs[0]
    if image.shape[3] != channels or output.shape[3:] != (filters,):
        raise _misfit(operator, inputs, outputs)
    macc = image.elements * height * width * filters
    return Cost(macc=macc, bias_norm=_bias(inputs, 3, output))


@_rule("FULLY_CONNECTED")
def _fully_connected(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    rows, kernel = _present(operator, inputs, outputs, "*2")
    units, features = kernel.shape
    output = outputs[0]
    if not features or rows.elements % features:
        raise _misfit(operator, inputs, outputs)
    if output.elements != rows.elements // features * units:
        raise _misfit(operator, inputs, outputs)
    return Cost(macc=output.elements * features, bias_norm=_bias(inputs, 2, output))


@_rule("BATCH_MATMUL")
def _batch_matmul(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    left, right = _present(operator, inputs, outputs, "**")
    output = outputs[0]
    if min(len(left.shape), len(right.shape)) < 2 or len(output.shape) < 2:
        raise _misfit(operator, inputs, outputs)
    rows, summed = left.shape[-2:]
    if operator.option("adjX"):
        rows, summed = summed, rows
    summed_right, columns = right.shape[-2:]
    if operator.option("adjY"):
        summed_right, columns = columns, summed_right
    if summed != summed_right or output.shape[-2:] != (rows, columns):
        raise _misfit(operator, inputs, outputs)
    return Cost(macc=output.elements * summed)


@_rule("AVERAGE_POOL_2D", "MAX_POOL_2D")
def _pool(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    window = operator.option("filterWidth") * operator.option("filterHeight")
    if window < 1:
        raise _misfit(operator, inputs, outputs)
    return Cost(pooling=outputs[0].elements * window)


@_rule(
    *("ARG_MAX", "ARG_MIN", "MEAN", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN"),
    *("REDUCE_PROD", "SUM", "TOPK_V2"),
)
def _reduce(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    (source,) = _present(operator, inputs, outputs, "*")
    return Cost(pooling=source.elements)


@_rule(
    *("ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "LOG_SOFTMAX", "PRELU", "RELU"),
    *("RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "SOFTMAX", "TANH"),
)
def _activation(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    return Cost(activation=outputs[0].elements)


@_rule("L2_NORMALIZATION", "LOCAL_RESPONSE_NORMALIZATION")
def _normalization(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    return Cost(bias_norm=3 * outputs[0].elements)


@_rule("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def _resize(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    kind = "bilinear" if operator.kind == "RESIZE_BILINEAR" else "nearest"
    return Cost(resampling=outputs[0].elements * TAPS[kind])


@_rule(
    *("ABS", "ADD", "ADD_N", "ATAN2", "CEIL", "COS", "CUMSUM", "DIV", "EQUAL", "EXP", "FLOOR"),
    *("FLOOR_DIV", "FLOOR_MOD", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOG"),
    *("LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "MAXIMUM", "MINIMUM", "MUL", "NEG"),
    *("NOT_EQUAL", "ONE_HOT", "POW", "ROUND", "RSQRT", "SELECT", "SELECT_V2", "SIGN", "SIN"),
    *("SQRT", "SQUARE", "SQUARED_DIFFERENCE", "SUB"),
)
def _elementwise(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    return Cost(elementwise=outputs[0].elements)


@_rule("DEQUANTIZE", "QUANTIZE")
def _convert(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    (source,) = _present(operator, inputs, outputs, "*")
    # Widening stored weights happens once, when the file is loaded.
    return Cost() if source.constant else Cost(elementwise=outputs[0].elements)


@_rule("EXPAND_DIMS", "RESHAPE", "SQUEEZE")
def _reshape(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    (source,) = _present(operator, inputs, outputs, "*")
    if source.elements != outputs[0].elements:
        raise _misfit(operator, inputs, outputs)
    return Cost()


@_rule(
    *("BATCH_TO_SPACE_ND", "BROADCAST_ARGS", "BROADCAST_TO", "CAST", "CONCATENATION", "DENSIFY"),
    *("DEPTH_TO_SPACE", "EMBEDDING_LOOKUP", "FILL", "GATHER", "GATHER_ND", "MIRROR_PAD", "PACK"),
    *("PAD", "PADV2", "RANGE", "RANK", "REVERSE_V2", "SHAPE", "SLICE", "SPACE_TO_BATCH_ND"),
    *("SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK"),
    *("ZEROS_LIKE",),
)
def _movement(operator: Operator, inputs: Operands, outputs: list[Tensor]) -> Cost:
    return Cost()
