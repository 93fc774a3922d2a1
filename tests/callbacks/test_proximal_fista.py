"""The solver alone: scikit-learn's coordinate descent, tensorflow-addons' rule, its invariants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.linear_model import ElasticNet

from tfalign.callbacks.fista import fista, proximal_step, soft_threshold

GOLDEN = Path(__file__).parents[1] / "golden" / "tfa_proximal_adagrad.npz"
WEIGHT, RIDGE = 0.1, 0.02


class Problem:
    """Mean squared error of a linear model plus ``RIDGE ‖w‖²``, with two nearly equal columns."""

    def __init__(self, seed: int, dtype: str = "float64") -> None:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(60, 20))
        x[:, 1] = x[:, 0] + 0.1 * x[:, 1]
        true = np.where(np.arange(20) < 5, rng.normal(size=20), 0.0)
        self.x, self.start = x.astype(dtype), np.zeros(20, dtype)
        self.y = (x @ true + 0.1 * rng.normal(size=60)).astype(dtype)
        self.calls = 0

    def value(self, w: Any) -> float:
        self.calls += 1
        return float(np.mean((self.x @ w - self.y) ** 2) + RIDGE * w @ w)

    def value_and_gradient(self, w: Any) -> tuple[float, Any]:
        gradient = 2.0 * self.x.T @ (self.x @ w - self.y) / len(self.x) + 2.0 * RIDGE * w
        return self.value(w), gradient

    def reference(self) -> np.ndarray:
        """scikit-learn minimises ``½ mean error + alpha ratio ‖w‖₁ + ½ alpha (1 - ratio) ‖w‖²``."""
        alpha = WEIGHT / 2 + RIDGE
        solver = ElasticNet(
            alpha=alpha, l1_ratio=WEIGHT / 2 / alpha, fit_intercept=False, tol=1e-15, max_iter=10**6
        )
        return solver.fit(self.x.astype("float64"), self.y.astype("float64")).coef_

    def solve(self, **options: Any) -> Any:
        options = {"steps": 1000, **options}
        return fista(self.value, self.value_and_gradient, self.start, WEIGHT, **options)


@pytest.mark.parametrize("v", [1e-4, 1.0, 1e6])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_coordinate_descent(seed: int, v: float) -> None:
    problem = Problem(seed)
    expected, result = problem.reference(), problem.solve(v=v)
    np.testing.assert_allclose(result.point, expected, atol=1e-9)
    np.testing.assert_array_equal(result.point == 0.0, expected == 0.0)
    assert 10 <= np.sum(expected == 0.0) < 20
    assert result.converged


def test_float32_reaches_what_its_values_cannot_show() -> None:
    """Around the solution the objective is flat to float32; the gradients still lead there."""
    problem = Problem(1, "float32")
    result = problem.solve()
    assert result.point.dtype == np.float32
    np.testing.assert_allclose(result.point, problem.reference(), atol=1e-4)
    assert result.converged


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_objective_never_rises(dtype: str) -> None:
    for seed in range(4):
        problem = Problem(seed, dtype)
        result = problem.solve()
        assert len(result.objectives) > 20
        assert np.all(np.diff(result.objectives) <= 0.0)
        exact = Problem(seed)
        at_end = exact.value(result.point.astype("float64")) + WEIGHT * np.abs(result.point).sum()
        assert result.objectives[-1] == pytest.approx(
            at_end, rel=1e-6 if dtype == "float32" else 1e-12
        )
        # Momentum overshoots here, so the restart was needed.
        assert result.rejected > 0


def test_v_bounds_the_curvature_that_was_met() -> None:
    problem = Problem(0)
    largest = np.linalg.eigvalsh(2 * problem.x.T @ problem.x / 60)[-1] + 2 * RIDGE
    for v in (1e-4, 1.0, 1e6):
        result = problem.solve(v=v)
        # Back-tracking stops within one factor of what the steps' directions need.
        assert 0.25 * largest < result.v < 2.0 * largest


def test_steps_are_the_papers() -> None:
    """Equations 10, 12 and 13 and the two lines on momentum, written out with a V that holds."""
    problem, steps = Problem(2), 6
    v = 2.0 ** np.ceil(np.log2(np.linalg.eigvalsh(2 * problem.x.T @ problem.x / 60)[-1] + 1))
    points, p = [problem.start, problem.start], [1.0, 1.0]
    for _ in range(steps):
        hat = points[-1] + (p[-2] - 1) / p[-1] * (points[-1] - points[-2])
        gradient = problem.value_and_gradient(hat)[1]
        z = hat - gradient / v
        points.append(np.maximum(np.abs(z) - WEIGHT / v, 0) * np.sign(z))
        p.append((1 + np.sqrt(1 + 4 * p[-1] ** 2)) / 2)
    # A factor so large that the first search cannot go below the V given.
    result = problem.solve(steps=steps, v=v, factor=1e6)
    assert (result.v, result.rejected) == (v, 0)
    np.testing.assert_allclose(result.point, points[-1], rtol=1e-12)


def test_one_step_is_proximal_adagrads_before_its_shrinking() -> None:
    """Where the rules coincide: ``V = √accumulator / rate`` in each entry, same ℓ1 threshold.

    ProximalAdagrad's squared ℓ2 norm belongs to its proximal operator, which divides the result by
    ``1 + l2 / V``; ours belongs to the smooth part. Multiplied back, the two steps are the same.
    """
    with np.load(GOLDEN) as golden:
        point, accumulator = golden["start"], golden["initial_accumulator_value"]
        zeros = 0
        for gradient, expected in zip(golden["gradients"], golden["steps"], strict=True):
            accumulator = accumulator + gradient**2
            v = np.sqrt(accumulator) / golden["learning_rate"]
            found = proximal_step(point, gradient, v, golden["l1_regularization_strength"])
            unshrunk = expected * (1.0 + golden["l2_regularization_strength"] / v)
            np.testing.assert_allclose(found, unshrunk, rtol=1e-5, atol=1e-7)
            np.testing.assert_array_equal(found == 0.0, expected == 0.0)
            zeros += np.sum(expected == 0.0)
            point = expected
        assert zeros > 0


@pytest.mark.parametrize("make", [np.asarray, keras.ops.convert_to_tensor])
def test_soft_threshold(make: Any) -> None:
    values = np.float32([-2.0, -0.5, -0.3, -0.0, 0.0, 0.2, 0.5, 3.0])
    found = keras.ops.convert_to_numpy(soft_threshold(make(values), 0.5))
    np.testing.assert_array_equal(found, np.float32([-1.5, 0, 0, 0, 0, 0, 0, 2.5]))
    assert not np.signbit(found[1:7]).any()


def test_tensors_are_solved_like_arrays() -> None:
    problem = Problem(3, "float32")

    def value_and_gradient(w: Any) -> tuple[float, Any]:
        value, gradient = problem.value_and_gradient(keras.ops.convert_to_numpy(w))
        return value, keras.ops.convert_to_tensor(gradient)

    start = keras.ops.convert_to_tensor(problem.start)
    result = fista(
        lambda w: problem.value(keras.ops.convert_to_numpy(w)), value_and_gradient, start, WEIGHT,
        steps=50,
    )  # fmt: skip
    assert keras.ops.is_tensor(result.point)
    expected = problem.solve(steps=50).point
    np.testing.assert_allclose(keras.ops.convert_to_numpy(result.point), expected, atol=1e-5)


def test_weight_zero_is_plain_descent() -> None:
    problem = Problem(0)
    result = fista(problem.value, problem.value_and_gradient, problem.start, 0.0, steps=2000)
    x, y = problem.x, problem.y
    expected = np.linalg.solve(x.T @ x / 60 + RIDGE * np.eye(20), x.T @ y / 60)
    np.testing.assert_allclose(result.point, expected, atol=1e-8)
    assert np.all(result.point != 0.0)


def test_no_steps_and_a_start_at_the_solution() -> None:
    problem = Problem(0)
    result = problem.solve(steps=0)
    assert result.point is problem.start
    assert result.objectives == [problem.value(problem.start)]
    solution = problem.solve().point
    again = fista(problem.value, problem.value_and_gradient, solution, WEIGHT, steps=100)
    assert again.converged
    np.testing.assert_allclose(again.point, solution, atol=1e-12)
    assert len(again.objectives) < 10


def test_a_function_that_is_not_convex_falls_too(rng: np.random.Generator) -> None:
    w = rng.normal(size=30) * 3

    def value(x: Any) -> float:
        return float(np.sum(np.sin(3 * x) + 0.1 * x**2))

    result = fista(
        value, lambda x: (value(x), 3 * np.cos(3 * x) + 0.2 * x), w, 0.3, steps=200, v=1e-3
    )
    assert np.all(np.diff(result.objectives) <= 0.0)
    assert result.objectives[-1] < result.objectives[0] - 1.0
    assert result.objectives[-1] == pytest.approx(
        value(result.point) + 0.3 * abs(result.point).sum()
    )


def test_errors() -> None:
    problem = Problem(0)
    for wrong in ({"steps": -1}, {"v": 0.0}, {"factor": 1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            problem.solve(**wrong)
    with pytest.raises(FloatingPointError, match="value=nan"):
        fista(lambda w: np.nan, lambda w: (np.nan, w), problem.start, 0.1, steps=1)
    with pytest.raises(FloatingPointError, match="No V made"):
        fista(problem.value, lambda w: (1.0, np.full(20, np.nan)), problem.start, 0.1, steps=1)


def test_v_stays_while_nothing_moves() -> None:
    """A variable without gradient (C under P = 0) leaves a V with which it can move again."""
    start, v = np.zeros(2, np.float32), 1.0
    for _ in range(3):
        v = fista(lambda x: 0.0, lambda x: (0.0, np.zeros_like(x)), start, 1e-3, steps=5, v=v).v
    assert v == 1.0

    def value(x: Any) -> float:
        return 0.5 * float(np.sum((x - 1.0) ** 2))

    result = fista(value, lambda x: (value(x), x - 1.0), start, 1e-3, steps=50, v=v)
    np.testing.assert_allclose(result.point, 0.999, atol=1e-4)
