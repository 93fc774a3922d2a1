"""Stage errors: numbers against NumPy, lines of the plots against the numbers."""

import csv
import io

import numpy as np
import pytest

from tfalign import geometry
from tfalign.evaluation import score
from tfalign.evaluation.plots import (
    bias_variance_plot,
    figure_3,
    figure_5,
    png_bytes,
    stage_error_plot,
)
from tfalign.evaluation.stages import (
    StageErrors,
    spread,
    stage_csv,
)


@pytest.fixture
def results(rng) -> list[StageErrors]:
    truth = rng.uniform(20, 80, (7, 68, 2))
    truth[:, 36], truth[:, 45] = (30, 40), (70, 40)
    made = []
    for model in ("one", "two"):
        for faces in ("training", "test"):
            shapes = [truth + rng.normal(scale=3 - stage, size=truth.shape) for stage in range(3)]
            scores = tuple(score(shape, truth, "300w_inter_ocular") for shape in shapes)
            made.append(StageErrors(model, faces, scores))
    return made


def test_csv_holds_mean_and_variance_over_faces(results) -> None:
    rows = list(csv.DictReader(io.StringIO(stage_csv(results))))
    assert len(rows) == 4 * 3
    row = next(r for r in rows if (r["model"], r["faces"], r["stage"]) == ("two", "test", "1"))
    errors = results[3].scores[1].errors
    assert float(row["bias"]) == pytest.approx(errors.mean(), rel=1e-6)
    assert float(row["variance"]) == pytest.approx(errors.var(), rel=1e-6)
    assert int(row["count"]) == 7


def test_figure_4_draws_the_named_models(results) -> None:
    (axis,) = stage_error_plot(results, {"one": "--", "two": "-"}).axes
    assert len(axis.lines) == 4
    dashed = [line for line in axis.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed[1].get_ydata(), np.multiply(results[1].bias, 100))
    assert len(stage_error_plot(results, {"two": "-"}).axes[0].lines) == 2


def test_figure_2_draws_normal_distributions(results) -> None:
    first, _ = bias_variance_plot(results[:2]).axes
    line = first.lines[2]
    x, density = np.array(line.get_xdata()), np.array(line.get_ydata())
    assert x[density.argmax()] == pytest.approx(100 * results[0].bias[2], abs=x[1] - x[0])
    assert density.max() == pytest.approx(
        1 / (100 * results[0].deviation[2] * np.sqrt(2 * np.pi)), rel=0.02
    )


def test_refuses_nothing_to_draw(results) -> None:
    with pytest.raises(ValueError, match="models="):
        stage_error_plot(results, {"three": "-"})
    with pytest.raises(ValueError, match="none"):
        bias_variance_plot([])


def test_spread_is_what_was_put_in(rng) -> None:
    canonical = rng.uniform(0.2, 0.8, (9, 2))
    canonical -= canonical.mean(axis=0)
    angles, scales = rng.normal(0.1, 0.2, 3000), np.exp(rng.normal(0.3, 0.15, 3000))
    centres = rng.normal(0.5, (0.03, 0.04), (3000, 2))
    turned = geometry.transform_points(geometry.rotation(angles), canonical[None])
    shapes = turned * scales[:, None, None] + centres[:, None]
    found = spread(shapes, canonical)
    assert found.rotation == pytest.approx(np.rad2deg(0.2), rel=0.04)
    assert found.scale == pytest.approx(0.15, rel=0.04)
    assert found.centre == pytest.approx(0.05, rel=0.04)
    still = spread(np.repeat(shapes[:1], 4, axis=0), canonical)
    assert max(still.to_dict().values()) < 1e-4


def test_spread_refuses() -> None:
    with pytest.raises(ValueError, match="Received"):
        spread(np.zeros((1, 5, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="Received"):
        spread(np.zeros((2, 5, 2)), np.zeros((6, 2)))


def test_figures_show_every_face(rng) -> None:
    faces = rng.uniform(0, 255, (3, 32, 32, 3))
    points = rng.uniform(0, 1, (3, 5, 2))
    assert png_bytes(figure_3(faces, faces, points)).startswith(b"\x89PNG")
    figure = figure_5(
        faces, {"nose": faces, "mouth": faces}, {"nose": points, "mouth": points}, points
    )
    assert len(figure.axes) == 3 * 3
    dots = [axis.lines[0].get_xydata() for axis in figure.axes]
    np.testing.assert_allclose(dots[0], points[0] * 32)
