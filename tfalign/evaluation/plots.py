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

from tfalign.evaluation.boxes import USUAL_EXTENSION
from tfalign.evaluation.protocols import Floats, Protocol
from tfalign.evaluation.robustness import Robustness
from tfalign.evaluation.scores import Score
from tfalign.evaluation.stages import StageErrors
from tfalign.evaluation.worst_cases import Case
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
    protocols = [score.protocol for score in scores.values()]
    # Not by their names alone: two of one's own may be called alike.
    received = {f"{p.name} ({p.normalizer.meaning})" for p in protocols}
    if not protocols or any(other != protocols[0] for other in protocols):
        raise ValueError(
            "One plot shows scores of one protocol: curves of different normalisers do not "
            f"compare. Received: {', '.join(sorted(received)) or 'no score'}"
        )
    beside = len(scores) > CURVES_INSIDE
    figure, (axis,) = _figure(10.4 if beside else 6.4, 4.4)
    end = limit or max(score.threshold for score in scores.values())
    protocol = protocols[0]
    scale, unit = protocol.scale, protocol.unit
    for index, (label, score) in enumerate(scores.items()):
        x, share = score.ced.curve(end)
        axis.step(
            scale * x,
            100 * share,
            where="post",
            color=LINE_COLORS[index % len(LINE_COLORS)],
            linestyle=LINE_STYLES[index // len(LINE_COLORS) % len(LINE_STYLES)],
            label=f"{label}: NME {scale * score.nme:.2f} {unit}, "
            f"failures {100 * score.failure_rate_at(end):.2f} %, AUC {score.ced.area(end):.4f}",
        )
    axis.set(
        xlim=(0, scale * end),
        ylim=(0, 100),
        xlabel=f"NME in {unit}, divided by: {protocol.normalizer.meaning}",
        ylabel="faces in %",
        title=f"Cumulative error distribution, {protocol.title}",
    )
    title = f"failures and AUC at {scale * end:g} {unit}"
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
    whole = result.whole()
    kinds = [k for k in dict.fromkeys(whole["kind"]) if k not in ("none", "box")]
    if not kinds:
        raise ValueError("A robustness plot needs a perturbation. Received: none")
    clean = whole[whole["kind"] == "none"].set_index("model")["nme"]
    scale = result.protocol.scale
    figure, axes = _figure(4.2 * len(kinds), 3.8, len(kinds))
    for axis, kind in zip(axes, kinds, strict=True):
        part = whole[whole["kind"] == kind]
        for index, model in enumerate(dict.fromkeys(part["model"])):
            rows = part[part["model"] == model]
            points = dict(zip(rows["condition"].astype(float), scale * rows["nme"], strict=True))
            if model in clean.index:
                usual = USUAL_EXTENSION if kind == "extension" else 0.0
                points.setdefault(usual, scale * float(clean[model]))
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
        axis.set(xlabel=f"{kind} ({unit})", ylabel=f"NME in {result.protocol.unit}", title=kind)
        axis.set_ylim(bottom=0)
    axes[0].legend(fontsize=8)
    return figure


def draw_case(case: Case, protocol: Protocol) -> Image:
    """Returns a case's picture with the truth (green), the prediction (orange) and its error."""
    canvas = draw_landmarks(case.image, case.truth, protocol.scheme, TRUTH_COLOR)
    canvas = draw_landmarks(canvas, case.predicted, protocol.scheme, PREDICTED_COLOR)
    text = f"{protocol.scale * case.error:.1f} {protocol.unit}"
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(
            canvas, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, thickness, cv2.LINE_AA
        )
    return canvas


def worst_cases_picture(cases: Sequence[Case], protocol: Protocol, columns: int = 4) -> Image:
    """Returns the cases, the worst first, tiled into one picture.

    Raises:
        ValueError: If there is no case.
    """
    if not cases:
        raise ValueError("A picture of the worst cases needs a case. Received: none")
    pictures = [draw_case(case, protocol) for case in cases]
    columns = min(columns, len(pictures))
    empty = np.full_like(pictures[0], 255)
    pictures += [empty] * (-len(pictures) % columns)
    rows = [
        np.concatenate(pictures[start : start + columns], axis=1)
        for start in range(0, len(pictures), columns)
    ]
    return np.concatenate(rows, axis=0)


def stage_error_plot(results: Sequence[StageErrors], styles: Mapping[str, str]) -> Figure:
    """Draws the error of each stage (DeepReg, Figure 4).

    Args:
        results: What to draw.
        styles: Model name to Matplotlib line style; models not named are left out. Sets of faces
            differ by colour.

    Raises:
        ValueError: If nothing is left to draw.
    """
    drawn = [result for result in results if result.model in styles]
    if not drawn:
        raise ValueError(
            "`styles` must name a model of `results`. Received: "
            f"styles={dict(styles)}, models={sorted({r.model for r in results})}"
        )
    sets = list(dict.fromkeys(result.faces for result in drawn))
    figure, (axis,) = _figure(6, 4)
    for result in drawn:
        axis.plot(
            range(len(result.bias)),
            [100 * value for value in result.bias],
            styles[result.model],
            color=LINE_COLORS[sets.index(result.faces) % len(LINE_COLORS)],
            marker="o",
            markersize=3,
            label=f"{result.model}, {result.faces}",
        )
    axis.set(xlabel="stage", ylabel="NME in %")
    axis.set_xticks(range(max(len(result.bias) for result in drawn)))
    axis.legend(fontsize=8)
    return figure


def bias_variance_plot(results: Sequence[StageErrors]) -> Figure:
    """Draws each stage's error as a normal distribution, one panel per model (DeepReg, Figure 2).

    Reading: the figure's bias is the mean over faces of the normalised error, its variance the
    variance over faces.

    Raises:
        ValueError: If there is no result.
    """
    if not results:
        raise ValueError("A plot of bias and variance needs a result. Received: none")
    figure, axes = _figure(5 * len(results), 3.5, panels=len(results))
    furthest = max(b + 3 * d for r in results for b, d in zip(r.bias, r.deviation, strict=True))
    errors = np.linspace(0.0, furthest, 400)
    for axis, result in zip(axes, results, strict=True):
        for stage, (bias, deviation) in enumerate(zip(result.bias, result.deviation, strict=True)):
            width = max(deviation, 1e-9)
            density = np.exp(-(((errors - bias) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
            color = LINE_COLORS[stage % len(LINE_COLORS)]
            axis.plot(100 * errors, density / 100, color=color, label=f"stage {stage}")
        axis.set(xlabel="normalised error in %", ylabel="density")
        axis.set_title(f"{result.model}\n{result.faces}", fontsize=9)
        axis.legend(fontsize=8)
    return figure


def figure_3(crops: Any, faces: Any, landmarks: Any = None) -> Figure:
    """Draws crops above the faces that the global re-initialization makes of them.

    Args:
        crops: (count, H, W, 3), [0, 255].
        faces: (count, side, side, 3), [0, 255].
        landmarks: (count, n, 2) in [0, 1]² of ``faces``, drawn on them, or None.
    """
    figure = Figure(figsize=(1.2 * len(crops), 2.4), layout="tight")
    axes = figure.subplots(2, len(crops), squeeze=False)
    for column, (crop, face) in enumerate(zip(crops, faces, strict=True)):
        _show(axes[0, column], crop)
        _show(axes[1, column], face, None if landmarks is None else landmarks[column])
    return figure


def figure_5(faces: Any, patches: dict[str, Any], points: dict[str, Any], coarse: Any) -> Figure:
    """Draws each warped face with its coarse shape, and the patches of its parts.

    Args:
        faces: (count, side, side, 3), [0, 255].
        patches: Part name to (count, size, size, 3), [0, 255].
        points: Part name to (count, m, 2) refined landmarks in [0, 1]² of the patch.
        coarse: (count, n, 2) coarse landmarks in [0, 1]² of the face.
    """
    rows = 1 + len(patches)
    figure = Figure(figsize=(1.2 * len(faces), 1.2 * rows), layout="tight")
    axes = figure.subplots(rows, len(faces), squeeze=False)
    for column in range(len(faces)):
        _show(axes[0, column], faces[column], coarse[column])
        for row, (part, pictures) in enumerate(patches.items(), start=1):
            _show(axes[row, column], pictures[column], points[part][column])
            if column == 0:
                axes[row, 0].set_title(part.replace("_", " "), fontsize=6, pad=2)
    return figure


def _show(axis: Any, picture: Any, points: Floats | None = None) -> None:
    picture = np.clip(np.asarray(picture, np.float32), 0, 255).astype(np.uint8)
    height, width = picture.shape[:2]
    axis.imshow(picture, extent=(0, width, height, 0))
    if points is not None:
        axis.plot(points[:, 0] * width, points[:, 1] * height, ".", color="lime", markersize=1.5)
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    axis.axis("off")
