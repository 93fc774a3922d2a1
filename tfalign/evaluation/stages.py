"""A cascade's error stage by stage: its mean, its spread, and plots of both."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from tfalign.evaluation.plots import LINE_COLORS, _figure
from tfalign.evaluation.scores import Score


@dataclass(frozen=True)
class StageErrors:
    """Errors of every stage of one model on one set of faces.

    Attributes:
        model: Name of the model.
        faces: Name of the set, e.g. ``"test"``.
        scores: One score per stage.
    """

    model: str
    faces: str
    scores: tuple[Score, ...]

    @property
    def bias(self) -> list[float]:
        """Mean over faces of the normalised error (the NME) of each stage, a fraction."""
        return [float(score.nme) for score in self.scores]

    @property
    def deviation(self) -> list[float]:
        """Standard deviation over faces of the normalised error of each stage, a fraction."""
        return [float(np.std(score.errors)) for score in self.scores]


def stage_csv(results: Sequence[StageErrors]) -> str:
    """Returns one line per model, set and stage: bias, variance and failure rate, fractions."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["model", "faces", "stage", "count", "bias", "variance", "failure_rate"])
    for result in results:
        values = zip(result.bias, result.deviation, result.scores, strict=True)
        for stage, (bias, deviation, score) in enumerate(values):
            numbers = (f"{x:.8g}" for x in (bias, deviation**2, score.failure_rate))
            writer.writerow([result.model, result.faces, stage, len(score), *numbers])
    return stream.getvalue()


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
        axis.set(xlabel="normalised error in %", ylabel="density", title=result.model)
        axis.legend(fontsize=8)
    return figure
