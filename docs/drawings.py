"""Draws the landmark maps that the pages show, from the schemes themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tfalign import markup
from tfalign.data.synthetic import render
from tfalign.markup.drawing import landmark_map

SCHEMES = ("wflw98", "ibug68", "ibug51", "cofw29", "lfpw29")
"""The schemes that the rendered face's 98 points can be turned into."""


def frontal_face() -> tuple[np.ndarray, np.ndarray]:
    """Returns a rendered picture (H, W, 3) and its 98 points (98, 2) in pixels.

    Of some faces with open eyes and mouth, whose points would otherwise hide each other's numbers,
    it is the one nearest to its own mirror image.
    """
    faces = [render(seed=0, index=index, size=512) for index in range(150)]
    open_faces = [
        (face.image, face.landmarks) for face in faces if _is_open(face.landmarks[[*range(60, 96)]])
    ]
    return min(open_faces, key=lambda face: _asymmetry(face[1]))


def _is_open(points: np.ndarray) -> bool:
    """Whether eyes and mouth are open, told from WFLW's points 60 to 95."""

    def height_over_width(left: int, right: int, upper: int, lower: int) -> float:
        height, width = (
            points[upper - 60] - points[lower - 60],
            points[left - 60] - points[right - 60],
        )
        return float(np.linalg.norm(height) / np.linalg.norm(width))

    eyes = (height_over_width(60, 64, 62, 66), height_over_width(68, 72, 70, 74))
    return min(eyes) > 0.3 and height_over_width(88, 92, 90, 94) > 0.1


def _asymmetry(points: np.ndarray) -> float:
    """How far a shape is from its own mirror image, relative to its width."""
    mirrored = (points * (-1.0, 1.0))[list(markup.WFLW98.flip_map)]
    centred = points - points.mean(axis=0)
    return float(np.abs(centred - (mirrored - mirrored.mean(axis=0))).mean() / np.ptp(points[:, 0]))


def coordinate_figure() -> Figure:
    """Draws the three spaces: an image of 4×3 pixels, the unit square, and the signed square."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (title, right, bottom, origin) in zip(
        figure.subplots(1, 3),
        (
            ("image space: pixels", 4.0, 3.0, 0.0),
            ("model space (unit): image / (width, height)", 1.0, 1.0, 0.0),
            ("signed space: inside the spatial transformer", 1.0, 1.0, -1.0),
        ),
        strict=True,
    ):
        columns, rows = np.linspace(origin, right, 5), np.linspace(origin, bottom, 4)
        axes.vlines(columns, origin, bottom, color="#4477aa", linewidth=0.8)
        axes.hlines(rows, origin, right, color="#4477aa", linewidth=0.8)
        x, y = columns[:2].mean(), rows[:2].mean()
        axes.plot(x, y, "o", color="#bb3311")
        axes.annotate(
            f"centre of the\nfirst pixel\n({x:.3g}, {y:.3g})",
            (x, y),
            (columns[2], rows[1] + 0.5 * (rows[2] - rows[1])),
            arrowprops={"arrowstyle": "->", "color": "#bb3311"},
            fontsize=9,
        )
        axes.set(title=title, xticks=columns, yticks=rows, xlabel="x", ylabel="y")
        axes.set_title(title, fontsize=10)
        axes.xaxis.set_major_formatter("{x:.3g}")
        axes.yaxis.set_major_formatter("{x:.3g}")
        axes.invert_yaxis()
    return figure


def write_all(folder: Path) -> None:
    """Writes ``coordinates.png`` and ``landmarks_NAME.png`` for each scheme that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    coordinate_figure().savefig(folder / "coordinates.png", dpi=110)
    missing = [name for name in SCHEMES if not (folder / f"landmarks_{name}.png").exists()]
    if not missing:
        return
    image, points = frontal_face()
    for name in missing:
        scheme = markup.get(name)
        own = points if name == "wflw98" else markup.convert(points, markup.WFLW98, scheme)
        landmark_map(image, own, scheme).savefig(folder / f"landmarks_{name}.png", dpi=110)
