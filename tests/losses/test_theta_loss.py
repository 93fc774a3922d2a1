"""ThetaLoss: its target against NumPy's least squares, its value and its gradient."""

import numpy as np
import pytest
from keras import ops
from losses.loss_gradients import value_and_gradient

from tfalign import losses
from tfalign.losses import ThetaLoss

CANONICAL = [[0.3, 0.35], [0.7, 0.35], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]]


def least_squares(canonical: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The 2×3 matrix in [−1, 1] space, by NumPy's solver."""
    source = np.concatenate([2 * canonical - 1, np.ones((len(canonical), 1))], axis=1)
    return np.linalg.lstsq(source, 2 * shape - 1, rcond=None)[0].T


def similarity(canonical: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The same for [[a, −b, tx], [b, a, ty]], as one linear system in (a, b, tx, ty)."""
    rows, right = [], []
    for (x, y), (u, v) in zip(2 * canonical - 1, 2 * shape - 1, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        right += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return np.array([[a, -b, tx], [b, a, ty]])


@pytest.fixture
def shapes(rng) -> np.ndarray:
    turn = np.array([[0.9, -0.3], [0.25, 0.8]])
    return (np.array(CANONICAL) @ turn.T + rng.normal(scale=0.04, size=(4, 5, 2))).astype("f4")


@pytest.mark.parametrize(("kind", "solve"), [("affine", least_squares), ("similarity", similarity)])
def test_target_is_the_least_squares_map(shapes, kind, solve) -> None:
    found = ops.convert_to_numpy(ThetaLoss(CANONICAL, kind=kind).target(shapes))
    for theta, shape in zip(found, shapes.astype(np.float64), strict=True):
        np.testing.assert_allclose(theta, solve(np.array(CANONICAL), shape).ravel(), atol=1e-4)


def test_value_is_the_squared_distance(shapes, rng) -> None:
    predicted = rng.normal(size=(4, 6)).astype("f4")
    expected = [
        np.sum((theta - least_squares(np.array(CANONICAL), shape.astype(np.float64)).ravel()) ** 2)
        for theta, shape in zip(predicted, shapes, strict=True)
    ]
    loss = losses.get("tfalign>ThetaLoss", canonical_shape=CANONICAL)
    value, gradient = value_and_gradient(loss, shapes, predicted)
    assert value == pytest.approx(np.mean(expected), rel=1e-4)
    target = ops.convert_to_numpy(loss.target(shapes))
    np.testing.assert_allclose(gradient, 2 * (predicted - target) / 4, atol=1e-4)


def test_a_part_is_measured_in_the_face_that_the_outer_theta_shows(shapes, rng) -> None:
    indices, outer = [4, 0, 2], np.array([[0.8, 0.1, 0.1, -0.2, 0.7, 0.05]] * 4, "f4")
    predicted = rng.normal(size=(4, 6)).astype("f4")
    part = [CANONICAL[i] for i in indices]
    loss = ThetaLoss(part, indices)
    packed = np.concatenate([predicted, outer], axis=1)
    value, gradient = value_and_gradient(loss, shapes, packed)
    matrix = outer[0].reshape(2, 3).astype(np.float64)
    expected = []
    for theta, shape in zip(predicted, shapes[:, indices].astype(np.float64), strict=True):
        inside = np.linalg.solve(matrix[:, :2], ((2 * shape - 1) - matrix[:, 2]).T).T
        target = least_squares(np.array(part), (inside + 1) / 2)
        expected.append(np.sum((theta - target.ravel()) ** 2))
    assert value == pytest.approx(np.mean(expected), rel=1e-3)
    assert not np.any(gradient[:, 6:]), "the target must not pull the outer transform"


def test_degenerate_outer_theta_is_finite(shapes) -> None:
    packed = np.zeros((4, 12), "f4")
    value, gradient = value_and_gradient(ThetaLoss(CANONICAL), shapes, packed)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_configuration_survives() -> None:
    loss = ThetaLoss(CANONICAL[:3], indices=(1, 2, 3), kind="similarity")
    copy = ThetaLoss.from_config(loss.get_config())
    assert copy.get_config() == loss.get_config()
    assert copy.kind == "similarity"


@pytest.mark.parametrize(
    "arguments",
    [
        {"canonical_shape": [[0, 0], [1, 1]]},
        {"canonical_shape": [[0, 0], [1, 1], [np.nan, 0]]},
        {"canonical_shape": CANONICAL, "indices": [0, 1]},
        {"canonical_shape": CANONICAL, "kind": "projective"},
    ],
)
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        ThetaLoss(**arguments)


def test_refuses_shapes(shapes) -> None:
    with pytest.raises(ValueError, match="6·k"):
        ThetaLoss(CANONICAL)(shapes, np.zeros((4, 8), "f4"))
    with pytest.raises(ValueError, match="as many landmarks"):
        ThetaLoss(CANONICAL[:4])(shapes, np.zeros((4, 6), "f4"))


def test_a_face_without_one_of_the_landmarks_counts_nothing(shapes, rng) -> None:
    predicted = rng.normal(size=(4, 6)).astype("f4")
    weights = np.ones((4, 5), "f4")
    weights[2, 1] = 0
    loss = ThetaLoss(CANONICAL)
    kept = [0, 1, 3]
    found = float(loss(shapes, predicted, weights))
    assert found == pytest.approx(0.75 * float(loss(shapes[kept], predicted[kept])), rel=1e-5)
