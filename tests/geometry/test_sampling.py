"""Sampling and warping against SciPy and OpenCV; gradients against finite differences."""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest
from keras import ops
from scipy.ndimage import map_coordinates

from tfalign import geometry as g


@pytest.fixture
def images(rng):
    return rng.uniform(size=(2, 13, 17, 3)).astype("float32")


@pytest.fixture
def points(rng):
    return rng.uniform([-4, -4], [21, 17], (2, 200, 2)).astype("float32")


@pytest.mark.parametrize(("border", "mode"), [("clamp", "nearest"), ("zero", "constant")])
def test_sampling_equals_scipy(images, points, border, mode):
    got = ops.convert_to_numpy(g.sample_bilinear(images, points, border))
    padded = np.pad(
        images, ((0, 0), (8, 8), (8, 8), (0, 0)), mode="constant" if mode == "constant" else "edge"
    )
    for b in range(2):
        for c in range(3):
            # SciPy's own "constant" border does not fade; zeros around the image do.
            where = [points[b, :, 1] - 0.5 + 8, points[b, :, 0] - 0.5 + 8]
            expected = map_coordinates(padded[b, :, :, c], where, order=1, mode="nearest")
            np.testing.assert_allclose(got[b, :, c], expected, atol=2e-5)


def test_pixel_centers_give_pixels(images):
    xs, ys = np.meshgrid(np.arange(17) + 0.5, np.arange(13) + 0.5)
    grid = np.stack([xs, ys], axis=-1).reshape(1, -1, 2).repeat(2, axis=0).astype("float32")
    got = ops.convert_to_numpy(g.sample_bilinear(images, grid)).reshape(images.shape)
    np.testing.assert_array_equal(got, images)


def test_integer_images(points):
    image = np.arange(2 * 5 * 6, dtype="uint8").reshape(2, 5, 6, 1)
    got = g.sample_bilinear(image, points)
    expected = g.sample_bilinear(image.astype("float32"), points)
    np.testing.assert_array_equal(ops.convert_to_numpy(got), ops.convert_to_numpy(expected))


@pytest.mark.parametrize(
    ("border", "flag"), [("clamp", cv2.BORDER_REPLICATE), ("zero", cv2.BORDER_CONSTANT)]
)
def test_warp_equals_opencv(rng, border, flag):
    # Smooth pictures: OpenCV rounds positions to 1/32 of a pixel.
    image = cv2.GaussianBlur(rng.uniform(size=(40, 50, 3)).astype("float32"), (0, 0), 3)
    matrix = np.array([[0.9, -0.3, 9.3], [0.25, 1.1, -6.1]], "float32")
    got = ops.convert_to_numpy(g.warp_affine(image[None], matrix[None], (24, 30), border))[0]
    shift = g.translation(np.array([0.5, 0.5]))
    index_map = g.compose(g.invert(shift), g.compose(matrix.astype("float64"), shift))
    expected = cv2.warpAffine(
        image, index_map, (30, 24), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=flag
    )
    assert np.abs(got - expected).max() < 0.02
    assert np.abs(got - expected).mean() < 0.001


def test_identity_warp(images):
    got = g.warp_affine(images, g.identity(2), (13, 17))
    np.testing.assert_array_equal(ops.convert_to_numpy(got), images)


def test_a_bright_pixel_and_its_point_move_together(rng):
    # The warp's direction: the pixel must be found where the inverse map takes its centre.
    image = np.zeros((1, 60, 60, 1), "float32")
    image[0, 22, 35] = 1.0
    turn = g.about(g.rotation(np.array([0.4], "float32")), np.array([[30.0, 30.0]], "float32"))
    warped = ops.convert_to_numpy(g.warp_affine(image, turn, (60, 60), "zero"))[0, ..., 0]
    ys, xs = np.mgrid[:60, :60] + 0.5
    found = np.array([(warped * xs).sum(), (warped * ys).sum()]) / warped.sum()
    expected = g.transform_points(g.invert(turn), np.array([[[35.5, 22.5]]], "float32"))[0, 0]
    np.testing.assert_allclose(found, expected, atol=0.2)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs 64-bit tensors")
@pytest.mark.parametrize("border", ["clamp", "zero"])
def test_position_gradient_equals_finite_differences(images, points, rng, gradient, border):
    image, position = images.astype("float64"), points.astype("float64")
    weight = rng.normal(size=(2, 200, 3))

    def values(where):
        sampled = g.sample_bilinear(ops.convert_to_tensor(image), where, border)
        return ops.sum(sampled * weight, axis=-1)

    (got,) = gradient(lambda where: ops.sum(values(where)), position)
    step = 1e-6
    # The surface has a kink at every pixel centre: a difference across one means nothing.
    distance = np.abs(position - 0.5 - np.round(position - 0.5))
    smooth = (distance > 10 * step).all(axis=-1)
    assert smooth.mean() > 0.95
    for axis in range(2):
        move = step * np.eye(2)[axis]
        expected = ops.convert_to_numpy(values(position + move) - values(position - move))
        expected = expected / (2 * step)
        np.testing.assert_allclose(got[..., axis][smooth], expected[smooth], atol=1e-6)


def test_image_gradient_counts_each_sample_once(images, points, gradient):
    (got,) = gradient(lambda image: ops.sum(g.sample_bilinear(image, points, "clamp")), images)
    np.testing.assert_allclose(got.sum(), points[..., 0].size * 3, rtol=1e-5)


def test_far_points_are_defined(images):
    far = np.array([[[1e9, -1e9], [-1e9, 1e9], [8.0, 6.0]]] * 2, "float32")
    clamped = ops.convert_to_numpy(g.sample_bilinear(images, far, "clamp"))
    np.testing.assert_array_equal(clamped[:, 0], images[:, 0, -1])
    np.testing.assert_array_equal(clamped[:, 1], images[:, -1, 0])
    assert not ops.convert_to_numpy(g.sample_bilinear(images, far, "zero"))[:, :2].any()


class Sampler(keras.layers.Layer):
    """The way into a functional model: unknown batch sizes exist inside a layer's call only."""

    def call(self, inputs):
        return g.sample_bilinear(*inputs)

    def compute_output_shape(self, input_shape):
        images, points = input_shape
        return (*points[:2], images[-1])


def test_inside_a_functional_model(images, points):
    symbols = [keras.Input((13, 17, 3)), keras.Input((200, 2))]
    model = keras.Model(symbols, Sampler()(symbols))
    assert model.output_shape == (None, 200, 3)
    expected = ops.convert_to_numpy(g.sample_bilinear(images, points))
    np.testing.assert_allclose(model.predict([images, points], verbose=0), expected, atol=1e-6)


def test_bad_border(images, points):
    with pytest.raises(ValueError, match="Received: border='wrap'"):
        g.sample_bilinear(images, points, "wrap")


def test_points_of_whole_numbers_are_read_as_floats(rng):
    image = rng.uniform(size=(1, 6, 7, 2)).astype("float32")
    points = rng.integers(0, 6, (1, 5, 2))
    found = ops.convert_to_numpy(g.sample_bilinear(image, points))
    expected = ops.convert_to_numpy(g.sample_bilinear(image, points.astype("float32")))
    np.testing.assert_array_equal(found, expected)
