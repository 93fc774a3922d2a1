"""Writing the results of evaluations and comparisons into a folder."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfalign.evaluation import plots
from tfalign.evaluation.comparison import Contender, comparison_frame
from tfalign.evaluation.report import comparison_report, evaluation_report
from tfalign.evaluation.result import Evaluation
from tfalign.evaluation.robustness import Robustness
from tfalign.files import versions, write_json, write_whole


def write_evaluation(
    evaluation: Evaluation,
    out: Path,
    settings: Mapping[str, Any],
    robustness: Robustness | None = None,
    baseline: Evaluation | None = None,
) -> None:
    """Writes everything about an evaluation into a folder.

    ``report.html`` (self-contained), ``ced.png``, ``worst.png``, ``faces.csv`` (error of each
    face), ``predictions.npz`` (``names``, ``predicted`` and ``truth`` in image pixels) and, last,
    ``metrics.json`` (fractions).

    Args:
        evaluation: The result.
        out: An existing folder.
        settings: What decided the result.
        robustness: Shown in the report, where measured.
        baseline: Another evaluation of the same faces, e.g. of the mean shape, to compare with.
    """
    score = evaluation.score
    curves = {name: score.subset(mask) for name, mask in evaluation.subsets.items()}
    write_whole(out / "ced.png", plots.png_bytes(plots.ced_plot(curves)))
    if evaluation.worst:
        picture = plots.worst_cases_picture(evaluation.worst, score.protocol.scheme)
        write_whole(out / "worst.png", plots.image_bytes(picture))
    write_whole(out / "faces.csv", evaluation.face_frame().to_csv(index=False))
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        names=np.array(evaluation.names),
        predicted=evaluation.predicted,
        truth=evaluation.truth,
    )
    write_whole(out / "predictions.npz", buffer.getvalue())
    report = evaluation_report(evaluation, settings, robustness, baseline)
    write_whole(out / "report.html", report)
    metrics = {**evaluation.to_dict(), "settings": dict(settings), "versions": versions()}
    if baseline is not None:
        metrics["baseline"] = {"model": baseline.model_name, **baseline.score.to_dict()}
    write_json(out / "metrics.json", metrics)


def write_comparison(
    contenders: Sequence[Contender],
    out: Path,
    title: str,
    notes: Sequence[str],
    content: Mapping[str, Any],
) -> None:
    """Writes a comparison into a folder: ``table.csv``, ``ced.png``, ``report.html``, and last
    ``results.json``.

    Args:
        contenders: The models, see ``comparison_frame``.
        out: An existing folder.
        title: Of the report.
        notes: What a reader of the numbers must know.
        content: Of ``results.json``; its ``"settings"`` and ``"versions"`` end the report.
    """
    curves = {contender.name: contender.score for contender in contenders}
    write_whole(out / "table.csv", comparison_frame(contenders).to_csv(index_label="model"))
    write_whole(out / "ced.png", plots.png_bytes(plots.ced_plot(curves)))
    settings = {**content["settings"], **content["versions"]}
    write_whole(out / "report.html", comparison_report(contenders, title, notes, settings))
    write_json(out / "results.json", content)
