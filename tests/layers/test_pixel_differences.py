"""PixelDifferences against Equations 18–20 written out."""

import numpy as np
import pytest
from keras import ops
from layers.image_reading import gradient_image, read

from contract import run_contract
from contract.gradients import gradients
from tfalign.layers import PixelDifferences

ROWS, COLUMNS, N = 15, 18, 4


def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    images = rng.normal(size=(2, ROWS, COLUMNS, 1)).astype("float32")
    return images, rng.uniform(-0.1, 1.1, (2, N, 2)).astype("float32")


def places(layer: PixelDifferences, landmark: np.ndarray, n: int, pair: int) -> np.ndarray:
    """Where the two pixels of a pair lie, (2, 2), pixel centres at integers, inside the image."""
    at = (landmark + layer.offsets[n, pair]) * (COLUMNS, ROWS) - 0.5
    return np.clip(at, 0, (COLUMNS - 1, ROWS - 1))


def test_differences_are_equation_18(rng) -> None:
    images, landmarks = data(rng)
    layer = PixelDifferences(3, radius=0.2, seed=4)
    found = ops.convert_to_numpy(layer([images, landmarks]))
    assert found.shape == (2, N, 3)
    for b, n, pair in np.ndindex(2, N, 3):
        first, second = places(layer, landmarks[b, n], n, pair)
        expected = read(images[b], *first) - read(images[b], *second)
        np.testing.assert_allclose(found[b, n, pair], expected[0], atol=1e-5)


def test_position_gradient_is_equation_19(rng) -> None:
    images, landmarks = data(rng)
    layer = PixelDifferences(3, radius=0.2, seed=4)
    upstream = rng.normal(size=(2, N, 3)).astype("float32")
    _, (_, found) = gradients(layer, [images, landmarks], [upstream])
    for b, n in np.ndindex(2, N):
        slope, expected = gradient_image(images[b, :, :, 0]), np.zeros(2)
        for pair in range(3):
            first, second = places(layer, landmarks[b, n], n, pair)
            expected += upstream[b, n, pair] * (read(slope, *first) - read(slope, *second))
        np.testing.assert_allclose(found[b, n], expected * (COLUMNS, ROWS), rtol=1e-3, atol=1e-3)


def test_image_gradient_is_equation_20(rng) -> None:
    """One pair on one landmark: +1 shared out around the first pixel, −1 around the second."""
    images, landmarks = data(rng)
    layer = PixelDifferences(1, radius=0.3, seed=2)
    upstream = np.zeros((2, N, 1), "float32")
    upstream[1, 2] = 1
    _, (found, _) = gradients(layer, [images, landmarks], [upstream])
    expected = np.zeros((ROWS, COLUMNS))
    for sign, (x, y) in zip((1, -1), places(layer, landmarks[1, 2], 2, 0), strict=True):
        left, top = int(x), int(y)
        for row, column in np.ndindex(2, 2):
            share = (1 - abs(x - left - column)) * (1 - abs(y - top - row))
            cell = min(top + row, ROWS - 1), min(left + column, COLUMNS - 1)
            expected[cell] += sign * share
    np.testing.assert_allclose(found[1, :, :, 0], expected, atol=1e-5)
    assert not np.any(found[0])


def test_offsets_follow_the_seed_and_fill_the_disc() -> None:
    made = [PixelDifferences(200, 0.2, seed) for seed in (1, 1, 2)]
    for layer in made:
        layer.build([(None, ROWS, COLUMNS, 1), (None, N, 2)])
    np.testing.assert_array_equal(made[0].offsets, made[1].offsets)
    assert not np.array_equal(made[0].offsets, made[2].offsets)
    distance = np.linalg.norm(made[0].offsets, axis=-1)
    assert distance.max() <= 0.2
    # Uniform in the disc: half of its area lies within 1 / √2 of the radius.
    assert np.mean(distance < 0.2 / np.sqrt(2)) == pytest.approx(0.5, abs=0.05)


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    run_contract(
        PixelDifferences,
        list(data(rng)),
        {"pairs": 4, "radius": 0.1, "seed": 3},
        tmp_path,
        expected_shape=(2, N, 4),
    )


def test_stopped_positions_get_no_gradient(rng) -> None:
    layer = PixelDifferences(3, stop_position_gradient=True)
    assert PixelDifferences.from_config(layer.get_config()).stop_position_gradient
    _, (_, found) = gradients(layer, list(data(rng)), [np.ones((2, N, 3), "float32")])
    assert found is None or not np.any(found)


@pytest.mark.parametrize("arguments", [{"pairs": 0}, {"radius": 0.0}])
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="must be positive. Received"):
        PixelDifferences(**arguments)


def test_refuses_colour() -> None:
    inputs = [np.zeros((1, 8, 8, 3), "float32"), np.zeros((1, 4, 2), "float32")]
    with pytest.raises(ValueError, match="PixelDifferences takes"):
        PixelDifferences()(inputs)
