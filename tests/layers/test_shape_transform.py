"""ShapeTransform: the inverse of a predicted map, and what the guard does where there is none."""

import numpy as np
import pytest
from keras import ops
from layers.test_spatial_transformer import THETAS, matrix3

from contract import run_contract
from contract.gradients import gradients
from tfalign.geometry.parametric import PARAMETERS
from tfalign.layers import InverseShapeTransform, ShapeTransform, SpatialTransformer


@pytest.mark.parametrize("kind", PARAMETERS)
def test_agrees_with_the_inverse_matrix(rng, kind) -> None:
    points, theta = rng.uniform(-0.2, 1.2, (2, 5, 2)).astype("f4"), THETAS[kind]
    found = ops.convert_to_numpy(ShapeTransform(kind)([points, theta]))
    for b in range(2):
        signed = np.concatenate([2 * points[b] - 1, np.ones((5, 1))], axis=1)
        x, y, depth = np.linalg.inv(matrix3(theta[b], kind)) @ signed.T
        expected = (np.stack([x / depth, y / depth], axis=1) + 1) / 2
        np.testing.assert_allclose(found[b], expected, atol=1e-5)


@pytest.mark.parametrize("kind", PARAMETERS)
def test_there_and_back_is_the_identity(rng, kind) -> None:
    points = rng.uniform(0, 1, (2, 7, 2)).astype("f4")
    there = ShapeTransform(kind)([points, THETAS[kind]])
    back = InverseShapeTransform(kind)([there, THETAS[kind]])
    np.testing.assert_allclose(ops.convert_to_numpy(back), points, atol=1e-5)
    there = InverseShapeTransform(kind)([points, THETAS[kind]])
    back = ShapeTransform(kind)([there, THETAS[kind]])
    np.testing.assert_allclose(ops.convert_to_numpy(back), points, atol=1e-5)


def test_landmarks_move_with_the_image() -> None:
    """One bright pixel and one landmark on it, through the same θ."""
    image = np.zeros((1, 61, 81, 1), "f4")
    image[0, 40, 50] = 1
    landmark = np.array([[[50.5 / 81, 40.5 / 61]]], "f4")
    theta = np.array([[0.6, -0.2, 0.1, 0.15, 0.7, 0.2]], "f4")
    warped = ops.convert_to_numpy(SpatialTransformer((200, 300))([image, theta]))[0, :, :, 0]
    ys, xs = np.mgrid[:200, :300] + 0.5
    seen = np.array([(warped * xs).sum(), (warped * ys).sum()]) / warped.sum()
    moved = ops.convert_to_numpy(ShapeTransform()([landmark, theta]))[0, 0] * (300, 200)
    np.testing.assert_allclose(moved, seen, atol=0.05)


@pytest.mark.parametrize("kind", PARAMETERS)
@pytest.mark.parametrize("value", [0.0, 1e-12, 1.0, -1.0])
def test_degenerate_theta_is_finite(rng, kind, value) -> None:
    points = rng.uniform(0, 1, (2, 3, 2)).astype("f4")
    # Both rows alike: all points land on one line, whatever the value.
    theta = np.full((2, PARAMETERS[kind]), value, "f4")
    for layer in (ShapeTransform(kind), InverseShapeTransform(kind)):
        assert np.isfinite(ops.convert_to_numpy(layer([points, theta]))).all()
        _, reached = gradients(layer, [points, theta], [np.ones((2, 3, 2), "f4")])
        assert all(np.isfinite(gradient).all() for gradient in reached)


def test_the_guard_leaves_ordinary_maps_alone(rng) -> None:
    points = rng.uniform(0, 1, (1, 3, 2)).astype("f4")
    theta = np.array([[0.1, 0, 0, 0, 0.1, 0]], "f4")
    exact = ops.convert_to_numpy(ShapeTransform(min_determinant=0.009)([points, theta]))
    np.testing.assert_allclose(exact, (10 * (2 * points - 1) + 1) / 2, rtol=1e-5)
    guarded = ops.convert_to_numpy(ShapeTransform(min_determinant=0.02)([points, theta]))
    np.testing.assert_allclose(guarded, (5 * (2 * points - 1) + 1) / 2, rtol=1e-5)


@pytest.mark.parametrize("kind", PARAMETERS)
def test_gradients_agree_with_finite_differences(rng, kind) -> None:
    points, theta = rng.uniform(0, 1, (2, 3, 2)).astype("f4"), THETAS[kind]
    weights = rng.normal(size=(2, 3, 2)).astype("f4")
    _, found = gradients(ShapeTransform(kind), [points, theta], [weights])

    def loss(points: np.ndarray, theta: np.ndarray) -> float:
        total = 0.0
        for b in range(2):
            signed = np.concatenate([2 * points[b] - 1, np.ones((3, 1))], axis=1)
            x, y, depth = np.linalg.inv(matrix3(theta[b], kind)) @ signed.T
            total += float(np.sum((np.stack([x / depth, y / depth], axis=1) + 1) / 2 * weights[b]))
        return total

    for place, gradient in enumerate(found):
        expected = np.zeros(gradient.shape)
        for index in np.ndindex(expected.shape):
            values = []
            for sign in (1, -1):
                moved = [points.astype(np.float64), theta.astype(np.float64)]
                moved[place][index] += sign * 1e-6
                values.append(loss(*moved))
            expected[index] = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose(gradient, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    run_contract(
        ShapeTransform,
        [rng.uniform(0, 1, (2, 4, 2)).astype("f4"), THETAS["similarity"]],
        {"kind": "similarity", "min_determinant": 0.01},
        tmp_path,
        expected_shape=(2, 4, 2),
    )


@pytest.mark.parametrize("arguments", [{"kind": "rigid"}, {"min_determinant": 0.0}])
def test_wrong_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        ShapeTransform(**arguments)


@pytest.mark.parametrize("shapes", [[(1, 4, 2)], [(1, 4, 3), (1, 6)], [(1, 4, 2), (1, 4)]])
def test_wrong_inputs(shapes) -> None:
    with pytest.raises(ValueError, match="ShapeTransform takes"):
        ShapeTransform()([np.zeros(shape, "f4") for shape in shapes])
