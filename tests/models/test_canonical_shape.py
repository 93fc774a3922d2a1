"""The canonical frame: upright, symmetrical, and parts that a dense layer can find."""

import numpy as np
import pytest

from tfalign import geometry, markup
from tfalign.models.canonical_shape import (
    FACE_MARGIN,
    PART_MARGIN,
    canonical_shape,
    in_patch,
    part_theta,
    similarity_weights,
)


@pytest.fixture
def mean(rng) -> np.ndarray:
    """A lopsided shape of 19 points, turned by 0.3 radians."""
    scheme = markup.get("aflw19")
    shape = rng.uniform(0.2, 0.8, (19, 2))
    mirrored = (shape * (-1, 1) + (1, 0))[list(scheme.flip_map)]
    shape = 0.5 * (shape + mirrored) + rng.normal(scale=0.01, size=shape.shape)
    turn = geometry.about(geometry.rotation(np.float64(0.3)), np.array([0.5, 0.5]))
    return geometry.transform_points(turn, shape)


def test_fills_the_square_upright_and_symmetrical(mean) -> None:
    scheme = markup.get("aflw19")
    shape = canonical_shape(mean, scheme).astype(np.float64)
    low, high = shape.min(axis=0), shape.max(axis=0)
    assert (high - low).max() == pytest.approx(1 / (1 + 2 * FACE_MARGIN), rel=1e-5)
    np.testing.assert_allclose((low + high) / 2, 0.5, atol=1e-6)
    mirrored = (shape * (-1, 1) + (1, 0))[list(scheme.flip_map)]
    np.testing.assert_allclose(shape, mirrored, atol=1e-6)
    # Nothing but a rotation, a scale and a little symmetry was changed.
    fitted = geometry.similarity_from_points(mean, shape)
    assert np.abs(geometry.transform_points(fitted, mean) - shape).max() < 0.05
    assert np.arctan2(fitted[1, 0], fitted[0, 0]) == pytest.approx(-0.3, abs=0.05)


def test_without_a_scheme_only_place_and_size_change(mean) -> None:
    shape = canonical_shape(mean)
    ratio = (shape[1:] - shape[0]) / (mean[1:] - mean[0])
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)


def test_part_fills_its_patch(rng) -> None:
    part = rng.uniform(0.3, 0.6, (6, 2)).astype("f4")
    patch = in_patch(part)
    extent = patch.max(axis=0) - patch.min(axis=0)
    assert extent.max() == pytest.approx(1 / (1 + 2 * PART_MARGIN), rel=1e-4)
    np.testing.assert_allclose((patch.max(axis=0) + patch.min(axis=0)) / 2, 0.5, atol=1e-5)
    theta = part_theta(part)
    back = geometry.transform_points(theta.reshape(2, 3), 2 * patch - 1)
    np.testing.assert_allclose((back + 1) / 2, part, atol=1e-6)


@pytest.mark.parametrize("collinear", [False, True])
def test_dense_weights_are_the_least_squares_similarity(rng, collinear) -> None:
    part = rng.uniform(0.3, 0.6, (5, 2)).astype("f4")
    if collinear:  # as AFLW's three points of an eye nearly are
        part[:, 1] = 0.5
    kernel, bias = similarity_weights(part)
    np.testing.assert_allclose(part.reshape(-1) @ kernel + bias, part_theta(part), atol=1e-5)
    for _ in range(3):
        shape = part + rng.normal(scale=0.03, size=part.shape)
        theta = (shape.reshape(-1) @ kernel + bias).reshape(2, 3)
        expected = geometry.similarity_from_points(2.0 * in_patch(part) - 1.0, 2.0 * shape - 1.0)
        np.testing.assert_allclose(theta, expected, atol=1e-4)
