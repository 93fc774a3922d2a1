import math

import numpy as np
import pytest

from tfalign.inference import OneEuroFilter, ShapeFilter


def published(values, times, min_cutoff, beta, speed_cutoff):
    """The paper's Algorithm 1, one number at a time."""

    def alpha(cutoff, rate):
        tau = 1.0 / (2 * math.pi * cutoff)
        return 1.0 / (1.0 + tau * rate)

    out, x_hat, dx_hat = [], None, None
    for index, x in enumerate(values):
        if index == 0:
            x_hat, dx_hat = x, 0.0
        else:
            rate = 1.0 / (times[index] - times[index - 1])
            dx = (x - x_hat) * rate
            a = alpha(speed_cutoff, rate)
            dx_hat = a * dx + (1 - a) * dx_hat
            a = alpha(min_cutoff + beta * abs(dx_hat), rate)
            x_hat = a * x + (1 - a) * x_hat
        out.append(x_hat)
    return out


def test_as_published(rng):
    times = np.cumsum(rng.uniform(0.01, 0.1, 40))
    values = np.cumsum(rng.normal(0, 1, (40, 3, 2)), axis=0)
    euro = OneEuroFilter(1.5, 0.3, 0.8)
    found = np.array([euro(v, t) for v, t in zip(values, times, strict=True)])
    for i in range(3):
        for j in range(2):
            expected = published(values[:, i, j], times, 1.5, 0.3, 0.8)
            np.testing.assert_allclose(found[:, i, j], expected)


def test_scale_makes_near_and_far_alike(rng):
    values = rng.normal(0, 1, (20, 4))
    near, far = OneEuroFilter(), OneEuroFilter()
    for index, value in enumerate(values):
        small = near(value, index / 25, scale=1.0)
        np.testing.assert_allclose(far(7 * value, index / 25, scale=7.0), 7 * small)


def test_errors_and_reset():
    with pytest.raises(ValueError, match="min_cutoff=0"):
        OneEuroFilter(min_cutoff=0)
    euro = OneEuroFilter()
    euro(1.0, 2.0)
    with pytest.raises(ValueError, match="seconds=2.0"):
        euro(1.0, 2.0)
    euro.reset()
    assert euro(5.0, 0.0) == 5.0


def jitter(shapes):
    return np.std(np.diff(shapes, 2, axis=0))


def test_shape_filter_lets_the_head_move_and_takes_the_jitter(rng):
    face = rng.uniform(0, 100, (68, 2))
    times = np.arange(100) / 25
    moving = np.array([face + [60 * np.sin(t), 20 * t] for t in times])
    noisy = moving + rng.normal(0, 1, moving.shape)
    shapes, points = ShapeFilter(), OneEuroFilter(3.0, 8.0)
    apart = np.array([shapes(s, t) for s, t in zip(noisy, times, strict=True)])
    alone = np.array([points(s, t, 100.0) for s, t in zip(noisy, times, strict=True)])
    np.testing.assert_allclose(apart[0], noisy[0], atol=1e-9)
    assert jitter(apart) < 0.5 * jitter(noisy)
    # The points' own filter lags behind the head; this one hardly does.
    assert np.abs(apart - moving).mean() < 0.8 * np.abs(alone - moving).mean()
    assert np.abs(apart - moving).mean() < np.abs(noisy - moving).mean()


def test_shape_filter_keeps_what_does_not_change(rng):
    face = rng.uniform(0, 100, (5, 2))
    still = ShapeFilter()
    for index in range(5):
        np.testing.assert_allclose(still(face, index / 25), face, atol=1e-9)
    with pytest.raises(ValueError, match="later"):
        still(face, 0.0)


def test_shape_filter_begins_anew_with_another_shape():
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    circle = 50 + 20 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    mirrored = circle * [1, -1] + [0, 100]  # no turn and size makes one out of the other
    shapes = ShapeFilter()
    shapes(circle, 0.0)
    np.testing.assert_allclose(shapes(mirrored, 1.0), mirrored, atol=1e-9)
