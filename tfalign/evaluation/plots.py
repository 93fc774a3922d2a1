"""Pictures of results: CED and robustness curves, overlays and the worst cases.

Figures are drawn on Matplotlib's Agg canvas without touching the global pyplot state, so that they
work on a machine without a display and inside other programs.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tfalign import markup
from tfalign.evaluation.robustness import Robustness
from tfalign.evaluation.scores import Score
from tfalign.evaluation.worst import Case
from tfalign.inference.overlay import draw_landmarks

Image = NDArray[np.uint8]

# Okabe and Ito's palette: distinguishable with colour-blindness.
TRUTH_COLOR = (0, 158, 115)
PREDICTED_COLOR = (213, 94, 0)
LINE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")

LINE_STYLES = ("-", "--", ":")
CURVES_INSIDE = 4
"""Curves whose legend fits inside the axes without hiding them."""


def _figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png_bytes(figure: Figure) -> bytes:
    """Returns a figure as a PNG file's bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def image_bytes(image: Image, suffix: str = ".png") -> bytes:
    """Returns an RGB image (H, W, 3) uint8 as the bytes of a ``.png`` or ``.jpg`` file."""
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def ced_plot(scores: Mapping[str, Score], limit: float | None = None) -> Figure:
    """Draws cumulative error distributions: share of faces with NME ≤ x.

    Args:
        scores: Label to score, all of one protocol.
        limit: Right end of the axis, a fraction; None takes the largest threshold of the scores.

    Raises:
        ValueError: If there is no score, or they mix protocols.
    """
    protocols = {score.protocol.name for score in scores.values()}
    if len(protocols) != 1:
        raise ValueError(
            "One plot shows scores of one protocol: curves of different normalisers do not "
            f"compare. Received: {sorted(protocols) or 'no score'}"
        )
    beside = len(scores) > CURVES_INSIDE
    figure, (axis,) = _figure(10.4 if beside else 6.4, 4.4)
    end = limit or max(score.threshold for score in scores.values())
    for index, (label, score) in enumerate(scores.items()):
        x, share = score.ced.curve(end)
        axis.step(
            100 * x,
            100 * share,
            where="post",
            color=LINE_COLORS[index % len(LINE_COLORS)],
            linestyle=LINE_STYLES[index // len(LINE_COLORS) % len(LINE_STYLES)],
            label=f"{label}: NME {100 * score.nme:.2f} %, "
            f"failures {100 * score.failure_rate_at(end):.2f} %, AUC {score.ced.area(end):.4f}",
        )
    first = next(iter(scores.values()))
    axis.set(
        xlim=(0, 100 * end),
        ylim=(0, 100),
        xlabel=f"NME in % of the {first.protocol.normalizer.meaning}",
        ylabel="faces in %",
        title=f"Cumulative error distribution, {first.protocol.title}",
    )
    title = f"failures and AUC at {100 * end:g} %"
    if beside:
        figure.legend(fontsize=8, title=title, loc="outside right upper")
    else:
        axis.legend(fontsize=8, title=title)
    return figure


def robustness_plot(result: Robustness) -> Figure:
    """Draws NME against the amount of each kind of perturbation, one panel per kind.

    Raises:
        ValueError: If the result holds no perturbation.
    """
    kinds = [k for k in dict.fromkeys(result.frame["kind"]) if k not in ("none", "box")]
    if not kinds:
        raise ValueError("A robustness plot needs a perturbation. Received: none")
    clean = result.frame[result.frame["kind"] == "none"].set_index("model")["nme"]
    figure, axes = _figure(4.2 * len(kinds), 3.8, len(kinds))
    for axis, kind in zip(axes, kinds, strict=True):
        part = result.frame[result.frame["kind"] == kind]
        for index, model in enumerate(dict.fromkeys(part["model"])):
            rows = part[part["model"] == model]
            points = dict(zip(rows["condition"].astype(float), 100 * rows["nme"], strict=True))
            if model in clean.index:
                points.setdefault(0.0, 100 * float(clean[model]))
            amounts = sorted(points)
            axis.plot(
                amounts,
                [points[amount] for amount in amounts],
                marker="o",
                markersize=3,
                color=LINE_COLORS[index % len(LINE_COLORS)],
                label=str(model),
            )
        unit = "degrees" if kind == "rotation" else "share of the box"
        axis.set(xlabel=f"{kind} ({unit})", ylabel="NME in %", title=kind)
        axis.set_ylim(bottom=0)
    axes[0].legend(fontsize=8)
    return figure


def draw_case(case: Case, scheme: markup.LandmarkScheme) -> Image:
    """Returns a case's picture with the truth (green), the prediction (orange) and its error."""
    canvas = draw_landmarks(case.image, case.truth, scheme, TRUTH_COLOR)
    canvas = draw_landmarks(canvas, case.predicted, scheme, PREDICTED_COLOR)
    text = f"{100 * case.error:.1f} %"
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(
            canvas, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, thickness, cv2.LINE_AA
        )
    return canvas


def worst_cases_picture(
    cases: Sequence[Case], scheme: markup.LandmarkScheme, columns: int = 4
) -> Image:
    """Returns the cases, the worst first, tiled into one picture.

    Raises:
        ValueError: If there is no case.
    """
    if not cases:
        raise ValueError("A picture of the worst cases needs a case. Received: none")
    pictures = [draw_case(case, scheme) for case in cases]
    columns = min(columns, len(pictures))
    empty = np.full_like(pictures[0], 255)
    pictures += [empty] * (-len(pictures) % columns)
    rows = [
        np.concatenate(pictures[start : start + columns], axis=1)
        for start in range(0, len(pictures), columns)
    ]
    return np.concatenate(rows, axis=0)
