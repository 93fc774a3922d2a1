"""Residual spread on shapes whose rotation, scale and place are known."""

import numpy as np
import pytest

from tfalign import geometry
from tfalign.evaluation.plots import png_bytes
from tfalign.evaluation.reinitialization import figure_3, figure_5, spread


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
