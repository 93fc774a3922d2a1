"""Which operators of a file a phone's GPU takes."""

from __future__ import annotations

import contextlib
import io
import re
from functools import cache
from typing import Any

from tfalign.tflite import Graph, require

GPU_OPERATORS = frozenset(
    [
        "ADD",
        "AVERAGE_POOL_2D",
        "CONCATENATION",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "DEQUANTIZE",
        "EXP",
        "FULLY_CONNECTED",
        "LOGICAL_AND",
        "LOGISTIC",
        "MAX_POOL_2D",
        "MAXIMUM",
        "MINIMUM",
        "MUL",
        "PAD",
        "PRELU",
        "QUANTIZE",
        "RELU",
        "RELU6",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "SOFTMAX",
        "STRIDED_SLICE",
        "SUB",
        "TRANSPOSE_CONV",
    ]
)
"""Operators that the GPU delegate's guide lists as supported, in float, without its LSTM; and the
conversions DEQUANTIZE and QUANTIZE, which its section on quantized models does itself.
https://ai.google.dev/edge/litert/performance/gpu (TensorFlow: lite/g3doc/performance/gpu.md)"""


def gpu_compatibility(graph: Graph) -> dict[str, Any]:
    """Says of every kind of operator whether the GPU delegate takes it, by two sources.

    TensorFlow's analyzer is asked first. As some of its releases pass everything, it is also
    shown a file with an operator that no GPU delegate has (``UNIQUE``); where it passes that one,
    its answer is marked as not discerning, and the documented list decides alone.

    Args:
        graph: A ``.tflite`` file.

    Returns:
        ``{"compatible": bool, "operators": {operator: bool}, "refused": {operator: [reason, …]},
        "analyzer_discerns": bool}``. An operator is taken if it is documented and the analyzer
        does not refuse it; the others run on the CPU, with a copy at each change.
    """
    refused = analyzer_refusals(graph.content)
    kinds = sorted(graph.histogram())
    verdicts = {kind: kind in GPU_OPERATORS and kind not in refused for kind in kinds}
    for kind in kinds:
        if kind not in GPU_OPERATORS:
            refused.setdefault(kind, []).append("not among the documented GPU operators")
    return {
        "compatible": all(verdicts.values()) and not refused,
        "operators": verdicts,
        "refused": refused,
        "analyzer_discerns": _analyzer_discerns(),
    }


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
