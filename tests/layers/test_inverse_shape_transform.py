"""InverseShapeTransform: Equation 8, one map after the other."""

import numpy as np
import pytest
from keras import ops
from layers.test_spatial_transformer import AFFINE, THETAS, matrix3

from contract import run_contract
from tfalign.geometry.parametric import PARAMETERS
from tfalign.layers import InverseShapeTransform


@pytest.mark.parametrize("kind", PARAMETERS)
def test_agrees_with_the_matrix(rng, kind) -> None:
    points, theta = rng.uniform(-0.2, 1.2, (2, 5, 2)).astype("f4"), THETAS[kind]
    found = ops.convert_to_numpy(InverseShapeTransform(kind)([points, theta]))
    for b in range(2):
        signed = np.concatenate([2 * points[b] - 1, np.ones((5, 1))], axis=1)
        x, y, depth = matrix3(theta[b], kind) @ signed.T
        expected = (np.stack([x / depth, y / depth], axis=1) + 1) / 2
        np.testing.assert_allclose(found[b], expected, atol=1e-5)


def test_part_then_face_is_the_product_of_their_matrices(rng) -> None:
    points = rng.uniform(0, 1, (2, 5, 2)).astype("f4")
    local = AFFINE[::-1].copy()
    in_face = InverseShapeTransform()([points, local])
    found = ops.convert_to_numpy(InverseShapeTransform()([in_face, AFFINE]))
    for b in range(2):
        whole = matrix3(AFFINE[b], "affine") @ matrix3(local[b], "affine")
        signed = np.concatenate([2 * points[b] - 1, np.ones((5, 1))], axis=1)
        np.testing.assert_allclose(found[b], ((whole @ signed.T)[:2].T + 1) / 2, atol=1e-5)


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    run_contract(
        InverseShapeTransform,
        [rng.uniform(0, 1, (2, 4, 2)).astype("f4"), THETAS["projective"]],
        {"kind": "projective"},
        tmp_path,
        expected_shape=(2, 4, 2),
    )


def test_refuses() -> None:
    with pytest.raises(ValueError, match="kind='rigid'"):
        InverseShapeTransform("rigid")
    with pytest.raises(ValueError, match="InverseShapeTransform takes"):
        InverseShapeTransform()([np.zeros((1, 4, 2), "f4"), np.zeros((1, 8), "f4")])
