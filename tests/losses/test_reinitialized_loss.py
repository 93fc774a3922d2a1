"""ReinitializedLoss against Equations 4 and 6 written out face by face, and differences."""

import numpy as np
import pytest
from losses.loss_gradients import value_and_gradient

from tfalign import losses
from tfalign.losses import ReinitializedLoss

GLOBAL = np.array([[0.8, 0.1, 0.1, -0.2, 0.7, 0.05], [1.1, -0.2, 0.0, 0.1, 0.9, 0.1]], "f4")
LOCAL = np.array([[0.4, 0.0, 0.2, 0.1, 0.5, -0.3], [0.3, 0.1, -0.1, 0.0, 0.4, 0.2]], "f4")


def back(theta: np.ndarray, signed: np.ndarray) -> np.ndarray:
    matrix = theta.astype(np.float64).reshape(2, 3)
    return np.linalg.solve(matrix[:, :2], (signed - matrix[:, 2]).T).T


def reference(arguments: dict, true: np.ndarray, packed: np.ndarray) -> float:
    """The loss with loops, in float64."""
    indices = arguments.get("indices") or range(true.shape[1])
    count, faces = len(list(indices)), []
    for shape, parts in zip(true.astype(np.float64), packed.astype(np.float64), strict=True):
        target = 2 * shape - 1
        assert parts.shape[0] == count
        for start in range(2, parts.shape[1], 6):
            target = back(parts[0, start : start + 6], target)
        error = (2 * parts[:, :2] - 1) - target[list(indices)]
        cost = np.sum(error**2, axis=1)
        if not arguments.get("squared", True):
            cost = np.sqrt(cost)
        value = cost.mean() if arguments.get("point_reduction") == "mean" else cost.sum()
        if "normalizer" in arguments:
            first, second = arguments["normalizer"]
            distance = np.linalg.norm(target[first] - target[second])
            value /= distance**2 if arguments.get("scale_free") else distance
        faces.append(value)
    return float(np.mean(faces))


def with_thetas(landmarks: np.ndarray, *thetas: np.ndarray) -> np.ndarray:
    """Each landmark's row: (x, y), then every θ."""
    rows = [np.repeat(theta[:, None], landmarks.shape[1], axis=1) for theta in thetas]
    return np.concatenate([landmarks, *rows], axis=-1)


CASES = [
    ({"normalizer": [0, 4]}, 1),  # Equation 4
    ({"indices": [3, 1, 2]}, 2),  # Equation 6
    ({"indices": [3, 1, 2], "normalizer": [0, 4], "scale_free": True}, 2),  # step 4
    ({"squared": False, "point_reduction": "mean", "normalizer": [1, 2]}, 0),
    ({"indices": [4, 0, 2], "normalizer": [1, 3], "squared": False}, 2),
]


