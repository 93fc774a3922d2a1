"""Pose balancing against scikit-learn and SciPy, and on the real training shapes."""

import numpy as np
import pytest
from scipy.spatial import procrustes
from sklearn.decomposition import PCA

from tfalign import geometry
from tfalign.data.balance import pose_balance, pose_coefficients, procrustes_align


@pytest.fixture
def shapes(rng):
    """Heads of 3-D points turned left and right, most of them frontal, at any size and place."""
    head = rng.normal(size=(30, 3))
    head[:, 2] = np.abs(head[:, 2])
    yaw = np.deg2rad(np.clip(rng.normal(0, 15, 400), -60, 60))
    x = head[:, 0] * np.cos(yaw)[:, None] + head[:, 2] * np.sin(yaw)[:, None]
    flat = np.stack([x, np.broadcast_to(head[:, 1], x.shape)], axis=-1)
    roll = geometry.rotation(rng.uniform(-0.5, 0.5, 400))[..., :2]
    turned = flat @ np.swapaxes(roll, 1, 2) * rng.uniform(50, 200, (400, 1, 1))
    return turned + rng.uniform(0, 500, (400, 1, 2)), yaw


def test_alignment_agrees_with_scipy_pair_by_pair(shapes):
    points, _ = shapes
    aligned, mean = procrustes_align(points[:50])
    for shape, result in zip(points[:50], aligned, strict=True):
        _, expected, _ = procrustes(mean, shape)
        # SciPy also scales to the least distance; ours keeps the unit norm.
        np.testing.assert_allclose(result, expected / np.linalg.norm(expected), atol=1e-6)


def test_alignment_removes_similarities(rng):
    shape = rng.normal(size=(20, 2))
    turns = geometry.rotation(rng.uniform(-3, 3, 10))[..., :2]
    copies = shape @ turns * rng.uniform(0.1, 9, (10, 1, 1)) + rng.normal(size=(10, 1, 2))
    aligned, _ = procrustes_align(copies)
    np.testing.assert_allclose(aligned, np.broadcast_to(aligned[0], aligned.shape), atol=1e-9)


@pytest.mark.parametrize("component", [0, 1])
def test_coefficients_agree_with_scikit_learn(shapes, component):
    points, _ = shapes
    scores, explained = pose_coefficients(points, component)
    flat = procrustes_align(points)[0].reshape(len(points), -1)
    model = PCA(n_components=2, svd_solver="full").fit(flat)
    expected = model.transform(flat)[:, component]
    expected = expected / expected.std()
    sign = np.sign(scores @ expected)
    np.testing.assert_allclose(scores, sign * expected, atol=1e-6)
    assert explained == pytest.approx(model.explained_variance_ratio_[component], abs=1e-9)


def test_the_first_component_is_the_yaw(shapes):
    points, yaw = shapes
    scores, explained = pose_coefficients(points)
    assert abs(np.corrcoef(scores, yaw)[0, 1]) > 0.98
    assert explained > 0.8


def test_balanced_epochs_fill_the_rare_bins(shapes):
    points, _ = shapes
    result = pose_balance(points, bins=9, max_repeats=10)
    before = np.bincount(result.bins, minlength=9)
    after = np.bincount(result.bins[result.indices], minlength=9)
    expected = np.minimum(before.max(), 10 * before)
    np.testing.assert_array_equal(after, expected)
    np.testing.assert_array_equal(np.bincount(result.indices), result.repeats)
    np.testing.assert_array_equal(result.indices[: len(points)], np.arange(len(points)))
    assert result.repeats.min() == 1
    assert result.repeats.max() == 10
    for place in range(9):
        repeats = result.repeats[result.bins == place]
        assert not len(repeats) or np.ptp(repeats) <= 1


def test_it_is_a_function_of_its_arguments(shapes):
    points, _ = shapes
    first, second = pose_balance(points, seed=4), pose_balance(points.copy(), seed=4)
    np.testing.assert_array_equal(first.indices, second.indices)
    moved = pose_balance(points * 3.0 + 7.0, seed=4)
    np.testing.assert_array_equal(first.indices, moved.indices)
    assert not np.array_equal(first.indices, pose_balance(points, seed=5).indices)


def test_turned_heads_of_the_real_training_set_are_repeated(real_data):
    shapes = np.load(real_data / "300w_train_shapes.npz")["shapes"]
    result = pose_balance(shapes)
    # How far the nose tip lies from the middle of the outer eye corners, along their line.
    eyes = shapes[:, 45] - shapes[:, 36]
    nose = shapes[:, 30] - (shapes[:, 45] + shapes[:, 36]) / 2
    turn = np.einsum("ni,ni->n", nose, eyes) / np.einsum("ni,ni->n", eyes, eyes)
    assert abs(np.corrcoef(result.coefficients, turn)[0, 1]) > 0.9
    assert np.abs(turn[result.repeats >= 5]).mean() > 2 * np.abs(turn[result.repeats == 1]).mean()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: pose_balance(s, bins=0), "`bins` and `max_repeats` must be positive"),
        (lambda s: pose_balance(s, component=99), r"`component` must be in \[0, 60\)"),
        (lambda s: pose_balance(s[0]), r"`shapes` must be finite \(N, n, 2\)"),
        (lambda s: pose_balance(np.where(s > 400, np.nan, s)), "must be finite"),
        (lambda s: pose_balance(np.ones((4, 5, 2))), "at least two different points"),
        (lambda s: pose_balance(np.repeat(s[:1], 4, axis=0)), "must differ in more than"),
    ],
)
def test_unusable_arguments_are_refused(shapes, call, message):
    with pytest.raises(ValueError, match=message):
        call(shapes[0])
