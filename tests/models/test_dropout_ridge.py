"""The closed form against scikit-learn and against dropout itself."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from tfalign.models.dropout_ridge import dropout_ridge


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


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_refuses_rates(rng, rate) -> None:
    with pytest.raises(ValueError, match="rate="):
        dropout_ridge(*problem(rng, 5, 2), rate)


def test_refuses_arrays_that_disagree(rng) -> None:
    features, targets = problem(rng, 5, 2)
    with pytest.raises(ValueError, match=r"targets.shape=\(4, 3\)"):
        dropout_ridge(features, targets[:4], 0.5)