@pytest.mark.parametrize(("arguments", "transforms"), CASES)
def test_agrees_with_the_equations(rng, arguments, transforms) -> None:
    true = rng.uniform(0.2, 0.8, (2, 5, 2)).astype("f4")
    count = len(arguments.get("indices") or true[0])
    predicted = rng.uniform(0, 1, (2, count, 2)).astype("f4")
    packed = with_thetas(predicted, *(GLOBAL, LOCAL)[:transforms])
    loss = losses.get("tfalign>ReinitializedLoss", **arguments)
    value, gradient = value_and_gradient(loss, true, packed)
    assert value == pytest.approx(reference(arguments, true, packed), rel=1e-4)
    expected = np.zeros(packed.shape)
    for index in np.ndindex(packed.shape):
        moved = [packed.astype(np.float64) for _ in range(2)]
        moved[0][index] += 1e-6
        moved[1][index] -= 1e-6
        ends = [reference(arguments, true, m) for m in moved]
        expected[index] = (ends[0] - ends[1]) / 2e-6
    # The target moves with the transform, so θ has a gradient too.
    np.testing.assert_allclose(gradient, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("squared", [True, False])
def test_perfect_and_degenerate_predictions_have_finite_gradients(rng, squared) -> None:
    true = rng.uniform(0.2, 0.8, (2, 5, 2)).astype("f4")
    identity = np.tile(np.float32([1, 0, 0, 0, 1, 0]), (2, 1))
    for theta in (identity, np.zeros((2, 6), "f4")):
        packed = with_thetas(true, theta)
        value, gradient = value_and_gradient(
            ReinitializedLoss(normalizer=[0, 1], squared=squared), true, packed
        )
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        if theta is identity:
            assert value < 1e-4


def test_configuration_survives() -> None:
    loss = ReinitializedLoss([0, 2], [1, 3], squared=False, point_reduction="mean")
    copy = ReinitializedLoss.from_config(loss.get_config())
    assert copy.get_config() == loss.get_config()
    assert (copy.indices, copy.normalizer, copy.squared) == ([0, 2], [1, 3], False)


def test_refuses() -> None:
    with pytest.raises(ValueError, match="normalizer"):
        ReinitializedLoss(normalizer=[1])
    with pytest.raises(ValueError, match="point_reduction"):
        ReinitializedLoss(point_reduction="max")
    with pytest.raises(ValueError, match="scale_free"):
        ReinitializedLoss(scale_free=True)
    with pytest.raises(ValueError, match="y_pred"):
        ReinitializedLoss()(np.zeros((1, 5, 2), "f4"), np.zeros((1, 7, 2), "f4"))


@pytest.mark.parametrize("zoom", [0.8, 1.25, 2.0])
def test_zooming_out_is_no_descent_where_the_loss_is_scale_free(rng, zoom) -> None:
    """θ scaled by `zoom` shows a face `zoom` times smaller; the prediction errs in proportion."""
    true = rng.uniform(0.2, 0.8, (2, 5, 2)).astype("f4")
    plain = np.tile(np.float32([1, 0, 0, 0, 1, 0]), (2, 1))
    error = rng.normal(scale=0.05, size=true.shape)

    def loss(factor: float, **arguments: object) -> float:
        target = (2 * true - 1) / factor
        predicted = ((target + error / factor + 1) / 2).astype("f4")
        made = ReinitializedLoss(normalizer=[0, 4], **arguments)
        return float(made(true, with_thetas(predicted, factor * plain)))

    assert loss(zoom, scale_free=True) == pytest.approx(loss(1.0, scale_free=True), rel=1e-4)
    assert loss(zoom) == pytest.approx(loss(1.0) / zoom, rel=1e-4)  # Equation 4 as printed


@pytest.mark.parametrize("arguments", [{}, {"indices": [3, 1], "point_reduction": "mean"}])
def test_points_that_are_not_annotated_count_nothing(rng, arguments) -> None:
    true = rng.uniform(0.2, 0.8, (2, 5, 2)).astype("f4")
    weights = np.float32([[1, 1, 0, 1, 1], [1, 0, 1, 1, 1]])
    count = len(arguments.get("indices", true[0]))
    packed = with_thetas(rng.uniform(size=(2, count, 2)).astype("f4"), GLOBAL)
    loss = ReinitializedLoss(normalizer=[0, 4], **arguments)
    elsewhere = np.where(weights[..., None] > 0, true, np.float32(1e20))
    found = float(loss(elsewhere, packed, weights))
    assert np.isfinite(found)
    assert found == pytest.approx(float(loss(true, packed, weights)), rel=1e-6)
    assert found != pytest.approx(float(loss(true, packed)), rel=1e-3)
    # A face whose normaliser is not annotated counts nothing.
    weights[1, 4] = 0
    alone = float(loss(true[:1], packed[:1], weights[:1])) / 2
    assert float(loss(true, packed, weights)) == pytest.approx(alone, rel=1e-6)
