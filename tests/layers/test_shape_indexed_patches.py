"""ShapeIndexedPatches against patches and position gradients written out pixel by pixel."""

import numpy as np
import pytest
from keras import ops
from layers.image_reading import gradient_image, read

from contract import run_contract
from contract.gradients import gradients
from tfalign.layers import ShapeIndexedPatches


def pixels_of(landmark: np.ndarray, size: int, columns: int, rows: int):
    """Yields (i, j, x, y): where each pixel of a patch lies, pixel centres at integers."""
    for i, j in np.ndindex(size, size):
        x = float(landmark[0]) * columns - 0.5 + j - (size - 1) / 2
        y = float(landmark[1]) * rows - 0.5 + i - (size - 1) / 2
        yield i, j, x, y


@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize("side", [12, 24])
def test_patches_agree_with_brute_force_at_any_scale(rng, size: int, side: int) -> None:
    images = rng.normal(size=(2, side, side + 3, 1)).astype("float32")
    landmarks = rng.uniform(-0.1, 1.1, (2, 3, 2)).astype("float32")
    found = ops.convert_to_numpy(ShapeIndexedPatches(size)([images, landmarks]))
    assert found.shape == (2, 3, size, size, 1)
    for b, n in np.ndindex(2, 3):
        for i, j, x, y in pixels_of(landmarks[b, n], size, side + 3, side):
            np.testing.assert_allclose(found[b, n, i, j], read(images[b], x, y), atol=1e-5)


def test_position_gradient_is_equations_17_and_21(rng) -> None:
    size, rows, columns = 5, 14, 17
    images = rng.normal(size=(2, rows, columns, 1)).astype("float32")
    landmarks = rng.uniform(0.0, 1.0, (2, 4, 2)).astype("float32")
    upstream = rng.normal(size=(2, 4, size, size, 1)).astype("float32")
    _, (_, found) = gradients(ShapeIndexedPatches(size), [images, landmarks], [upstream])
    for b, n in np.ndindex(2, 4):
        slope = gradient_image(images[b, :, :, 0])
        expected = np.zeros(2)
        for i, j, x, y in pixels_of(landmarks[b, n], size, columns, rows):
            expected += upstream[b, n, i, j, 0] * read(slope, x, y)
        # From pixels to [0, 1].
        np.testing.assert_allclose(found[b, n], expected * (columns, rows), rtol=1e-3, atol=1e-2)


def test_image_gradient_is_equation_22(rng) -> None:
    """Linear in the image: the gradient's product with any image is the patches' product."""
    images, other = rng.normal(size=(2, 1, 9, 9, 1)).astype("float32")
    landmarks = rng.uniform(0.0, 1.0, (1, 3, 2)).astype("float32")
    upstream = rng.normal(size=(1, 3, 4, 4, 1)).astype("float32")
    layer = ShapeIndexedPatches(4)
    _, (found, _) = gradients(layer, [images, landmarks], [upstream])
    expected = np.sum(ops.convert_to_numpy(layer([other, landmarks])) * upstream)
    np.testing.assert_allclose(np.sum(found * other), expected, rtol=1e-4)


def test_stopped_positions_get_no_gradient(rng) -> None:
    images = rng.normal(size=(1, 9, 9, 1)).astype("float32")
    landmarks = rng.uniform(0.0, 1.0, (1, 3, 2)).astype("float32")
    layer = ShapeIndexedPatches(3, stop_position_gradient=True)
    _, (of_images, found) = gradients(
        layer, [images, landmarks], [np.ones((1, 3, 3, 3, 1), "float32")]
    )
    assert np.any(of_images)
    assert found is None or not np.any(found)


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    images = rng.normal(size=(2, 12, 10, 1)).astype("float32")
    landmarks = rng.uniform(0.0, 1.0, (2, 3, 2)).astype("float32")
    for stop in (False, True):
        folder = tmp_path / str(stop)
        folder.mkdir()
        run_contract(
            ShapeIndexedPatches,
            [images, landmarks],
            {"size": 6, "stop_position_gradient": stop},
            folder,
            expected_shape=(2, 3, 6, 6, 1),
        )


def test_wrong_size() -> None:
    with pytest.raises(ValueError, match=r"`size` must be positive\. Received: size="):
        ShapeIndexedPatches(0)


def test_wrong_inputs() -> None:
    with pytest.raises(ValueError, match="input_shape"):
        ShapeIndexedPatches(3)([np.zeros((1, 8, 8), "float32"), np.zeros((1, 2, 2), "float32")])
