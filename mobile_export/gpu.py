"""Which operators of a file a phone's GPU takes."""

from __future__ import annotations

import contextlib
import io
import re
from functools import cache
from typing import Any

from tfalign.tflite import Graph, Operator, require

GPU_OPERATORS = frozenset(
    [
        *("ABS", "ADD", "ADD_N", "ATAN2", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CAST", "CEIL"),
        *("CONCATENATION", "CONV_2D", "COS", "CUMSUM", "DENSIFY", "DEPTH_TO_SPACE"),
        *("DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV", "DYNAMIC_UPDATE_SLICE", "ELU"),
        *("EMBEDDING_LOOKUP", "EQUAL", "EXP", "FLOOR", "FLOOR_DIV", "FLOOR_MOD"),
        *("FULLY_CONNECTED", "GATHER", "GELU", "GREATER", "GREATER_EQUAL", "HARD_SWISH"),
        *("LEAKY_RELU", "LESS", "LESS_EQUAL", "LOG", "LOGICAL_AND", "LOGISTIC", "LSTM"),
        *("MAX_POOL_2D", "MAXIMUM", "MEAN", "MINIMUM", "MIRROR_PAD", "MUL", "NEG", "NOT_EQUAL"),
        *("ONE_HOT", "PACK", "PAD", "PADV2", "POW", "PRELU", "QUANTIZE", "REDUCE_MAX"),
        *("REDUCE_MIN", "REDUCE_PROD", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SELECT", "SELECT_V2", "SIGN"),
        *("SIN", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQRT", "SQUARE"),
        *("SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TILE", "TRANSPOSE"),
        *("TRANSPOSE_CONV",),
    ]
)
"""The kinds that ``CheckGpuDelegateCompatibility`` of TensorFlow Lite's GPU delegate knows
(tensorflow/lite/tools/versioning/gpu_compatibility.cc), each under conditions of its own."""

_NUMBERS = ("FLOAT32", "FLOAT16", "INT8", "UINT8", "INT16")
"""What the delegate computes with: floats, and quantized numbers, which it turns into floats."""


def gpu_compatibility(graph: Graph) -> dict[str, Any]:
    """Says of every kind of operator whether the GPU delegate takes it, by two sources.

    The list of kinds and the main conditions on types come from the delegate's own source; an
    operator on whole numbers, such as the arithmetic of positions before a GATHER, is refused.
    TensorFlow's analyzer is asked, too. As some of its releases pass everything, it is also shown
    a file with an operator that no GPU delegate has (``UNIQUE``); where it passes that one, its
    answer is marked as not discerning, and the list decides alone.

    Args:
        graph: A ``.tflite`` file.

    Returns:
        ``{"compatible": bool, "operators": {operator: bool}, "refused": {operator: [reason, …]},
        "analyzer_discerns": bool}``. An operator is taken if none of its kind is refused; the
        others run on the CPU, with a copy at each change.
    """
    refused = analyzer_refusals(graph.content)
    for op in graph.operators:
        reason = _refusal(graph, op)
        if reason and reason not in refused.setdefault(op.kind, []):
            refused[op.kind].append(reason)
    refused = {kind: reasons for kind, reasons in refused.items() if reasons}
    return {
        "compatible": not refused,
        "operators": {kind: kind not in refused for kind in sorted(graph.histogram())},
        "refused": refused,
        "analyzer_discerns": _analyzer_discerns(),
    }


def _refusal(graph: Graph, op: Operator) -> str | None:
    """Returns why the delegate does not take an operator; None where nothing speaks against it."""
    if op.kind not in GPU_OPERATORS:
        return "the GPU delegate has no such operator"
    inputs, outputs = ([graph.tensors[i] for i in ends] for ends in (op.inputs, op.outputs))
    if op.kind == "CAST":
        types = {tensor.dtype for tensor in (*inputs, *outputs)}
        strange = sorted(types - {"FLOAT32", "FLOAT16", "INT32", "BOOL"})
        return f"it casts {', '.join(strange)}" if strange else None
    if op.kind == "GATHER" and (len(inputs[1].shape) != 1 or inputs[1].dtype != "INT32"):
        return "its indices are no list of INT32"
    data = inputs[:1] if op.kind in ("GATHER", "MEAN", "SUM", "RESHAPE") else inputs
    whole = sorted({t.dtype for t in data if not t.constant and t.dtype.startswith("INT")})
    whole = [dtype for dtype in whole if dtype not in _NUMBERS]
    return f"it computes with {', '.join(whole)}" if whole else None


def analyzer_refusals(model: bytes) -> dict[str, list[str]]:
    """Returns operator → reasons of TensorFlow's analyzer against running it on a GPU."""
    require("tensorflow")
    import tensorflow as tf

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        tf.lite.experimental.Analyzer.analyze(model_content=model, gpu_compatibility=True)
    return refusals(text.getvalue())


def refusals(report: str) -> dict[str, list[str]]:
    """Reads an analyzer's report: each warning stands below the operator that it is about."""
    found: dict[str, list[str]] = {}
    kind = "model"
    for line in report.splitlines():
        operator = re.match(r"\s*Op#\d+ (\w+)\(", line)
        kind = operator.group(1) if operator else kind
        reason = line.partition("GPU COMPATIBILITY WARNING:")[2].strip()
        if reason and not reason.startswith("Subgraph#"):
            found.setdefault(kind, []).append(reason)
    return {kind: sorted(set(reasons)) for kind, reasons in found.items()}


@cache
def _analyzer_discerns() -> bool:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((8,), tf.float32)])
    def control(values: Any) -> Any:
        return tf.unique(values)[0]

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [control.get_concrete_function()], control
    )
    return bool(analyzer_refusals(bytes(converter.convert())))
