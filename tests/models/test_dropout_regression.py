"""The closed form against scikit-learn and dropout itself, the descent against the closed form."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from tfalign.models.dropout_regression import dropout_descent, dropout_ridge


def problem(rng, count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    features = rng.exponential(size=(count, length)) * rng.uniform(0.1, 3, length)
    targets = features @ rng.normal(size=(length, 3)) + 5 + rng.normal(size=(count, 3))
    return features.astype("float32"), targets.astype("float32")


@pytest.mark.parametrize(("count", "length"), [(60, 12), (20, 45)])
@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_agrees_with_scikit_learn(rng, count, length, rate) -> None:
    features, targets = problem(rng, count, length)
    kernel, bias = dropout_ridge(features, targets, rate)
    scale = np.sqrt((features.astype(np.float64) ** 2).sum(axis=0))
    other = Ridge(alpha=rate / (1 - rate)).fit(features / scale, targets)
    np.testing.assert_allclose(kernel, (other.coef_ / scale).T, rtol=1e-2, atol=1e-4)
    expected = other.predict(features / scale)
    np.testing.assert_allclose(features @ kernel + bias, expected, atol=1e-3)


def test_minimises_the_expected_error_under_dropout(rng) -> None:
    """The gradient of the average loss over many masks vanishes at the solution."""
    features, targets = problem(rng, 12, 4)
    kernel, bias = (x.astype(np.float64) for x in dropout_ridge(features, targets, 0.5))
    masks = np.array(list(np.ndindex(*[2] * 4)), np.float64) * 2  # all of them, kept ones doubled
    gradient, size = np.zeros_like(kernel), 0.0
    for mask in masks:
        masked = features * mask
        part = masked.T @ (masked @ kernel + bias - targets)
        gradient, size = gradient + part, size + np.abs(part).max()
    assert np.abs(gradient).max() < 1e-4 * size


def test_a_feature_that_is_always_zero_is_ignored(rng) -> None:
    features, targets = problem(rng, 30, 6)
    with_zero = np.concatenate([features, np.zeros((30, 1), "float32")], axis=1)
    kernel, bias = dropout_ridge(with_zero, targets, 0.5)
    expected = dropout_ridge(features, targets, 0.5)
    assert not kernel[-1].any()
    np.testing.assert_allclose(kernel[:-1], expected[0], atol=1e-4)
    np.testing.assert_allclose(bias, expected[1], atol=1e-4)


def test_descent_approaches_the_closed_form(rng) -> None:
    keras.utils.set_random_seed(0)
    features, targets = problem(rng, 60, 8)
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    kernel, bias = dropout_descent(
        features, targets, 0.5, epochs=400, learning_rate=0.3, batch_size=60
    )
    expected = dropout_ridge(features, targets, 0.5)
    found, wanted = features @ kernel + bias, features @ expected[0] + expected[1]
    spread = np.std(wanted, axis=0)
    assert np.abs(found - wanted).mean() < 0.25 * spread.mean()


def test_one_step_of_descent_is_the_papers(rng) -> None:
    """One face that is kept whole or left out, by hand: W ← W + rate · error φᵀ, then halved."""
    features, targets = np.ones((4, 1), "float32"), np.float32([[0], [0], [4], [4]])
    moved = set()
    for seed in range(6):
        keras.utils.set_random_seed(seed)
        kernel, bias = dropout_descent(features, targets, 0.5, epochs=1, learning_rate=0.1)
        # Errors are ∓2 round the mean: a sum over those that are kept, a quarter of it as the mean.
        moved.add(round(float(kernel[0, 0]), 4))
        np.testing.assert_allclose(bias, 2.0, atol=1e-6)
    possible = {0.5 * 0.1 * 2 * kept / 4 for kept in (-2, -1, 0, 1, 2)}
    assert moved <= {round(value, 4) for value in possible}
    assert len(moved) > 1


@pytest.mark.parametrize("fit", [dropout_ridge, dropout_descent])
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_refuses_rates(rng, fit, rate) -> None:
    with pytest.raises(ValueError, match="rate="):
        fit(*problem(rng, 5, 2), rate)


@pytest.mark.parametrize("fit", [dropout_ridge, dropout_descent])
def test_refuses_arrays_that_disagree(rng, fit) -> None:
    features, targets = problem(rng, 5, 2)
    with pytest.raises(ValueError, match=r"targets.shape=\(4, 3\)"):
        fit(features, targets[:4], 0.5)
