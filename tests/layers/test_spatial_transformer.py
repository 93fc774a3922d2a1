"""SpatialTransformer against SciPy, OpenCV, tensorflow-addons' golden file and differences."""

import cv2
import numpy as np
import pytest
from keras import ops
from scipy import ndimage

from contract import run_contract
from contract.gradients import gradients
from tfalign import geometry
from tfalign.geometry.parametric import PARAMETERS, identity_parameters
from tfalign.layers import SpatialTransformer

AFFINE = np.array(
    [[0.813, 0.237, 0.113, -0.171, 0.707, -0.083], [1.313, -0.417, 0.309, 0.523, 1.107, 0.213]],
    "f4",
)
SIMILARITY = np.array([[0.813, 0.307, -0.109, 0.203], [0.517, -0.611, 0.313, 0.023]], "f4")
PROJECTIVE = np.array(
    [[0.7, 0.1, 0.1, -0.2, 0.8, 0.0, 0.15, -0.1], [1.1, 0.2, -0.1, 0.1, 0.9, 0.2, -0.2, 0.3]], "f4"
)
SCALING = np.array([[0.813, 0.707, -0.109, 0.203], [1.313, 1.107, 0.313, -0.223]], "f4")
THETAS = {"affine": AFFINE, "similarity": SIMILARITY, "scaling": SCALING, "projective": PROJECTIVE}


def pictures(rng, batch=2, rows=12, columns=15, channels=3) -> np.ndarray:
    return rng.uniform(size=(batch, rows, columns, channels)).astype("float32")


def matrix3(theta: np.ndarray, kind: str) -> np.ndarray:
    """The 3×3 matrix, written out here once more."""
    if kind == "affine":
        return np.array([theta[:3], theta[3:], [0, 0, 1]], np.float64)
    if kind == "similarity":
        a, b, tx, ty = theta
        return np.array([[a, -b, tx], [b, a, ty], [0, 0, 1]], np.float64)
    if kind == "scaling":
        sx, sy, tx, ty = theta
        return np.array([[sx, 0, tx], [0, sy, ty], [0, 0, 1]], np.float64)
    return np.append(theta, 1.0).reshape(3, 3).astype(np.float64)


def reference(images: np.ndarray, thetas: np.ndarray, kind: str, size, mode: str) -> np.ndarray:
    """Every pixel's place by a 3×3 product in float64, sampled by SciPy."""
    height, width = size
    rows, columns = images.shape[1:3]
    out = np.zeros((len(images), height, width, images.shape[3]))
    for b, j, i in np.ndindex(len(images), height, width):
        corner = [(2 * i + 1) / width - 1, (2 * j + 1) / height - 1, 1.0]
        x, y, depth = matrix3(thetas[b], kind) @ corner
        place = (y / depth + 1) * rows / 2 - 0.5, (x / depth + 1) * columns / 2 - 0.5
        for c in range(images.shape[3]):
            channel = images[b, :, :, c].astype(np.float64)
            out[b, j, i, c] = ndimage.map_coordinates(
                channel, [[place[0]], [place[1]]], order=1, mode=mode
            )[0]
    return out


@pytest.mark.parametrize("kind", PARAMETERS)
def test_agrees_with_scipy(rng, kind) -> None:
    images, theta = pictures(rng), THETAS[kind]
    found = SpatialTransformer((7, 9), kind=kind)([images, theta])
    expected = reference(images, theta, kind, (7, 9), "nearest")
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-5)


def test_agrees_with_opencv_inside_the_image(rng) -> None:
    images = pictures(rng, batch=1, rows=40, columns=50)
    theta = np.array([[0.4, 0.1, 0.05, -0.12, 0.5, 0.1]], "f4")
    found = ops.convert_to_numpy(SpatialTransformer((24, 32))([images, theta]))[0]
    pixel_from_signed = np.array([[25, 0, 25], [0, 20, 20], [0, 0, 1.0]])
    signed_from_output = np.array([[2 / 32, 0, -1], [0, 2 / 24, -1], [0, 0, 1.0]])
    # OpenCV's pixel centres are at whole numbers.
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    back = np.linalg.inv(shift)
    whole = back @ pixel_from_signed @ matrix3(theta[0], "affine") @ signed_from_output @ shift
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(images[0], whole[:2], (32, 24), flags=flags)
    # OpenCV rounds positions to a 32nd of a pixel.
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert np.abs(found - expected).mean() < 0.01


@pytest.mark.parametrize(("border", "fill"), [("zero", "constant"), ("clamp", "nearest")])
def test_agrees_with_tensorflow_addons(repository, border, fill) -> None:
    golden = np.load(repository / "tests/golden/tfa_transform.npz")
    rows, columns = golden["images"].shape[1:3]
    height, width = golden[fill].shape[1:3]
    # Its map leads from output to input indices, with pixel centres at whole numbers.
    half = np.full(2, 0.5, "f4")
    to_pixels = geometry.compose(geometry.translation(half), golden["matrix"])
    to_pixels = geometry.compose(to_pixels, geometry.translation(-half))
    signed_from_input = geometry.compose(
        geometry.translation(np.float32([-1, -1])),
        geometry.scaling(np.float32([2 / columns, 2 / rows])),
    )
    output_from_signed = geometry.compose(
        geometry.scaling(np.float32([width / 2, height / 2])),
        geometry.translation(np.float32([1, 1])),
    )
    theta = geometry.compose(signed_from_input, geometry.compose(to_pixels, output_from_signed))
    layer = SpatialTransformer((height, width), border=border)
    found = layer([golden["images"], np.asarray(theta, "f4").reshape(-1, 6)])
    np.testing.assert_allclose(ops.convert_to_numpy(found), golden[fill], atol=2e-5)


