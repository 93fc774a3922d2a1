"""Losses against formulas written out in NumPy, finite differences, and the other back end."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from losses.loss_gradients import value_and_gradient

from tfalign import losses

CORNERS = [1, 4]
CASES = [
    ("l2", {}),
    ("l2", {"stage_weights": [0.0, 0.5, 2.0]}),
    ("l2", {"squared": False, "point_reduction": "mean", "normalizer": CORNERS}),
    ("l2", {"scale": [112.0, 56.0], "point_reduction": "mean"}),
    ("wing", {"scale": 112.0}),
    ("wing", {"w": 3.0, "epsilon": 0.5, "scale": 112.0, "stage_weights": [1.0, 0.0, 3.0]}),
    ("adaptive_wing", {"scale": 112.0}),
    ("adaptive_wing", {"omega": 8.0, "theta": 2.0, "epsilon": 0.7, "alpha": 1.5, "scale": 112.0}),
    ("smooth_l1", {"scale": 112.0}),
    ("smooth_l1", {"beta": 0.02, "normalizer": CORNERS}),
]
IDS = [f"{name}-{index}" for index, (name, _) in enumerate(CASES)]


def coordinate_cost(name: str, e: float, a: dict) -> float:
    """One coordinate's loss, from the papers' formulas."""
    e = abs(e)
    if name == "wing":
        w, epsilon = a.get("w", 10.0), a.get("epsilon", 2.0)
        return w * math.log(1 + e / epsilon) if e < w else e - (w - w * math.log(1 + w / epsilon))
    if name == "smooth_l1":
        beta = a.get("beta", 1.0)
        return 0.5 * e * e / beta if e < beta else e - 0.5 * beta
    omega, theta = a.get("omega", 10.0), a.get("theta", 5.0)
    epsilon, alpha = a.get("epsilon", 1.0), a.get("alpha", 2.1)
    if e < theta:
        return omega * math.log(1 + (e / epsilon) ** alpha)
    t = theta / epsilon
    slope = omega / (1 + t**alpha) * alpha * t ** (alpha - 1) / epsilon
    return slope * e - (theta * slope - omega * math.log(1 + t**alpha))


def reference(name: str, a: dict, true: np.ndarray, predicted: np.ndarray) -> float:
    """The whole loss with loops over faces, stages and points."""
    scale = np.broadcast_to(np.asarray(a.get("scale", 1.0), np.float64), (2,))
    faces = []
    for shape, stages in zip(true.astype(float), predicted.astype(float), strict=True):
        span = 1.0
        if "normalizer" in a:
            i, j = a["normalizer"]
            span = math.dist(shape[i] * scale, shape[j] * scale)
        total = 0.0
        for stage, weight in zip(stages, a.get("stage_weights", [1.0] * len(stages)), strict=True):
            costs = []
            for p, q in zip(stage, shape, strict=True):
                e = (p - q) * scale / span
                if name == "l2":
                    distance = math.hypot(*e)
                    costs.append(distance**2 if a.get("squared", True) else distance)
                else:
                    costs.append(sum(coordinate_cost(name, value, a) for value in e))
            reduced = sum(costs) / (len(costs) if a.get("point_reduction") == "mean" else 1)
            total += weight * reduced
        faces.append(total)
    return sum(faces) / len(faces)


@pytest.fixture
def shapes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    true = rng.uniform(0.2, 0.8, (3, 6, 2)).astype(np.float32)
    # Small and large errors, so that both pieces of every loss take part.
    error = rng.normal(size=(3, 3, 6, 2)) * rng.choice([0.003, 0.2], size=(3, 3, 6, 1))
    return true, (true[:, None] + error).astype(np.float32)


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=IDS)
def test_value_is_the_formula(name: str, arguments: dict, shapes: tuple) -> None:
    value = float(losses.get(name, **arguments)(*shapes))
    assert value == pytest.approx(reference(name, arguments, *shapes), rel=2e-5)


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=IDS)
def test_gradient_is_the_finite_difference(name: str, arguments: dict, shapes: tuple) -> None:
    true, predicted = shapes
    _, gradient = value_and_gradient(losses.get(name, **arguments), true, predicted)
    wide, step = predicted.astype(np.float64), 1e-6
    for place in [(0, 0, 0, 0), (1, 1, 2, 1), (2, 2, 5, 0), (0, 2, 3, 1), (2, 1, 4, 0)]:
        ends = []
        for sign in (1, -1):
            moved = wide.copy()
            moved[place] += sign * step
            ends.append(reference(name, arguments, true, moved))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert gradient[place] == pytest.approx(slope, rel=2e-3, abs=1e-4)


@pytest.mark.slow
@pytest.mark.jax
def test_jax_agrees(shapes: tuple, tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", true=shapes[0], predicted=shapes[1])
    (tmp_path / "cases.json").write_text(json.dumps(CASES))
    program = Path(__file__).with_name("loss_gradients.py")
    path = os.pathsep.join([str(program.parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": path}
    subprocess.run([sys.executable, program, tmp_path], env=environment, check=True)
    with np.load(tmp_path / "answer.npz") as answer:
        for index, (name, arguments) in enumerate(CASES):
            value, gradient = value_and_gradient(losses.get(name, **arguments), *shapes)
            np.testing.assert_allclose(answer[f"value{index}"], value, rtol=1e-5)
            np.testing.assert_allclose(
                answer[f"gradient{index}"], gradient, rtol=1e-4, atol=1e-5, err_msg=name
            )
            weights = np.arange(18).reshape(3, 6) % 4 > 0
            masked = losses.get(name, **arguments)(*shapes, weights.astype("float32"))
            np.testing.assert_allclose(answer[f"masked{index}"], masked, rtol=1e-5)


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=IDS)
def test_gradient_is_finite_at_zero_error(name: str, arguments: dict, shapes: tuple) -> None:
    true = shapes[0]
    exact = np.repeat(true[:, None], 3, axis=1)
    value, gradient = value_and_gradient(losses.get(name, **arguments), true, exact)
    assert np.isfinite(value)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


def test_one_stage_may_come_without_its_axis(shapes: tuple) -> None:
    true, predicted = shapes
    loss = losses.L2Loss()
    assert float(loss(true, predicted[:, 0])) == pytest.approx(float(loss(true, predicted[:, :1])))


def test_equations_6_and_8_of_greglref(shapes: tuple) -> None:
    """A loss on stage t is a loss on dS^t against the online target S* - S^(t-1) (Equation 7)."""
    true, predicted = (array.astype(np.float64) for array in shapes)
    increments = np.diff(predicted, axis=1)
    targets = true[:, None] - predicted[:, :-1]
    refinement = ((increments - targets) ** 2).sum(axis=(1, 2, 3)).mean()
    first = ((predicted[:, 0] - true) ** 2).sum(axis=(1, 2)).mean()
    assert float(losses.L2Loss()(*shapes)) == pytest.approx(first + refinement, rel=1e-5)
    fine = losses.L2Loss(stage_weights=[0.0, 1.0, 1.0])
    assert float(fine(*shapes)) == pytest.approx(refinement, rel=1e-5)


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=IDS)
def test_serialises(name: str, arguments: dict, shapes: tuple) -> None:
    loss = losses.get(name, **arguments)
    again = keras.losses.deserialize(
        json.loads(json.dumps(keras.losses.serialize(loss))), custom_objects={}
    )
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert float(again(*shapes)) == float(loss(*shapes))


def test_registered_name_is_found() -> None:
    assert isinstance(losses.get("tfalign>WingLoss", w=4.0), losses.WingLoss)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.get("nothing"), "named by one of"),
        (lambda: losses.L2Loss(point_reduction="max"), "point_reduction"),
        (lambda: losses.L2Loss(scale=0.0), "scale"),
        (lambda: losses.L2Loss(normalizer=[2, 2]), "normalizer"),
        (lambda: losses.L2Loss(stage_weights=[-1.0]), "stage_weights"),
        (lambda: losses.WingLoss(w=0.0), "`w`"),
        (lambda: losses.AdaptiveWingLoss(alpha=1.0), "alpha"),
        (lambda: losses.SmoothL1Loss(beta=-1.0), "beta"),
    ],
)
def test_wrong_arguments(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_shapes(shapes: tuple) -> None:
    true, predicted = shapes
    with pytest.raises(ValueError, match=r"y_pred\.shape=\(3, 3, 5, 2\)"):
        losses.L2Loss()(true, predicted[:, :, :5])
    with pytest.raises(ValueError, match="one weight for each of the 3"):
        losses.L2Loss(stage_weights=[1.0])(true, predicted)


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=IDS)
def test_points_that_are_not_annotated_count_nothing(
    name: str, arguments: dict, shapes: tuple
) -> None:
    """Like faces that never had these points; the gradient there is zero and finite."""
    true, predicted = shapes
    weights = np.ones((3, 6), np.float32)
    hidden = [i for i in range(6) if i not in arguments.get("normalizer", ())][-2:]
    kept = [i for i in range(6) if i not in hidden]
    weights[:, hidden] = 0
    elsewhere = true.copy()
    elsewhere[:, hidden] = 1e19
    loss = losses.get(name, **arguments)
    masked, gradient = value_and_gradient(lambda t, p: loss(t, p, weights), elsewhere, predicted)
    fewer = dict(arguments)
    if "normalizer" in fewer:
        fewer["normalizer"] = [kept.index(i) for i in fewer["normalizer"]]
    expected = float(losses.get(name, **fewer)(true[:, kept], predicted[:, :, kept]))
    assert float(masked) == pytest.approx(expected, rel=1e-5)
    assert not gradient[:, :, hidden].any()
    assert np.isfinite(gradient).all()
    # Weights of faces go on as Keras has them.
    faces = np.float32([1, 0, 2])
    expected = sum(
        w * float(loss(true[i : i + 1], predicted[i : i + 1])) for i, w in enumerate(faces)
    )
    assert float(loss(true, predicted, faces)) == pytest.approx(expected / 3, rel=1e-5)


def test_a_face_without_any_annotation_or_normalizer_counts_nothing(shapes: tuple) -> None:
    true, predicted = shapes
    for arguments, gone in (
        ({"point_reduction": "mean"}, slice(None)),
        ({"normalizer": [0, 3]}, 3),
    ):
        weights = np.ones((3, 6), np.float32)
        weights[1, gone] = 0
        loss = losses.L2Loss(**arguments)
        expected = float(loss(true[[0, 2]], predicted[[0, 2]])) * 2 / 3
        value, gradient = value_and_gradient(lambda t, p, w=weights, f=loss: f(t, p, w), *shapes)
        assert float(value) == pytest.approx(expected, rel=1e-5)
        assert not gradient[1].any()


def test_weights_of_another_shape_are_refused(shapes: tuple) -> None:
    with pytest.raises(
        ValueError, match=r"\(batch, 6\)\. Received: sample_weight of shape \(3, 5\)"
    ):
        losses.L2Loss()(*shapes, np.ones((3, 5), np.float32))


def test_wing_is_logarithmic_below_w_and_linear_above() -> None:
    """The published constants, in the unit that the loss sees without being told any."""
    loss = losses.WingLoss()
    true = np.zeros((1, 1, 2), np.float32)

    def at(pixels: float) -> float:
        return float(loss(true, np.float32([[[pixels / 64, 0]]])))

    for pixels in (0.5, 2.0, 9.9):
        assert at(pixels) == pytest.approx(10 * math.log(1 + pixels / 2), rel=1e-5)
    constant = 10 - 10 * math.log(1 + 10 / 2)
    for pixels in (10.1, 20.0, 60.0):
        assert at(pixels) == pytest.approx(pixels - constant, rel=1e-5)
    # A plain L1 would be as steep at 1 pixel as at 9.
    assert (at(1.01) - at(1)) / (at(9.01) - at(9)) > 3
    adaptive = losses.AdaptiveWingLoss()
    costs = [float(adaptive(true, np.float32([[[e / 64, 0]]]))) for e in (6, 7, 8)]
    assert costs[2] - costs[1] == pytest.approx(costs[1] - costs[0], rel=1e-4)  # linear above θ = 5


def test_get_takes_a_loss() -> None:
    loss = losses.WingLoss(w=3.0)
    assert losses.get(loss) is loss
    with pytest.raises(ValueError, match="has its arguments"):
        losses.get(loss, w=4.0)


@pytest.mark.parametrize("name", ["l2", "heatmap"])
def test_a_point_without_weight_counts_nothing_even_where_it_is_not_a_number(name):
    """As a missing point of a file may be; also where it is an end of the normaliser."""
    rng = np.random.default_rng(0)
    true = np.concatenate([rng.uniform(0, 1, (2, 6, 2)), np.ones((2, 6, 1))], -1).astype("float32")
    true[0, CORNERS[0], 2] = 0.0
    if name == "l2":
        loss = losses.L2Loss(squared=False, normalizer=CORNERS)
        predicted = rng.uniform(0, 1, (2, 6, 2)).astype("float32")
    else:
        loss = losses.HeatmapLoss()
        predicted = rng.uniform(0, 1, (2, 8, 8, 6)).astype("float32")
    expected = np.array(loss.call(true, predicted))
    true[0, CORNERS[0], :2] = np.nan
    np.testing.assert_array_equal(np.array(loss.call(true, predicted)), expected)


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=IDS)
@pytest.mark.parametrize("column", [False, True])
def test_a_face_without_weight_may_lie_anywhere(name, arguments, column, shapes) -> None:
    """As it may for the metrics: 0 times NaN is NaN."""
    true, predicted = (np.array(shape) for shape in shapes)
    loss = losses.get(name, **arguments)
    others = np.array(loss(true[[0, 2]], predicted[[0, 2]]))
    true[1] = np.nan
    weights = np.array([1.0, 0.0, 1.0], "float32")
    weights = weights[:, None] if column else weights
    value, gradient = value_and_gradient(lambda t, p: loss(t, p, weights), true, predicted)
    np.testing.assert_allclose(value, others * 2 / 3, rtol=1e-6)
    assert np.isfinite(gradient).all()
    assert not gradient[1].any()


def test_weights_are_not_cut_to_the_type_of_whole_pixels(shapes) -> None:
    true = np.round(shapes[0] * 64)
    predicted = shapes[1] * 64
    weights = np.full((3, 6), 0.5, "float32")
    loss = losses.L2Loss()
    expected = np.array(loss(true, predicted)) / 2
    np.testing.assert_allclose(loss(true.astype("int32"), predicted, weights), expected, rtol=1e-6)


def test_a_distance_in_half_precision_has_a_slope_where_there_is_no_error():
    loss = losses.L2Loss(squared=False, dtype="float16")
    true = np.full((1, 6, 2), 0.5, "float16")
    for error in (0.0, 0.25):
        value, gradient = value_and_gradient(loss, true, true + np.float16(error))
        assert np.isfinite(gradient).all()
        assert float(np.squeeze(value)) == pytest.approx(6 * error * 2**0.5, rel=2e-3)


@pytest.mark.parametrize(
    "loss",
    [
        losses.L2Loss(normalizer=[0, 6]),
        losses.ReinitializedLoss(normalizer=[0, 6]),
        losses.ReinitializedLoss(indices=[0, 1, 2, 3, 4, 6]),
        losses.ThetaLoss(np.random.default_rng(0).uniform(size=(3, 2)), indices=[0, 1, 6]),
        losses.ThetaLoss(np.random.default_rng(0).uniform(size=(3, 2)), indices=[0, 1, -1]),
    ],
)
def test_an_index_of_no_point_is_refused(loss: losses.PointLoss, shapes: tuple) -> None:
    """JAX would take the last point, or NaN, in its place."""
    true, predicted = shapes
    theta = isinstance(loss, losses.ThetaLoss)
    with pytest.raises(ValueError, match="indices of landmarks, from 0 to 5"):
        loss(true, np.zeros((3, 6), np.float32) if theta else predicted[:, 0])


def test_a_third_column_is_no_weight(shapes: tuple) -> None:
    """COCO's is 2 for a visible point: taken as a weight it would double the loss."""
    true, predicted = shapes
    visible = np.concatenate([true, np.full((3, 6, 1), 2, np.float32)], axis=-1)
    for given in ((), (np.ones((3, 6), np.float32),), (np.ones(3, np.float32),)):
        with pytest.raises(ValueError, match=r"Received: y_true of shape \(3, 6, 3\)"):
            losses.L2Loss()(visible, predicted, *given)
