"""The whole descriptor against its definition, from pixels to 128 numbers."""

import numpy as np
import pytest
from keras import ops
from scipy.ndimage import gaussian_filter1d

from contract import run_contract
from tfalign.layers import ShapeIndexedSIFT


def brute_force(image: np.ndarray, x: float, y: float, patch: int, sigma: float) -> np.ndarray:
    """One descriptor of a grey image at a landmark in pixels, in float64."""
    dy, dx = np.zeros_like(image), np.zeros_like(image)
    dx[:, 1:-1] = (image[:, 2:] - image[:, :-2]) / 255
    dy[1:-1] = (image[2:] - image[:-2]) / 255
    turn = np.arctan2(dy, dx) / (2 * np.pi) * 8
    histogram = np.zeros((4, 4, 8))
    for o in range(8):
        distance = np.abs((turn - o + 4) % 8 - 4)
        response = np.hypot(dx, dy) * np.maximum(0, 1 - distance)
        for axis in (0, 1):
            response = gaussian_filter1d(
                response, sigma, axis, mode="constant", radius=int(np.ceil(3 * sigma))
            )
        # Whole-pixel cells: each is a plain sum.
        for row, column in np.ndindex(4, 4):
            top = int(y - patch / 2 + row * patch / 4)
            left = int(x - patch / 2 + column * patch / 4)
            rows, columns = (slice(start, start + patch // 4) for start in (top, left))
            histogram[row, column, o] = response[rows, columns].sum()
    values = histogram.ravel()
    values = np.minimum(values / np.linalg.norm(values), 0.2)
    return values / np.linalg.norm(values)


@pytest.mark.parametrize("patch", [32, 16])
def test_agrees_with_brute_force(rng, patch) -> None:
    image = rng.integers(0, 256, (64, 72)).astype("float32")
    points = np.array([[20, 30], [36, 16], [52, 44]])
    landmarks = (points / [72, 64]).astype("float32")[None]
    got = ShapeIndexedSIFT(patch)([image[None, :, :, None], landmarks])
    expected = [brute_force(image.astype(np.float64), x, y, patch, 2.0) for x, y in points]
    assert got.shape == (1, 3, 128)
    np.testing.assert_allclose(ops.convert_to_numpy(got)[0], expected, atol=1e-4)


def test_a_turned_image_turns_the_descriptor(rng) -> None:
    image = rng.integers(0, 256, (1, 40, 40, 1)).astype("float32")
    centre = np.full((1, 1, 2), 0.5, "float32")
    layer = ShapeIndexedSIFT(16)
    plain = ops.convert_to_numpy(layer([image, centre])).reshape(4, 4, 8)
    # A quarter turn from the x axis towards the y axis (downwards).
    turned = np.rot90(image, -1, axes=(1, 2)).copy()
    got = ops.convert_to_numpy(layer([turned, centre])).reshape(4, 4, 8)
    expected = np.roll(np.rot90(plain, -1, axes=(0, 1)), 2, axis=-1)
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    run_contract(
        ShapeIndexedSIFT,
        [
            rng.integers(0, 256, (2, 20, 24, 3)).astype("float32"),
            rng.uniform(0, 1, (2, 5, 2)).astype("float32"),
        ],
        {"patch": 12, "epsilon": 1.5, "orientations": 4, "sigma": 1.0, "clip": 0.3},
        tmp_path,
        expected_shape=(2, 5, 64),
    )


@pytest.mark.parametrize("arguments", [{"patch": 30}, {"sigma": -1}, {"orientations": 1}])
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        ShapeIndexedSIFT(**arguments)