@pytest.mark.parametrize("kind", PARAMETERS)
def test_identity_keeps_the_image(rng, kind) -> None:
    images = pictures(rng)
    theta = np.tile(identity_parameters(kind), (2, 1))
    found = SpatialTransformer((12, 15), kind=kind)([images, theta])
    np.testing.assert_allclose(ops.convert_to_numpy(found), images, atol=2e-6)


@pytest.mark.parametrize("kind", PARAMETERS)
def test_gradients_agree_with_finite_differences(rng, kind) -> None:
    images, theta = pictures(rng, rows=6, columns=7, channels=2), THETAS[kind]
    weights = rng.normal(size=(2, 4, 5, 2)).astype("float32")
    layer = SpatialTransformer((4, 5), kind=kind)
    _, (of_images, of_theta) = gradients(layer, [images, theta], [weights])

    def loss(images: np.ndarray, theta: np.ndarray) -> float:
        return float(np.sum(reference(images, theta, kind, (4, 5), "nearest") * weights))

    for found, array, place in ((of_images, images, 0), (of_theta, theta, 1)):
        expected, step = np.zeros(array.shape), 1e-5
        for index in np.ndindex(array.shape):
            values = []
            for sign in (1, -1):
                moved = [images.astype(np.float64), theta.astype(np.float64)]
                moved[place][index] += sign * step
                values.append(loss(*moved))
            expected[index] = (values[0] - values[1]) / (2 * step)
        # A sample that a step carries over a pixel's centre would differ; none is so near.
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("kind", PARAMETERS)
@pytest.mark.parametrize("value", [0.0, 1e-20, 1e6, -1e6])
def test_degenerate_theta_is_finite(rng, kind, value) -> None:
    images = pictures(rng)
    theta = np.full((2, PARAMETERS[kind]), value, "f4")
    layer = SpatialTransformer((4, 5), kind=kind)
    found = ops.convert_to_numpy(layer([images, theta]))
    assert np.isfinite(found).all()
    assert found.min() >= images.min() - 1e-5
    assert found.max() <= images.max() + 1e-5
    _, reached = gradients(layer, [images, theta], [np.ones((2, 4, 5, 3), "f4")])
    assert all(np.isfinite(gradient).all() for gradient in reached)


def test_half_precision_keeps_positions_exact() -> None:
    # Columns alternate between 0 and 1, so a quarter pixel's shift shows in the value.
    images = np.zeros((1, 4, 240, 1), "f4")
    images[:, :, 1::2] = 1
    theta = np.array([[1, 0, 2 * 0.25 / 240, 0, 1, 0]], "f4")
    found = SpatialTransformer((4, 240), dtype="mixed_float16")([images, theta])
    assert ops.dtype(found) == "float16"
    columns = np.asarray(ops.convert_to_numpy(found), np.float64)[0, 1, 100:230, 0]
    np.testing.assert_allclose(columns, np.where(np.arange(100, 230) % 2, 0.75, 0.25), atol=2e-3)


@pytest.mark.parametrize("border", ["clamp", "zero"])
def test_a_scaling_is_the_affine_map_of_its_matrix(rng, border) -> None:
    """Rows and columns are sampled one after the other there, all at once here."""
    images = rng.integers(0, 256, (2, 12, 15, 3)).astype("uint8")
    sx, sy, tx, ty = SCALING.T
    none = np.zeros(2, "f4")
    affine = np.stack([sx, none, tx, none, sy, ty], axis=1)
    found = SpatialTransformer((7, 9), "scaling", border)([images, SCALING])
    expected = SpatialTransformer((7, 9), "affine", border)([images, affine])
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(expected), atol=1e-3
    )


@pytest.mark.jax
@pytest.mark.parametrize(("kind", "theta"), [("similarity", SIMILARITY), ("scaling", SCALING)])
def test_contract(rng, tmp_path, kind, theta) -> None:
    run_contract(
        SpatialTransformer,
        [pictures(rng), theta],
        {"size": (5, 6), "kind": kind, "border": "zero"},
        tmp_path,
        expected_shape=(2, 5, 6, 3),
        half_tolerance=0.02,
    )


@pytest.mark.parametrize(
    "arguments", [{"size": 0}, {"size": (3,)}, {"kind": "rigid"}, {"border": "wrap"}]
)
def test_wrong_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        SpatialTransformer(**arguments)


@pytest.mark.parametrize("shapes", [[(1, 8, 8, 3)], [(1, 8, 8, 3), (1, 8)], [(1, 8, 8), (1, 6)]])
def test_wrong_inputs(shapes) -> None:
    with pytest.raises(ValueError, match="SpatialTransformer takes"):
        SpatialTransformer()([np.zeros(shape, "f4") for shape in shapes])


def test_a_size_of_0_1_is_width_and_height() -> None:
    """(20, 30) made 30 rows of 20 there; the argument has another name now."""
    old = {"name": "warp", "dtype": "float32", "output_size": [20, 30], "kind": "affine",
           "border": "clamp"}  # fmt: skip
    layer = SpatialTransformer.from_config(old)
    assert layer.compute_output_shape([(1, 8, 8, 3), (1, 6)]) == (1, 30, 20, 3)
    images, theta = np.zeros((1, 8, 8, 3), "f4"), identity_parameters("affine")[None]
    assert SpatialTransformer((20, 30))([images, theta]).shape == (1, 20, 30, 3)


def test_output_size_is_another_name_of_size():
    layer = SpatialTransformer(output_size=(20, 30))
    assert layer.compute_output_shape([(None, 8, 8, 3), (None, 6)]) == (None, 20, 30, 3)
    again = SpatialTransformer.from_config(layer.get_config())
    assert again.size == (20, 30)
