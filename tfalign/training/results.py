"""What a run leaves behind: the model, its numbers, and pictures of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import macc
from tfalign.data.pipeline import CropCache
from tfalign.evaluation.evaluate import evaluate_model
from tfalign.evaluation.plots import ced_plot, png_bytes
from tfalign.evaluation.protocols import Protocol, get_protocol
from tfalign.evaluation.report import evaluation_report
from tfalign.files import new_folder, versions, write_json, write_whole
from tfalign.training.runner import TrainingResult
from tfalign.training.validation import Validation, stage_predictor


def write_results(
    model: Any,
    result: TrainingResult,
    faces: Any,
    protocol: str | Protocol,
    out: Path,
    split: str,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Saves the model, measures it on faces that it was not trained on and writes a report.

    Args:
        model: The trained model.
        result: What `tfalign.training.fit` returned.
        faces: A reader of the faces to measure on, cropped afresh from the photographs by the
            model's own convention; or a ``CropCache`` of them; or None where there are none.
        protocol: How they are scored.
        out: The run's folder; receives ``model.keras``, ``result.json``, ``history.png`` and, where
            something was measured, ``ced.png`` and ``report.html``.
        split: What the faces are, in words.
        about: Further plain data for ``result.json``.

    Returns:
        The content of ``result.json``; errors are fractions.
    """
    with new_folder(out) as scratch:  # before anything that may fail
        model.save(scratch / "model.keras")
        plot_history(result.rows, scratch / "history.png", get_protocol(protocol))
    counted = macc.count(model)
    summary: dict[str, Any] = {
        # Without an epoch, as in sequential learning in closed form, nothing was watched.
        "best_nme": result.best_nme if np.isfinite(result.best_nme) else None,
        "best_epoch": result.best_epoch,
        "epochs": len(result.rows),
        "macc": counted.macc,
        "params": counted.params,
        "seconds": round(result.seconds, 1),
        **about,
        "versions": versions(),
    }
    if faces is not None:
        # By the boxes that the model was trained with, as any later evaluation starts from.
        evaluation = evaluate_model(model, faces, protocol, split=split, progress=False)
        # The same faces as crops, for the error of every stage.
        cache = (
            faces
            if isinstance(faces, CropCache)
            else CropCache.build(faces, model.crop, model.image_size)
        )
        crops = Validation.from_cache(cache, protocol)
        stages = crops.predict_all(stage_predictor(model.stage_model))
        summary = {
            "nme": evaluation.nme,
            "nme_standard_error": evaluation.score.to_dict()["nme_standard_error"],
            "failure_rate": evaluation.failure_rate,
            "auc": evaluation.auc,
            "threshold": evaluation.score.threshold,
            "protocol": evaluation.score.protocol.name,
            "unit": evaluation.score.protocol.unit,
            "faces": len(evaluation.score),
            "split": split,
            "box": evaluation.box,
            "nme_of_stages": [crops.score(stages[:, s]).nme for s in range(stages.shape[1])],
            **summary,
        }
        settings = {key: value for key, value in summary.items() if key not in ("nme", "auc")}
        curve = ced_plot({evaluation.model_name: evaluation.score})
        write_whole(out / "ced.png", png_bytes(curve))
        write_whole(out / "report.html", evaluation_report(evaluation, settings))
    write_json(out / "result.json", summary)
    return summary


def plot_history(
    rows: Sequence[Mapping[str, Any]], path: str | Path, protocol: Protocol | None = None
) -> None:
    """Draws loss, validation NME of each stage and learning rate over epochs.

    Args:
        rows: A run's rows.
        path: The picture's file.
        protocol: How the validation faces were scored, which says the unit; None means a fraction.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 9), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    stages = sorted({key for row in rows for key in row if key.startswith("val_nme")})
    scale, unit = (100.0, "%") if protocol is None else (protocol.scale, protocol.unit)
    for panel, keys, factor, label in (
        (panels[0], ["loss"], 1.0, "training loss"),
        (panels[1], stages, scale, f"validation NME ({unit})"),
        (panels[2], ["learning_rate"], 1.0, "learning rate"),
    ):
        for key in keys:
            points = [(row["epoch"], factor * row[key]) for row in rows if key in row]
            panel.plot(*zip(*points, strict=True), label=key)
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
        if len(keys) > 1:
            panel.legend()
    panels[0].set_yscale("log")
    if stages:
        panels[1].set_yscale("log")
    panels[2].set_xlabel("epoch")
    figure.savefig(path, dpi=100)
