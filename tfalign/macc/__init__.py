"""Counting multiply-accumulates of Keras models and of ``.tflite`` files.

MACC means multiply-accumulates of convolutions and dense layers; MMACC is a million of them. Bias,
normalisation, activation, pooling, resampling and other arithmetic are reported in columns of their
own, see ``Cost``.

    report = tfalign.macc.count(model)                    # from the Keras graph
    report = tfalign.macc.count_tflite("model.tflite")    # from the file's own operators
    print(report.macc, report.params)
    print(report.table())

From the shell: ``python -m tfalign.macc GRegLRef --num-landmarks 98``.
"""

from tfalign.macc.cost import Cost
from tfalign.macc.count import count
from tfalign.macc.registry import rule
from tfalign.macc.report import LayerCount, Report
from tfalign.macc.tflite import TFLiteReport, count_tflite
from tfalign.macc.walk import cost_of

__all__ = [
    "Cost",
    "LayerCount",
    "Report",
    "TFLiteReport",
    "cost_of",
    "count",
    "count_tflite",
    "rule",
]
