"""A report as one HTML file: nothing to load from elsewhere, so it can be mailed and kept."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import pandas as pd

from tfalign.evaluation import html_page, plots, published
from tfalign.evaluation.comparison import Contender, comparison_frame, remarks
from tfalign.evaluation.evaluation import Evaluation
from tfalign.evaluation.robustness import Robustness
from tfalign.evaluation.tables import comparison_table


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
    limit = f"{100 * score.threshold:g} %"
    headline = {
        "NME": f"{100 * score.nme:.3f} %",
        f"failures above {limit}": f"{100 * score.failure_rate:.3f} %",
        f"AUC to {limit}, exact": f"{score.auc:.4f}",
        "faces": f"{len(score)}",
        "normaliser": score.protocol.normalizer.meaning,
        "boxes": evaluation.box,
    }
    curves = {name: score.subset(mask) for name, mask in evaluation.subsets.items()}
    if baseline is not None:
        headline[f"NME of the {baseline.model_name}"] = f"{100 * baseline.nme:.3f} %"
        curves[baseline.model_name] = baseline.score
    sections = [
        *(f'<p class="note">{html.escape(note)}</p>' for note in evaluation.notes),
        html_page.key_values(headline),
        html_page.section("Subsets", html_page.table(evaluation.subset_frame)),
        html_page.section(
            "Cumulative error distribution",
            html_page.image(plots.png_bytes(plots.ced_plot(curves)), "CED"),
        ),
        html_page.section("Parts of the face", html_page.table(evaluation.part_frame)),
    ]
    if evaluation.related:
        rows = {s.protocol.name: {"NME %": 100 * s.nme} for s in evaluation.related}
        sections.append(
            html_page.section(
                "The same predictions under other protocols",
                "<p>Other normalisers, other numbers: never mix them.</p>"
                + html_page.table(pd.DataFrame.from_dict(rows, orient="index")),
            )
        )
    if evaluation.published_frame is not None:
        sections.append(
            html_page.section(
                "Published results, NME %",
                "<p>Comparable only in columns where our faces are that test set.</p>"
                + html_page.table(evaluation.published_frame, 2, highlight=[evaluation.model_name]),
            )
        )
    if robustness is not None:
        sections.append(_robustness_section(robustness))
    if evaluation.worst:
        picture = plots.worst_cases_picture(evaluation.worst, score.protocol.scheme)
        names = ", ".join(f"{case.name} ({100 * case.error:.1f} %)" for case in evaluation.worst)
        sections.append(
            html_page.section(
                "Worst cases",
                '<p class="key">Green: annotation. Orange: prediction.</p>'
                + html_page.image(plots.image_bytes(picture, ".jpg"), "worst cases", "jpeg")
                + f'<p class="key">{html.escape(names)}</p>',
            )
        )
    if settings:
        sections.append(
            html_page.section(
                "Settings", html_page.key_values({k: str(v) for k, v in settings.items()})
            )
        )
    return html_page.page(f"{evaluation.title}: {score.protocol.title}", sections)


def robustness_report(
    results: Sequence[Robustness], settings: Mapping[str, object] | None = None
) -> str:
    """Returns the report of robustness measurements as HTML."""
    sections = [_robustness_section(result) for result in results]
    if settings:
        sections.append(
            html_page.section(
                "Settings", html_page.key_values({k: str(v) for k, v in settings.items()})
            )
        )
    return html_page.page("Robustness to face boxes", sections)


def comparison_report(
    contenders: Sequence[Contender],
    title: str,
    notes: Sequence[str] = (),
    settings: Mapping[str, object] | None = None,
) -> str:
    """Returns the report of models that were trained and measured alike as HTML.

    Args:
        contenders: The models, see ``comparison_frame``.
        title: What was measured on which faces.
        notes: What a reader of the numbers must know; remarks of the models are added.
        settings: Name to value, printed at the end.
    """
    frame = comparison_frame(contenders)
    curves = {contender.name: contender.score for contender in contenders}
    sections = [
        *(f'<p class="note">{html.escape(note)}</p>' for note in (*notes, *remarks(contenders))),
        html_page.section("All models", html_page.table(frame)),
        html_page.section(
            "Cumulative error distribution",
            html_page.image(plots.png_bytes(plots.ced_plot(curves)), "CED"),
        ),
        html_page.section("Papers", html_page.key_values({c.name: c.paper for c in contenders})),
    ]
    found = published.find(contenders[0].score.protocol.name)
    if found:
        ours = {c.name: {"these faces": 100 * c.score.nme} for c in contenders}
        sections.append(
            html_page.section(
                "Published results, NME %",
                "<p>On the whole test sets, by models of full size: not the faces above.</p>"
                + html_page.table(comparison_table(ours, found), 2, highlight=list(ours)),
            )
        )
    if settings:
        sections.append(
            html_page.section(
                "Settings", html_page.key_values({k: str(v) for k, v in settings.items()})
            )
        )
    return html_page.page(title, sections)


def _robustness_section(result: Robustness) -> str:
    body = [f"<p>NME in %, {html.escape(result.protocol.title)}.</p>"]
    kinds = list(dict.fromkeys(result.frame["kind"]))
    if any(kind not in ("none", "box") for kind in kinds):
        body.append(html_page.image(plots.png_bytes(plots.robustness_plot(result)), "robustness"))
    for kind in kinds:
        body.append(
            f"<h3>{html.escape(str(kind))}</h3>{html_page.table(result.with_published(kind), 2)}"
        )
    return html_page.section("Robustness to face boxes", "".join(body))
