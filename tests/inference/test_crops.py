import cv2
import numpy as np
import pytest

from tfalign import geometry
from tfalign.inference.crops import cut_crop, cut_crops


@pytest.fixture
def image(rng):
    """A smooth picture, so that interpolation errors stay small."""
    noise = rng.uniform(0, 255, (12, 16, 3)).astype(np.float32)
    return (
        cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    )


@pytest.mark.parametrize("border", ["clamp", "zero"])
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_agrees_with_the_geometry_room(image, border, angle):
    # `warp_affine` is written independently, on the back end.
    matrix = geometry.crop_from_image(np.array([20.3, -9.6, 99.1, 70.2]), (56, 64), angle)
    expected = geometry.warp_affine(image[None], geometry.invert(matrix)[None], (56, 64), border)
    found = cut_crop(image, matrix, (56, 64), border)
    assert found.shape == (56, 64, 3)
    difference = np.abs(found - np.asarray(expected)[0])
    # OpenCV rounds positions to 1/32 pixel and colours to whole numbers.
    assert np.percentile(difference, 99) < 3.0
    assert difference.mean() < 1.0


def test_whole_pixels_are_copied_exactly(image):
    matrix = geometry.crop_from_image(np.array([30.0, 20.0, 94.0, 84.0]), (64, 64))
    np.testing.assert_array_equal(cut_crop(image, matrix, (64, 64)), image[20:84, 30:94])


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_large_faces_are_averaged_and_not_skipped(rng, factor):
    image = rng.integers(0, 256, (120, 120, 3)).astype(np.uint8)
    box = np.array([0.0, 0.0, 120.0, 120.0])
    size = (120 // factor, 120 // factor)
    found = cut_crop(image, geometry.crop_from_image(box, size), size)
    blocks = image.reshape(size[0], factor, size[1], factor, 3).mean(axis=(1, 3))
    assert np.abs(found - blocks).max() <= 1.0


def test_reduced_and_direct_crops_show_the_same_place():
    columns = np.arange(300, dtype=np.float64)
    image = np.repeat(np.broadcast_to(columns * 0.8, (200, 300))[..., None], 3, axis=2)
    image = image.astype(np.uint8)
    matrix = geometry.crop_from_image(np.array([31.7, 12.2, 231.7, 162.2]), (30, 40), 0.2)
    centres = np.stack(np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5), axis=-1)
    where = geometry.transform_points(geometry.invert(matrix), centres.reshape(-1, 2))
    expected = (where[:, 0] - 0.5).reshape(30, 40) * 0.8
    found = cut_crop(image, matrix, (30, 40))[..., 0]
    inside = ((where > 8) & (where < (292, 192))).all(axis=1).reshape(30, 40)
    assert np.abs(found - expected)[inside].max() < 2.0
    assert abs((found - expected)[inside].mean()) < 0.7  # colours are rounded down above


@pytest.mark.parametrize("box", [[-90, -90, -30, -30], [500, 30, 900, 430], [-200, 0, 9, 209]])
def test_a_box_outside_the_image_sees_its_border(image, box):
    matrix = geometry.crop_from_image(np.array(box, float), (32, 32))
    assert cut_crop(image, matrix, (32, 32)).min() >= image.min()
    black = cut_crop(image, matrix, (32, 32), "zero")
    # Only the last box touches the image: from 30.6 on, where a reduced pixel fades in.
    assert not black[:, : 29 if box[2] == 9 else 32].any()


@pytest.mark.parametrize("border", ["clamp", "zero"])
@pytest.mark.parametrize("scale", [0.7, 1.0, 2.6])
@pytest.mark.parametrize("left", [0, 20_000, 33_000 - 160])
def test_a_face_in_a_very_long_picture(image, border, scale, left):
    # The smallest picture that shows the same: the face's own part, where it lies in the long one.
    long = np.zeros((120, 33_000, 3), np.uint8)
    long[:, left : left + 160] = image
    begin = max(0, left - 200)
    short = np.ascontiguousarray(long[:, begin : left + 360])
    box = np.array([20.0, -9.0, 20 + 64 * scale, -9 + 64 * scale]) + [left, 0, left, 0]
    if scale > 2:
        box += [-20, 0, -20, 0]
    expected = cut_crop(
        short, geometry.crop_from_image(box - [begin, 0, begin, 0], (64, 64), 0.1), (64, 64), border
    )
    found = cut_crop(long, geometry.crop_from_image(box, (64, 64), 0.1), (64, 64), border)
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_many_crops_follow_the_convention(image):
    boxes = np.array([[20, 30, 60, 90], [50, 10, 120, 50]], np.float32)
    convention = geometry.CropConvention((0.1, -0.1, 0.1, 0.2))
    crops, maps = cut_crops([image, image], boxes, convention, (32, 24), [0.0, 0.1])
    assert crops.shape == (2, 32, 24, 3)
    for crop, matrix, box, angle in zip(crops, maps, boxes, [0.0, 0.1], strict=True):
        expected = convention.crop_from_image(box, (32, 24), angle)
        np.testing.assert_allclose(matrix, expected, rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(crop, cut_crop(image, matrix, (32, 24)))


def test_bad_input(image):
    convention = geometry.CropConvention()
    box = np.array([[10, 10, 20, 20]])
    for bad in (image / 255.0, image[..., 0], image[..., :2], image[:0], "a.jpg"):
        with pytest.raises(ValueError, match="must be uint8"):
            cut_crops([bad], box, convention, (8, 8))
    with pytest.raises(ValueError, match=r"must be \(1, 4\)"):
        cut_crops([image], box[0], convention, (8, 8))
    for bad in ([10, 10, 10, 20], [20, 10, 10, 20], [np.nan, 0, 1, 1]):
        with pytest.raises(ValueError, match=r"boxes\[0\]"):
            cut_crops([image], np.array([bad]), convention, (8, 8))
