"""The float32 and int8 exports of a trained model, measured on photographs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from mobile_export.exporter import export

KINDS = ("float32", "int8")
PREDICTIONS = "predictions.npz"


def export_and_measure(
    model: str | Path, calibration: str | Path, faces: Any, protocol: str, out: Path
) -> dict[str, Any]:
    """Exports a model twice and finds both files' landmarks on faces.

    Args:
        model: A ``.keras`` file.
        calibration: Training faces, see ``calibration.load``.
        faces: Samples to measure on, e.g. a reader; boxes are made from their landmarks.
        protocol: How to score, see ``tfalign.evaluation.PROTOCOLS``.
        out: Folder; receives ``float32/`` and ``int8/`` (exports) and ``predictions.npz``: the
            faces' ``names``, ``truth`` and both files' predictions in image pixels.

    Returns:
        By kind ``nme`` (a fraction), ``size`` in bytes, ``macc`` and ``parity`` with the model.

    Raises:
        As ``export`` and ``tfalign.evaluation.evaluate_model``.
    """
    from tfalign.evaluation import evaluate_model
    from tfalign.files import write_whole

    arrays: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    for kind in KINDS:
        result = export(str(model), kind, str(calibration), out / kind, allow_loss=True)
        found = evaluate_model(result.path, faces, protocol, worst=0, progress=False)
        arrays |= {"names": np.array(found.names), "truth": found.truth, kind: found.predicted}
        figures[kind] = {
            "nme": found.nme,
            "size": result.size,
            "macc": result.macc,
            "parity": result.parity.to_dict(),
        }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_whole(out / PREDICTIONS, buffer.getvalue())
    return figures


def scores(out: Path, protocol: str) -> dict[str, Any]:
    """Returns the score of each kind from the predictions that ``export_and_measure`` stored."""
    from tfalign.evaluation import score

    with np.load(out / PREDICTIONS) as stored:
        return {kind: score(stored[kind], stored["truth"], protocol) for kind in KINDS}
