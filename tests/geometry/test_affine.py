"""Affine maps against matrix algebra in NumPy, ``numpy.linalg.lstsq`` and OpenCV."""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest

from tfalign import geometry as g


def full(matrix: np.ndarray) -> np.ndarray:
    """(…, 2, 3) → (…, 3, 3)."""
    bottom = np.broadcast_to([0.0, 0.0, 1.0], (*matrix.shape[:-2], 1, 3))
    return np.concatenate([matrix, bottom], axis=-2)


def random_maps(rng, count):
    """Maps as augmentation draws them: turned, scaled, sheared a little, moved, half mirrored."""
    angle, scale = rng.uniform(-np.pi, np.pi, count), rng.uniform(0.3, 3.0, count)
    linear = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=-1)
    linear = linear.reshape(-1, 2, 2) * scale[:, None, None]
    linear = linear @ (np.eye(2) + rng.uniform(-0.2, 0.2, (count, 2, 2)))
    linear[::2, :, 0] *= -1
    offset = rng.uniform(-200, 200, (count, 2, 1))
    return np.concatenate([linear, offset], axis=-1).astype("float32")


def test_identity():
    assert np.array_equal(full(g.identity()), np.eye(3))
    assert g.identity(4).shape == (4, 2, 3)


def test_compose_is_the_matrix_product(run, rng):
    a, b = random_maps(rng, 50), random_maps(rng, 50)
    expected = (full(a.astype("float64")) @ full(b.astype("float64")))[:, :2]
    np.testing.assert_allclose(run(g.compose, a, b), expected, rtol=1e-5, atol=1e-3)


def test_compose_broadcasts_and_applies_the_inner_map_first():
    moved = g.compose(g.scaling(np.array([2.0, 3.0])), g.translation(np.ones((5, 2))))
    assert moved.shape == (5, 2, 3)
    out = g.transform_points(moved, np.array([[1.0, 1.0]]))
    np.testing.assert_allclose(out, np.broadcast_to([4.0, 6.0], (5, 1, 2)))


def test_a_thousand_compositions_invert(run, rng):
    maps = g.compose(random_maps(rng, 1000), random_maps(rng, 1000))
    points = rng.uniform(0, 1, (1000, 10, 2)).astype("float32")
    there = g.transform_points(maps, points)
    back = g.transform_points(run(g.invert, maps), there)
    # In units of a 112-px image: model space, where the promise is 1e-4.
    np.testing.assert_allclose(back / 112, points / 112, rtol=0, atol=1e-4)
    both = g.compose(run(g.invert, maps), maps)
    np.testing.assert_allclose(both[..., :2], np.broadcast_to(np.eye(2), (1000, 2, 2)), atol=1e-4)


