"""HOG against OpenCV's."""

import cv2
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from tfalign.data.readers import w300
from tfalign.layers import HOG
from tfalign.layers.hog import area_average


def opencv(image: np.ndarray, gamma: bool, bins: int = 9) -> np.ndarray:
    size, eight = (64, 64), (8, 8)
    descriptor = cv2.HOGDescriptor(size, (16, 16), eight, eight, bins, 1, -1, 0, 0.2, gamma)
    return descriptor.compute(image).ravel()


def compute(images: np.ndarray, **arguments) -> np.ndarray:
    return ops.convert_to_numpy(HOG(**arguments)(images.astype("float32")))


def real_faces(real_data, count: int = 12) -> np.ndarray:
    reader = w300.read(real_data / "300w_subset", splits=["helen/trainset"])
    faces = []
    for record in reader.records[:count]:
        sample = reader.load(record)
        x0, y0, x1, y1 = sample.box.round().astype(int).clip(0)
        face = np.ascontiguousarray(sample.image[y0:y1, x0:x1])
        faces.append(cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA))
    return np.stack(faces)


@pytest.mark.parametrize("gamma", [True, False])
def test_agrees_with_opencv_on_real_faces(real_data, gamma: bool) -> None:
    faces = real_faces(real_data)
    grey = np.stack([cv2.cvtColor(face, cv2.COLOR_RGB2GRAY) for face in faces])
    expected = np.stack([opencv(face, gamma) for face in grey])
    got = compute(grey[..., None], gamma_correction=gamma)
    assert got.shape == (len(faces), 1764)
    difference = np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert difference.max() < 1e-3
    assert np.abs(got - expected).max() < 1e-3 * expected.max()


def test_agrees_with_opencv_in_colour(real_data) -> None:
    faces = real_faces(real_data)
    bgr = np.ascontiguousarray(faces[..., ::-1])
    expected = np.stack([opencv(face, gamma=False) for face in bgr])
    got = compute(faces, gamma_correction=False)
    assert np.abs(got - expected).max() < 1e-3 * expected.max()


def test_extreme_pixels_agree_with_opencv(rng) -> None:
    # Black and white only: clipped histograms, flat blocks, every octant.
    image = np.zeros((64, 64), np.uint8)
    image[:40] = 255 * rng.integers(0, 2, (40, 64))
    got = compute(image[None, :, :, None])
    np.testing.assert_allclose(got[0], opencv(image, gamma=True), atol=1e-3)


def test_larger_images_are_averaged_by_area(rng) -> None:
    large = rng.integers(0, 256, (1, 112, 150, 1)).astype("float32")
    small = cv2.resize(large[0, :, :, 0], (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(compute(large), compute(small[None, :, :, None]), atol=1e-4)


def test_area_average_keeps_the_mean(rng) -> None:
    signal = rng.normal(size=100)
    np.testing.assert_allclose((area_average(100, 64) @ signal).mean(), signal.mean())


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    run_contract(
        HOG,
        rng.integers(0, 256, (2, 40, 36, 3)).astype("float32"),
        {
            "size": 32,
            "block": 8,
            "stride": 4,
            "cell": 4,
            "bins": 6,
            "gamma_correction": False,
            "clip": 0.3,
        },
        tmp_path,
        expected_shape=(2, 7 * 7 * 4 * 6),
        # A choice between channels or orientations may fall the other way in the last bit.
        gradient_tolerance=2e-3,
    )


@pytest.mark.parametrize(
    "arguments", [{"cell": 5}, {"stride": 7}, {"bins": 1}, {"clip": 0.0}, {"size": 8}]
)
def test_refuses_arguments(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        HOG(**arguments)


def test_refuses_small_images_and_other_channels() -> None:
    for shape in ((1, 63, 64, 1), (1, 64, 64, 2)):
        with pytest.raises(ValueError, match="input_shape"):
            HOG()(np.zeros(shape, "float32"))


def test_opencvs_constructor_of_five_arguments_corrects_no_gamma(rng) -> None:
    image = cv2.GaussianBlur(rng.integers(0, 256, (64, 64)).astype(np.uint8), (0, 0), 2)
    five = cv2.HOGDescriptor((64, 64), (16, 16), (8, 8), (8, 8), 9).compute(image).ravel()
    without = compute(image[None, ..., None], gamma_correction=False)[0]
    np.testing.assert_allclose(without, five, atol=1e-3)
    assert np.abs(compute(image[None, ..., None])[0] - five).max() > 0.01
