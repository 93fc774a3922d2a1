"""Maps given by predicted numbers: kinds, and what they refuse. Values: tests/layers."""

import numpy as np
import pytest
from keras import ops

from tfalign.geometry.parametric import (
    PARAMETERS,
    identity_parameters,
    map_points,
    map_points_back,
)


@pytest.mark.parametrize(("kind", "count"), PARAMETERS.items())
def test_identity_maps_every_point_to_itself(rng, kind, count) -> None:
    theta = np.tile(identity_parameters(kind), (2, 1))
    assert theta.shape == (2, count)
    points = rng.uniform(-1, 1, (2, 4, 2)).astype("f4")
    for maps in (map_points, map_points_back):
        found = ops.convert_to_numpy(maps(theta, points, kind))
        np.testing.assert_allclose(found, points, atol=1e-6)


def test_a_similarity_is_the_affine_map_of_its_matrix(rng) -> None:
    theta = np.array([[0.8, 0.3, 0.1, -0.2]], "f4")
    matrix = np.array([[[0.8, -0.3, 0.1], [0.3, 0.8, -0.2]]], "f4")
    points = rng.uniform(-1, 1, (1, 4, 2)).astype("f4")
    np.testing.assert_allclose(
        ops.convert_to_numpy(map_points(theta, points, "similarity")),
        ops.convert_to_numpy(map_points(matrix.reshape(1, 6), points)),
        atol=1e-6,
    )


def test_refuses() -> None:
    with pytest.raises(ValueError, match="kind='rigid'"):
        identity_parameters("rigid")
