"""What a run leaves behind: the model, its numbers, and pictures of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfalign import macc
from tfalign.evaluation.evaluate import evaluate_model
from tfalign.evaluation.plots import ced_plot, png_bytes
from tfalign.evaluation.report import evaluation_report
from tfalign.files import versions, write_json, write_whole
from tfalign.training.runner import TrainingResult
from tfalign.training.validation import Validation, stage_predictor


def finish(
    model: Any,
    result: TrainingResult,
    validation: Validation,
    faces: Any,
    out: str | Path,
    seed: int,
    data: Mapping[str, Any],
    split: str,
) -> dict[str, Any]:
    """Saves the model, evaluates it on the held-out photographs and writes result and report.

    Args:
        model: The trained model.
        result: What `tfalign.training.fit` returned.
        validation: The held-out faces as crops; every stage's error is measured on them.
        faces: The same faces as a reader. The result's error is measured on these, cropped afresh
            from the photographs by the model's own convention.
        out: The run's folder; receives ``model.keras``, ``result.json``, ``history.png``,
            ``ced.png`` and ``report.html``.
        seed: The run's seed.
        data: What the data are: counts and fingerprints.
        split: What the held-out faces are, in words.

    Returns:
        The content of ``result.json``; errors are fractions.
    """
    out = Path(out)
    model.save(out / "model.keras")
    plot_history(result.rows, out / "history.png")
    from_file = all(record.box_source == "file" for record in faces.records)
    evaluation = evaluate_model(
        model,
        faces,
        validation.protocol,
        box="file" if from_file else "landmarks",
        split=split,
        progress=False,
    )
    stages = validation.predict_all(stage_predictor(model.training_model))
    counted = macc.count(model)
    summary = {
        "nme": evaluation.nme,
        "failure_rate": evaluation.failure_rate,
        "auc": evaluation.auc,
        "threshold": evaluation.score.threshold,
        "protocol": evaluation.score.protocol.name,
        "faces": len(evaluation.score),
        "split": split,
        "box": evaluation.box,
        "nme_of_stages": [validation.score(stages[:, s]).nme for s in range(stages.shape[1])],
        "best_nme": result.best_nme,
        "best_epoch": result.best_epoch,
        "epochs": len(result.rows),
        "macc": counted.macc,
        "params": counted.params,
        "seconds": round(result.seconds, 1),
        "seed": seed,
        "data": dict(data),
        "versions": versions(),
    }
    settings = {key: value for key, value in summary.items() if key not in ("nme", "auc")}
    curve = ced_plot({evaluation.model_name: evaluation.score})
    write_whole(out / "ced.png", png_bytes(curve))
    write_whole(out / "report.html", evaluation_report(evaluation, settings))
    write_json(out / "result.json", summary)
    return summary


def plot_history(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draws loss, validation NME of each stage and learning rate over epochs.

    Args:
        rows: A run's rows.
        path: The picture's file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 9), layout="constrained")
    panels = figure.subplots(3, 1, sharex=True)
    stages = sorted({key for row in rows for key in row if key.startswith("val_nme")})
    for panel, keys, factor, label in (
        (panels[0], ["loss"], 1.0, "training loss"),
        (panels[1], stages, 100.0, "validation NME (%)"),
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
