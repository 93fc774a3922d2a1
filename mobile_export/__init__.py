"""From a Keras landmark model to a ``.tflite`` that keeps its accuracy on a phone.

    result = mobile_export.export(model, "int8", calibration=uint8_crops, out="build/")
    print(result.table())                     # .path .rendered .macc .size .metadata .report …

From the shell: ``python -m mobile_export MODEL.keras --kind int8 --calibration DIR --out DIR``, and
``python -m mobile_export.benchmark FILE…`` for latency. Kinds are listed in ``KINDS``.

Every export is a folder: ``model.tflite`` (input ``image`` (1, H, W, 3) RGB in [0, 255], output
``landmarks`` (1, n, 2) in [0, 1]² of the crop), ``metadata.json`` (what an app must know),
``scheme.json`` (the points' names), ``golden.npz`` (pictures and their landmarks, to replay) and
``report.json`` (how the file was made). One that loses more than its kind may is refused.

Needs tfalign's extra ``mobile``.
"""

from mobile_export.export_result import ExportResult
from mobile_export.exporter import KINDS, export
from mobile_export.parity import Parity
from tfalign.tflite import Runner

__all__ = ["KINDS", "ExportResult", "Runner", "Parity", "export"]
