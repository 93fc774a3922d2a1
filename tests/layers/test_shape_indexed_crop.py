"""ShapeIndexedCrop against a crop written out sample by sample."""

import cv2
import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from contract.gradients import gradients
from tfalign.layers import ShapeIndexedCrop


def brute_force(features: np.ndarray, landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolates every sample of every patch between its own four cells, in float64."""
    batch, rows, columns, channels = features.shape
    height, width = size
    patches = np.zeros((batch, landmarks.shape[1], height, width, channels))
    for b, n, i, j in np.ndindex(patches.shape[:4]):
        # Where the sample lies, with the centre of cell 0 at 0.
        x = landmarks[b, n, 0].astype(np.float64) * columns - 0.5 + j - (width - 1) / 2
        y = landmarks[b, n, 1].astype(np.float64) * rows - 0.5 + i - (height - 1) / 2
        left, top = int(np.floor(x)), int(np.floor(y))
        for row, column in np.ndindex(2, 2):
            share = (1 - abs(x - left - column)) * (1 - abs(y - top - row))
            cell = np.clip(top + row, 0, rows - 1), np.clip(left + column, 0, columns - 1)
            patches[b, n, i, j] += share * features[b, cell[0], cell[1]]
    return patches.reshape(batch, landmarks.shape[1], -1)


def crop(features: np.ndarray, landmarks: np.ndarray, *args, **kwargs) -> np.ndarray:
    return ops.convert_to_numpy(ShapeIndexedCrop(*args, **kwargs)([features, landmarks]))


def maps(rng: np.random.Generator, batch=2, rows=9, columns=11, channels=3) -> np.ndarray:
    return rng.normal(size=(batch, rows, columns, channels)).astype("float32")


@pytest.mark.parametrize("size", [1, 2, 5, (3, 4), (6, 1), (12, 13)])
@pytest.mark.parametrize(("batch", "n", "channels"), [(1, 1, 1), (1, 7, 3), (3, 4, 2)])
def test_agrees_with_brute_force(rng, size, batch, n, channels) -> None:
    features = maps(rng, batch=batch, channels=channels)
    # From outside the map on one side to outside on the other.
    landmarks = rng.uniform(-0.4, 1.4, (batch, n, 2)).astype("float32")
    expected = brute_force(features, landmarks, (size, size) if isinstance(size, int) else size)
    np.testing.assert_allclose(crop(features, landmarks, size), expected, atol=1e-5)
    layer = ShapeIndexedCrop(size)
    layer.gathers = False
    found = ops.convert_to_numpy(layer([features, landmarks]))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_agrees_with_opencv_inside_the_map(rng) -> None:
    features = maps(rng, batch=1, rows=20, columns=24, channels=1)
    landmarks = rng.uniform(0.2, 0.8, (1, 30, 2)).astype("float32")
    patches = crop(features, landmarks, 5).reshape(30, 5, 5)
    for landmark, patch in zip(landmarks[0], patches, strict=True):
        # OpenCV's coordinates put the centre of cell 0 at 0.
        center = (float(landmark[0] * 24 - 0.5), float(landmark[1] * 20 - 0.5))
        expected = cv2.getRectSubPix(features[0, :, :, 0], (5, 5), center)
        np.testing.assert_allclose(patch, expected, atol=1e-5)


def test_centre_of_a_cell_reads_that_cell_and_its_neighbours(rng) -> None:
    features = maps(rng, batch=1, rows=8, columns=16, channels=2)
    landmarks = np.array([[[(5 + 0.5) / 16, (3 + 0.5) / 8]]], "float32")
    np.testing.assert_allclose(
        crop(features, landmarks, 3).reshape(3, 3, 2), features[0, 2:5, 4:7], atol=1e-6
    )


@pytest.mark.parametrize("far", [-1e30, -5.0, 6.0, 1e30])
def test_far_outside_reads_the_corner(rng, far: float) -> None:
    features = maps(rng, batch=1)
    landmarks = np.full((1, 1, 2), far, "float32")
    corner = features[0, 0, 0] if far < 0 else features[0, -1, -1]
    patch = crop(features, landmarks, 5).reshape(25, 3)
    np.testing.assert_allclose(patch, np.tile(corner, (25, 1)), atol=1e-6)


def test_gradients_agree_with_finite_differences(rng) -> None:
    features = maps(rng, batch=2, rows=6, columns=7, channels=2)
    landmarks = rng.uniform(-0.1, 1.1, (2, 3, 2))
    # Away from cell borders, where the bilinear surface has an edge.
    cells = landmarks * (7, 6)
    landmarks = ((np.floor(cells) + rng.uniform(0.1, 0.4, cells.shape)) / (7, 6)).astype("float32")
    weights = rng.normal(size=(2, 3, 3 * 3 * 2)).astype("float32")
    _, (of_features, of_landmarks) = gradients(
        ShapeIndexedCrop(3), [features, landmarks], [weights]
    )

    def loss(features: np.ndarray, landmarks: np.ndarray) -> float:
        return float(np.sum(brute_force(features, landmarks, (3, 3)) * weights))

    for found, array, place in ((of_features, features, 0), (of_landmarks, landmarks, 1)):
        expected = np.zeros(array.shape)
        step = 1e-3
        for index in np.ndindex(array.shape):
            values = []
            for sign in (1, -1):
                moved = [features.astype(np.float64), landmarks.astype(np.float64)]
                moved[place][index] += sign * step
                values.append(loss(*moved))
            expected[index] = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_stop_gradient_stops_positions_alone(rng) -> None:
    inputs = [maps(rng), rng.uniform(0.2, 0.8, (2, 3, 2)).astype("float32")]
    weights = [np.ones((2, 3, 5 * 5 * 3), "float32")]
    _, (of_features, of_landmarks) = gradients(
        ShapeIndexedCrop(stop_position_gradient=True), inputs, weights
    )
    assert np.any(of_features)
    assert of_landmarks is None or not np.any(of_landmarks)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_keeps_positions_exact(policy: str) -> None:
    # Cells alternate between 0 and 1, so a sample shows the fraction of its position.
    features = np.zeros((1, 112, 112, 1), "float32")
    features[:, :, 1::2] = 1
    x = np.arange(100, 111) + 0.25
    landmarks = np.stack([(x + 0.5) / 112, np.full(11, 0.5)], axis=-1)[None].astype("float32")
    expected = np.where(np.arange(100, 111) % 2, 0.75, 0.25)
    found = ops.cast(ShapeIndexedCrop(1, dtype=policy)([features, landmarks]), "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(found)[0, :, 0], expected, atol=4e-3)


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    run_contract(
        ShapeIndexedCrop,
        [maps(rng, batch=3), rng.uniform(-0.1, 1.1, (3, 4, 2)).astype("float32")],
        {"size": (3, 4)},
        tmp_path,
        expected_shape=(3, 4, 3 * 4 * 3),
        # Features have 8 bits in bfloat16; positions rounded as coarsely would deviate by more.
        half_tolerance=0.02,
    )


def test_open_map_size(rng) -> None:
    inputs = [keras.Input((None, None, 3)), keras.Input((4, 2))]
    model = keras.Model(inputs, ShapeIndexedCrop(3)(inputs))
    features, landmarks = maps(rng), rng.uniform(0, 1, (2, 4, 2)).astype("float32")
    np.testing.assert_allclose(
        model([features, landmarks]), brute_force(features, landmarks, (3, 3)), atol=1e-5
    )


@pytest.mark.parametrize("size", [0, (3, 0), -1])
def test_wrong_size(size) -> None:
    with pytest.raises(ValueError, match=r"`size` must be positive\. Received: size="):
        ShapeIndexedCrop(size)


@pytest.mark.parametrize(
    "shapes",
    [[(1, 8, 8, 3)], [(1, 8, 8, 3), (1, 4, 3)], [(1, 8, 8), (1, 4, 2)], [(1, 8, 8, 3), (1, 2)]],
)
def test_wrong_inputs(shapes) -> None:
    with pytest.raises(ValueError, match="ShapeIndexedCrop takes"):
        ShapeIndexedCrop()([np.zeros(shape, "float32") for shape in shapes])