def test_inverse_equals_numpy(run, rng):
    maps = random_maps(rng, 100)
    expected = np.linalg.inv(full(maps.astype("float64")))[:, :2]
    np.testing.assert_allclose(run(g.invert, maps), expected, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("determinant", [0.0, 1e-12, -1e-12])
def test_degenerate_maps_have_a_finite_inverse(run, determinant):
    matrix = np.array([[1.0, 2.0, 3.0], [2.0, 4.0 + determinant, 1.0]], "float32")
    assert np.isfinite(run(g.invert, matrix)).all()


def test_rotation_turns_x_towards_y(run):
    quarter = run(g.rotation, np.array(np.pi / 2, "float32"))
    out = g.transform_points(quarter, np.array([[1.0, 0.0]], "float32"))
    np.testing.assert_allclose(out, [[0.0, 1.0]], atol=1e-6)


def test_about_keeps_the_center(run, rng):
    center = rng.uniform(0, 100, (20, 2)).astype("float32")
    turn = run(g.about, g.rotation(rng.uniform(-3, 3, 20).astype("float32")), center)
    out = g.transform_points(turn, center[:, None])
    np.testing.assert_allclose(out[:, 0], center, atol=1e-4)


def test_transform_points_equals_opencv(run, rng):
    matrix = random_maps(rng, 1)[0]
    points = rng.uniform(-50, 50, (30, 2)).astype("float32")
    expected = cv2.transform(points[None], matrix)[0]
    np.testing.assert_allclose(run(g.transform_points, matrix, points), expected, atol=1e-3)


def test_affine_from_three_points_equals_opencv(run, rng):
    source = rng.uniform(0, 100, (3, 2)).astype("float32")
    target = rng.uniform(0, 100, (3, 2)).astype("float32")
    expected = cv2.getAffineTransform(source, target)
    got = run(g.affine_from_points, source, target)
    np.testing.assert_allclose(
        g.transform_points(got, source), g.transform_points(expected, source), atol=2e-2
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_affine_from_points_equals_lstsq(run, rng, weighted):
    source = rng.uniform(0, 100, (4, 12, 2))
    target = g.transform_points(random_maps(rng, 4).astype("float64"), source)
    target += rng.normal(scale=3.0, size=target.shape)
    weights = rng.uniform(0.1, 2.0, (4, 12)) if weighted else np.ones((4, 12))
    args = [source.astype("float32"), target.astype("float32")]
    got = run(g.affine_from_points, *args, *([weights.astype("float32")] if weighted else []))
    for i in range(4):
        root = np.sqrt(weights[i])[:, None]
        design = np.concatenate([source[i], np.ones((12, 1))], axis=-1)
        solution = np.linalg.lstsq(design * root, target[i] * root, rcond=None)[0].T
        np.testing.assert_allclose(got[i][:, :2], solution[:, :2], atol=2e-4)
        np.testing.assert_allclose(
            g.transform_points(got[i], source[i]),
            g.transform_points(solution, source[i]),
            atol=1e-2,
        )


def test_affine_from_collinear_points_is_finite(run):
    line = np.stack([np.arange(6.0), np.arange(6.0)], axis=-1).astype("float32")
    got = run(g.affine_from_points, line, 2 * line)
    assert np.isfinite(got).all()


def test_similarity_from_points_equals_opencv(run, rng):
    source = rng.uniform(0, 100, (15, 2)).astype("float32")
    turned = g.compose(g.rotation(np.float32(0.7)), g.scaling(np.array([1.4, 1.4], "float32")))
    target = g.transform_points(turned, source) + np.array([30.0, -12.0], "float32")
    expected, _ = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=1e3)
    np.testing.assert_allclose(
        run(g.similarity_from_points, source, target), expected, rtol=1e-4, atol=1e-2
    )


def test_similarity_from_points_is_the_best_one(rng):
    # Brute force: no similarity near the answer fits noisy points better.
    source = rng.normal(size=(9, 2))
    target = rng.normal(size=(9, 2))
    best = g.similarity_from_points(source, target)

    def error(matrix):
        return np.sum((g.transform_points(matrix, source) - target) ** 2)

    least = error(best)
    for _ in range(500):
        a, b, x, y = rng.normal(scale=0.05, size=4)
        other = best + np.array([[a, -b, x], [b, a, y]])
        assert error(other) > least
    linear = best[:, :2]
    np.testing.assert_allclose(linear @ linear.T, np.eye(2) * np.linalg.det(linear), atol=1e-12)


def test_similarity_weights_leave_points_out(rng):
    source, target = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(
        g.similarity_from_points(source, target, weights),
        g.similarity_from_points(source[:4], target[:4]),
        atol=1e-12,
    )


@pytest.mark.parametrize("function", [g.affine_from_points, g.similarity_from_points, g.compose])
def test_symbolic_shapes(function):
    shape = (2, 3) if function is g.compose else (7, 2)
    a, b = keras.KerasTensor((None, *shape)), keras.KerasTensor((None, *shape))
    assert function(a, b).shape == (None, 2, 3)


def test_mixed_numpy_and_tensors(rng):
    maps = random_maps(rng, 3)
    points = rng.uniform(0, 9, (3, 4, 2))
    out = g.transform_points(keras.ops.convert_to_tensor(maps), points.astype("float32"))
    expected = g.transform_points(maps, points)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(out), expected, rtol=1e-5, atol=1e-4)
