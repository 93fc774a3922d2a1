"""Box histograms and their central difference against loops over landmarks and pixels."""

import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from contract.gradients import gradients
from tfalign.layers import BoxHistogram

HEIGHT, WIDTH, MAPS = 24, 30, 3


def integral(maps: np.ndarray) -> np.ndarray:
    """(b, H, W, C) → (b, H + 1, W + 1, C)."""
    return np.pad(maps, ((0, 0), (1, 0), (1, 0), (0, 0))).cumsum(1).cumsum(2)


def overlap(low: float, high: float, count: int) -> np.ndarray:
    """How much of each pixel [i, i + 1) lies in [low, high)."""
    pixels = np.arange(count)
    return np.clip(np.minimum(pixels + 1, high) - np.maximum(pixels, low), 0, None)


def describe(maps: np.ndarray, x: float, y: float, patch: int, clip: float | None) -> np.ndarray:
    """The descriptor of one landmark in pixels, pixel by pixel, in float64."""
    cell, parts = patch / 4, []
    for row, column in np.ndindex(4, 4):
        left, top = x - patch / 2 + column * cell, y - patch / 2 + row * cell
        area = np.outer(overlap(top, top + cell, HEIGHT), overlap(left, left + cell, WIDTH))
        parts.append(np.einsum("yx,yxc->c", area, maps))
    values = np.concatenate(parts)
    if clip is None:
        return values

    def length(v: np.ndarray) -> float:
        return np.sqrt(max((v * v).sum(), 1e-10)) + 1e-5

    values = np.minimum(values / length(values), clip)
    return values / length(values)


@pytest.fixture
def data(rng) -> tuple[np.ndarray, np.ndarray]:
    maps = rng.exponential(size=(2, HEIGHT, WIDTH, MAPS))
    # From outside the image on one side to outside on the other.
    return maps, rng.uniform(-0.4, 1.4, (2, 6, 2)).astype("float32")


@pytest.mark.parametrize("patch", [8, 16, 32])
@pytest.mark.parametrize("clip", [0.2, None])
def test_agrees_with_brute_force(data, patch, clip) -> None:
    maps, landmarks = data
    got = BoxHistogram(patch, clip=clip)([integral(maps).astype("float32"), landmarks])
    size = np.array([WIDTH, HEIGHT])
    expected = np.array(
        [
            [describe(image, *(point * size), patch, clip) for point in points]
            for image, points in zip(maps, landmarks.astype(np.float64), strict=True)
        ]
    )
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ops.convert_to_numpy(got), expected, atol=1e-5 * scale)


def jacobian(layer, integrals: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(n, features, n, 2) of the first image, one output number at a time."""
    shape = layer.compute_output_shape([integrals.shape, landmarks.shape])
    whole = np.zeros((*shape[1:], *landmarks.shape[1:]))
    for landmark, feature in np.ndindex(*shape[1:]):
        cotangent = np.zeros(shape, "float32")
        cotangent[0, landmark, feature] = 1
        whole[landmark, feature] = gradients(layer, [integrals, landmarks], [cotangent])[1][1][0]
    return whole


@pytest.mark.parametrize("epsilon", [2.0, 0.7])
def test_backward_is_the_central_difference_and_block_diagonal(rng, epsilon) -> None:
    maps = rng.exponential(size=(1, HEIGHT, WIDTH, 2))
    landmarks = rng.uniform(0.2, 0.8, (1, 3, 2)).astype("float32")
    layer = BoxHistogram(8, epsilon)
    layer.build([(1, HEIGHT + 1, WIDTH + 1, 2), landmarks.shape])
    got = jacobian(layer, integral(maps).astype("float32"), landmarks)
    size = np.array([WIDTH, HEIGHT])
    expected = np.zeros_like(got)
    for landmark, axis in np.ndindex(3, 2):
        point, step = landmarks[0, landmark].astype(np.float64) * size, np.zeros(2)
        step[axis] = epsilon
        ahead, behind = (describe(maps[0], *(point + s), 8, 0.2) for s in (step, -step))
        # By landmark in [0, 1], as the layer takes it.
        expected[landmark, :, landmark, axis] = (ahead - behind) / (2 * epsilon) * size[axis]
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())
    for one, other in np.ndindex(3, 3):
        if one != other:
            assert not got[one, :, other].any()


def test_images_get_no_gradient(data) -> None:
    maps, landmarks = data
    integrals = integral(maps).astype("float32")
    layer = BoxHistogram(8)
    cotangents = [np.ones((2, 6, 16 * MAPS), "float32")]
    of_integrals, of_landmarks = gradients(layer, [integrals, landmarks], cotangents)[1]
    assert of_integrals is None or not of_integrals.any()
    assert of_landmarks.any()


def test_a_flat_patch_describes_as_zero() -> None:
    integrals = np.zeros((1, HEIGHT + 1, WIDTH + 1, MAPS), "float32")
    got = ops.convert_to_numpy(BoxHistogram(8)([integrals, np.full((1, 1, 2), 0.5, "float32")]))
    assert not got.any()


@pytest.mark.jax
def test_contract(data, tmp_path) -> None:
    maps, landmarks = data
    run_contract(
        BoxHistogram,
        [integral(maps).astype("float32"), landmarks],
        {"patch": 12, "epsilon": 1.5, "clip": 0.3},
        tmp_path,
        expected_shape=(2, 6, 16 * MAPS),
    )


@pytest.mark.parametrize("arguments", [{"patch": 6}, {"patch": 0}, {"epsilon": 0}, {"clip": 0}])
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        BoxHistogram(**arguments)


def test_refuses_other_inputs() -> None:
    with pytest.raises(ValueError, match="input_shape"):
        BoxHistogram()(keras.Input((9, 9, 8)))
