"""What the demonstration shows: its table, its picture and its page."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from tfalign.data.readers import Reader
from tfalign.evaluation import Evaluation, Score, plots, published, report
from tfalign.evaluation.tables import format_table
from tfalign.evaluation.worst_cases import WorstCases

# GRegLRef's Table 6 (n = 98, 112 × 112): parameters and multiply-accumulates as printed there.
_PAPER = {
    "gregnet": ("GRegNet", 11_560_000, 1_743_000_000),
    "greglref": ("GRegLRef", 12_970_000, 1_744_400_000),
}
_SHOWN = 8


@dataclass(frozen=True)
class Row:
    """One line of the table; None where nothing is known.

    Attributes:
        name: What was measured, or the paper.
        nme, nme_standard_error, failure_rate, auc: Fractions.
        limit: Threshold of the last two, a fraction.
        size: Bytes of the file.
        milliseconds: Median latency of one face on one thread.
        macc, params: Multiply-accumulates of one face and trainable parameters.
    """

    name: str
    nme: float
    nme_standard_error: float | None
    failure_rate: float
    auc: float
    limit: float
    size: int | None
    milliseconds: float | None
    macc: int
    params: int

    @classmethod
    def measured(
        cls,
        name: str,
        score: Score,
        macc: int,
        params: int,
        size: int | None = None,
        milliseconds: float | None = None,
    ) -> Row:
        """Returns the row of a score of our own."""
        limit = score.threshold
        return cls(
            name,
            score.nme,
            score.standard_error if len(score) > 1 else None,
            score.failure_rate,
            score.auc,
            limit,
            size,
            milliseconds,
            macc,
            params,
        )

    def to_dict(self) -> dict[str, Any]:
        """The row as plain data."""
        return asdict(self)


def paper_row(model: str) -> list[Row]:
    """Returns the row of the paper's own figures on WFLW's test faces; none for other models."""
    if model not in _PAPER:
        return []
    name, params, macc = _PAPER[model]
    values = {
        metric: next(
            result.value
            for result in published.find("wflw_inter_ocular", metric, published.GREGLREF)
            if (result.method, result.subset) == (name, "full")
        )
        for metric in ("nme", "failure_rate@10", "auc@10")
    }
    nme, failures, auc = values.values()
    title = f"paper: {name}, ResNet-18, photographs of WFLW"
    return [Row(title, nme / 100, None, failures / 100, auc, 0.1, None, None, macc, params)]


def demo_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Returns the rows in the units that people read."""
    limit = f"{100 * rows[0].limit:g}"
    table = {
        row.name: {
            "NME %": 100 * row.nme,
            "± s.e.": None if row.nme_standard_error is None else 100 * row.nme_standard_error,
            f"failures > {limit} %": 100 * row.failure_rate,
            f"AUC to {limit} %": row.auc,
            "size MB": None if row.size is None else row.size / 1e6,
            "ms": row.milliseconds,
            "MMACC": row.macc / 1e6,
            "M params": row.params / 1e6,
        }
        for row in rows
    }
    return pd.DataFrame.from_dict(table, orient="index", dtype=object)


def demo_table(rows: Sequence[Row]) -> str:
    """Returns the rows as text."""
    return format_table(demo_frame(rows), 2)


def overlay(faces: Reader, evaluation: Evaluation, count: int = _SHOWN) -> Any:
    """Returns a picture (H, W, 3) uint8 of some test faces with truth and prediction.

    Args:
        faces: The faces that were measured.
        evaluation: The result on them, in the same order.
        count: How many to show, at even spacing.
    """
    protocol = evaluation.score.protocol
    shown = np.linspace(0, len(faces) - 1, min(count, len(faces))).round().astype(int)
    records = [faces.records[index] for index in shown]
    gallery = WorstCases(len(shown), protocol)
    few = faces.subset(records)
    for sample, index in zip(few, shown, strict=True):
        gallery.offer(sample, evaluation.predicted[index])
    return plots.worst_cases_picture(gallery.cases, protocol)


def demo_report(
    rows: Sequence[Row],
    evaluations: Mapping[str, Evaluation],
    picture: bytes,
    history: bytes,
    result: Mapping[str, Any],
) -> str:
    """Returns the page as HTML.

    Args:
        rows: The table.
        evaluations: Name to result, for the curves.
        picture: The overlay as JPEG.
        history: The training's curves as PNG.
        result: The demonstration's result, printed at the end.
    """
    curves = plots.ced_plot({name: found.score for name, found in evaluations.items()})
    ours = [row.name for row in rows if row.milliseconds is not None]
    note = (
        f"Measured on {result['faces']}. A short run on rendered faces shows that everything works "
        "and what quantization costs; it says nothing about photographs. The paper's row stands "
        "beside, not against: its model is larger, was trained for thousands of epochs and "
        "measured on WFLW's photographs."
    )
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in result["seconds"].items())
    settings = {
        "times": seconds,
        "exported files": "passed their checks" if result["passed"] else "FAILED a check",
        "largest deviation of the golden outputs": ", ".join(
            f"{kind} {value:.4f} px" for kind, value in result["check_max_px"].items()
        ),
    }
    sections = [
        f'<p class="note">{html.escape(note)}</p>',
        report.html_section("Float against int8", report.html_table(demo_frame(rows), 2, ours)),
        report.html_section(
            "Faces that it was not trained on",
            '<p class="key">Green: truth. Orange: the int8 file. In per cent: NME of the face.</p>'
            + report.html_image(picture, "test faces", "jpeg"),
        ),
        report.html_section(
            "Cumulative error distribution", report.html_image(plots.png_bytes(curves), "CED")
        ),
        report.html_section("Training", report.html_image(history, "training")),
        report.html_section("Run", report.html_key_values(settings)),
        '<p>Further: <a href="report.html">the evaluation of the Keras model</a>, result.json, '
        "demo.json, float32/ and int8/ with the exported files.</p>",
    ]
    return report.html_page("tfalign demo", sections)
