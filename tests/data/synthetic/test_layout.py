"""The canonical face agrees with the landmark scheme, and its splines with SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from tfalign.data.synthetic import layout
from tfalign.markup import WFLW98


def test_landmarks_are_symmetric_under_the_schemes_flip_map() -> None:
    points = layout.landmarks()
    assert points.shape == (98, 3)
    np.testing.assert_allclose(layout.mirror(points)[list(WFLW98.flip_map)], points, atol=1e-12)


def test_unit_is_the_distance_between_the_outer_eye_corners() -> None:
    first, second = layout.landmarks()[list(WFLW98.eye_corners)]
    np.testing.assert_allclose(np.linalg.norm(first - second), 1.0)
    np.testing.assert_allclose((first + second) / 2, 0.0, atol=1e-12)


def test_closed_spline_is_the_hermite_spline_with_central_differences(
    rng: np.random.Generator,
) -> None:
    points = rng.normal(size=(7, 2))
    parameters = rng.uniform(0, 7, 50)
    ours = layout.spline_weights(7, parameters, closed=True) @ points
    wrapped = np.concatenate([points[-1:], points, points[:2]])
    tangents = (wrapped[2:] - wrapped[:-2]) / 2
    reference = CubicHermiteSpline(np.arange(8), wrapped[1:9], tangents)(parameters)
    np.testing.assert_allclose(ours, reference, atol=1e-12)


@pytest.mark.parametrize("closed", [False, True])
def test_splines_pass_through_their_points(closed: bool) -> None:
    np.testing.assert_allclose(
        layout.spline_weights(6, np.arange(6), closed=closed), np.eye(6), atol=1e-12
    )
