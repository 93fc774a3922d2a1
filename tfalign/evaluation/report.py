"""A report as one HTML file: nothing to load from elsewhere, so it can be mailed and kept."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfalign.evaluation import plots
from tfalign.evaluation.result import Evaluation
from tfalign.evaluation.robustness import Robustness
from tfalign.evaluation.tables import format_cell
from tfalign.files import versions, write_json, write_whole

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1b1b; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:last-child { text-align: left; }
tr.ours td, tr.ours th { font-weight: 600; background: #f2f7fb; }
img { max-width: 100%; height: auto; }
.note { background: #fff6e5; border-left: 4px solid #e69f00; padding: .5rem .8rem; }
.key { color: #555; font-size: .9rem; }
figure { margin: 1rem 0; overflow-x: auto; }
"""


def html_section(title: str, body: str) -> str:
    """Returns a heading (escaped) and a body of HTML."""
    return f"<h2>{html.escape(title)}</h2>{body}"


def html_image(content: bytes, caption: str, kind: str = "png") -> str:
    """Returns a picture that is part of the page; ``kind`` is ``"png"`` or ``"jpeg"``."""
    data = base64.b64encode(content).decode("ascii")
    return (
        f'<figure><img alt="{html.escape(caption)}" src="data:image/{kind};base64,{data}"></figure>'
    )


def html_table(frame: pd.DataFrame, digits: int = 3, highlight: Sequence[str] = ()) -> str:
    """Returns a frame as a table; rows named in ``highlight`` stand out."""
    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in frame.columns)
    rows = []
    for name, row in frame.iterrows():
        cells = "".join(f"<td>{html.escape(format_cell(value, digits))}</td>" for value in row)
        kind = ' class="ours"' if name in highlight else ""
        rows.append(f"<tr{kind}><th>{html.escape(str(name))}</th>{cells}</tr>")
    return f"<figure><table><tr><th></th>{head}</tr>{''.join(rows)}</table></figure>"


def html_key_values(values: Mapping[str, str]) -> str:
    """Returns names and values as a table of two columns."""
    rows = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>"
        for key, value in values.items()
    )
    return f"<table>{rows}</table>"


def html_page(title: str, sections: Sequence[str]) -> str:
    """Returns the whole page; ``title`` is escaped, ``sections`` are HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{html.escape(title)}</h1>{''.join(sections)}</body></html>\n"
    )


def evaluation_report(
    evaluation: Evaluation,
    settings: Mapping[str, object] | None = None,
    robustness: Robustness | None = None,
    baseline: Evaluation | None = None,
) -> str:
    """Returns the report of one evaluation as HTML.

    Args:
        evaluation: The result.
        settings: Name to value, printed at the end: command, versions, hashes.
        robustness: Also shown, where measured.
        baseline: Another evaluation of the same faces, e.g. of the mean shape, to compare with.
    """
    score = evaluation.score
    scale, unit = score.protocol.scale, score.protocol.unit
    limit = f"{scale * score.threshold:g} {unit}"
    headline = {
        "NME": f"{scale * score.nme:.3f} {unit}",
        f"failures above {limit}": f"{100 * score.failure_rate:.3f} %",
        f"AUC to {limit}, exact": f"{score.auc:.4f}",
        "faces": f"{len(score)}",
        "normaliser": score.protocol.normalizer.meaning,
        "boxes": evaluation.box,
    }
    curves = {name: score.subset(mask) for name, mask in evaluation.subsets.items()}
    if baseline is not None:
        headline[f"NME of the {baseline.model_name}"] = f"{scale * baseline.nme:.3f} {unit}"
        curves[baseline.model_name] = baseline.score
    sections = [
        *(f'<p class="note">{html.escape(note)}</p>' for note in evaluation.notes),
        html_key_values(headline),
        html_section("Subsets", html_table(evaluation.subset_frame)),
        html_section(
            "Cumulative error distribution",
            html_image(plots.png_bytes(plots.ced_plot(curves)), "CED"),
        ),
        html_section("Parts of the face", html_table(evaluation.part_frame)),
    ]
    if evaluation.related:
        rows = {s.protocol.name: {"NME %": 100 * s.nme} for s in evaluation.related}
        sections.append(
            html_section(
                "The same predictions under other protocols",
                "<p>Other normalisers, other numbers: never mix them.</p>"
                + html_table(pd.DataFrame.from_dict(rows, orient="index")),
            )
        )
    if evaluation.published_frame is not None:
        sections.append(
            html_section(
                evaluation.published_title,
                html_table(evaluation.published_frame, 2, highlight=[evaluation.model_name]),
            )
        )
    if robustness is not None:
        sections.append(_robustness_section(robustness))
    if evaluation.worst:
        picture = plots.worst_cases_picture(evaluation.worst, score.protocol)
        names = ", ".join(
            f"{case.name} ({scale * case.error:.1f} {unit})" for case in evaluation.worst
        )
        sections.append(
            html_section(
                "Worst cases",
                '<p class="key">Green: annotation. Orange: prediction.</p>'
                + html_image(plots.image_bytes(picture, ".jpg"), "worst cases", "jpeg")
                + f'<p class="key">{html.escape(names)}</p>',
            )
        )
    if settings:
        sections.append(
            html_section("Settings", html_key_values({k: str(v) for k, v in settings.items()}))
        )
    return html_page(f"{evaluation.title}: {score.protocol.title}", sections)


def robustness_report(
    results: Sequence[Robustness], settings: Mapping[str, object] | None = None
) -> str:
    """Returns the report of robustness measurements as HTML."""
    sections = [_robustness_section(result) for result in results]
    if settings:
        sections.append(
            html_section("Settings", html_key_values({k: str(v) for k, v in settings.items()}))
        )
    return html_page("Robustness to face boxes", sections)


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
        picture = plots.worst_cases_picture(evaluation.worst, score.protocol)
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


def _robustness_section(result: Robustness) -> str:
    body = [f'<p class="note">{html.escape(note)}</p>' for note in result.notes]
    body.append(f"<p>{html.escape(result.title)}.</p>")
    kinds = list(dict.fromkeys(result.frame["kind"]))
    if any(kind not in ("none", "box") for kind in kinds):
        body.append(html_image(plots.png_bytes(plots.robustness_plot(result)), "robustness"))
    for title, frame in result.blocks():
        body.append(f"<h3>{html.escape(title)}</h3>{html_table(frame, 2)}")
    return html_section("Robustness to face boxes", "".join(body))
