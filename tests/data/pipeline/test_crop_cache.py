"""Source crops, their maps, and what is made of a cache."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tfalign import geometry, markup
from tfalign.data import Sample
from tfalign.data.pipeline import CropCache, concatenate, evaluation_arrays
from tfalign.data.pipeline.source_crop import cut_source_crop, default_source_size

CROP = geometry.crop_convention("300w")


def dotted(size, centre, box):
    """A dark photograph with one bright dot, which is every landmark."""
    grid = np.arange(size) + 0.5
    x, y = grid[None, :] - centre[0], grid[:, None] - centre[1]
    dot = 220 * np.exp(-(x**2 + y**2) / (2 * (size / 60) ** 2))
    return Sample(
        image=np.repeat(np.rint(dot).astype(np.uint8)[..., None], 3, axis=-1),
        landmarks=np.repeat(np.array([centre], np.float32), 68, axis=0),
        visible=np.ones(68, bool),
        box=np.array(box, np.float32),
        name="dot",
        scheme="ibug68",
    )


def test_small_faces_are_copied_pixel_for_pixel(samples):
    sample = samples[3]
    patch, source_from_image, _ = cut_source_crop(sample, CROP, (112, 112), 0.3, 192)
    assert patch.shape == (192, 192, 3)
    np.testing.assert_array_equal(source_from_image[:, :2], np.eye(2))
    offset = -source_from_image[:, 2]
    np.testing.assert_array_equal(offset, np.round(offset))
    padded = cv2.copyMakeBorder(sample.image, 200, 200, 200, 200, cv2.BORDER_REPLICATE)
    x, y = (offset + 200).astype(int)
    np.testing.assert_array_equal(patch, padded[y : y + 192, x : x + 192])


def test_large_faces_are_averaged_not_sampled():
    # Stripes of one pixel would alias to full contrast if they were sampled.
    image = np.zeros((900, 900, 3), np.uint8)
    image[:, ::2] = 255
    sample = replace(dotted(900, (450, 450), (200, 200, 700, 700)), image=image)
    patch, source_from_image, _ = cut_source_crop(sample, CROP, (112, 112), 0.3, 192)
    inside = patch[10:-10, 10:-10].astype(float)  # without the repeated border
    assert abs(inside.mean() - 127.5) < 1
    assert inside.std() < 30
    assert source_from_image[0, 0] == pytest.approx(192 / 960, rel=0.01)


@pytest.mark.parametrize(
    ("size", "centre", "box"),
    [
        (240, (101.3, 130.8), (70, 80, 150, 190)),  # copied
        (900, (433.3, 512.9), (200, 250, 700, 700)),  # reduced
        (240, (30.6, 40.2), (-20, 0, 60, 90)),  # beyond the border
    ],
)
@pytest.mark.parametrize("square", [True, False])
def test_a_dot_stays_on_its_landmark(size, centre, box, square):
    convention = geometry.CropConvention((0.1, -0.1, 0.1, 0.05), square=square)
    cache = CropCache.build([dotted(size, centre, box)], convention, (96, 112))
    images, landmarks = evaluation_arrays(cache)
    assert images.shape == (1, 96, 112, 3)
    weight = np.maximum(images[0, ..., 0].astype(float) - 60, 0)
    y, x = np.mgrid[:96, :112] + 0.5
    found = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    assert np.abs(found - landmarks[0, 0] * [112, 96]).max() < 0.1
    direct = geometry.crop_from_image(convention.region(cache.boxes), (96, 112))
    np.testing.assert_allclose(cache.maps, direct, atol=2e-3)
    np.testing.assert_allclose(cache.to_image(landmarks), [[centre] * 68], atol=1e-2)


def test_inputs_of_small_faces_are_sampled_from_the_photograph_once(samples):
    cache = CropCache.build(samples, "300w", (32, 32), source_size=192)
    images, _ = evaluation_arrays(cache)
    back = geometry.invert(cache.maps)
    for row in (0, 4, 9):
        photograph = samples[row].image[None].astype(np.float32)
        direct = np.asarray(geometry.warp_affine(photograph, back[row : row + 1], (32, 32)))
        assert np.abs(images[row] - direct[0]).max() < 0.6  # rounding alone


def test_build_keeps_order_and_every_field(samples, cache):
    assert list(cache.names) == [f"face {index}" for index in range(10)]
    assert [item["index"] for item in cache.attributes] == list(range(10))
    np.testing.assert_array_equal(cache.visible, np.stack([s.visible for s in samples]))
    np.testing.assert_array_equal(cache.boxes, np.stack([s.box for s in samples]))
    expected = np.stack([s.landmarks for s in samples])
    np.testing.assert_allclose(cache.image_landmarks, expected, atol=1e-3)
    np.testing.assert_allclose(cache.to_image(cache.unit_landmarks), expected, atol=1e-2)


def test_generators_and_threads_give_the_same_cache(samples, cache):
    for workers in (1, 5):
        other = CropCache.build((s for s in samples), "300w", (32, 32), workers=workers)
        np.testing.assert_array_equal(other.images, cache.images)
        np.testing.assert_array_equal(other.names, cache.names)


def test_default_source_size_keeps_the_inputs_resolution():
    assert default_source_size((112, 112), 0.3) == 192
    assert default_source_size((256, 128), 0.0) == 256


def test_take_and_concatenate_are_inverse(cache):
    parts = concatenate([cache.take(slice(0, 4)), cache.take([4, 5]), cache.take(np.arange(6, 10))])
    np.testing.assert_array_equal(parts.images, cache.images)
    np.testing.assert_array_equal(parts.landmarks, cache.landmarks)
    assert list(parts.attributes) == list(cache.attributes)
    assert list(cache.take(np.arange(10) % 2 == 0).names) == [f"face {i}" for i in range(0, 10, 2)]


def test_convert_goes_through_the_markup(cache):
    converted = cache.convert("ibug68")
    assert converted.scheme is markup.IBUG68
    expected = markup.convert(cache.landmarks, "wflw98", "ibug68")
    np.testing.assert_array_equal(converted.landmarks, expected)
    places = markup.convert(np.repeat(np.arange(98.0)[:, None], 2, 1), "wflw98", "ibug68")[:, 0]
    np.testing.assert_array_equal(converted.visible, cache.visible[:, places.astype(int)])
    assert converted.images is cache.images
    with pytest.raises(ValueError, match="68"):
        converted.convert("wflw98")


def test_real_faces_load_in_parallel_and_in_order(real_data):
    readers = pytest.importorskip("tfalign.data.readers.w300")
    reader = readers.read(real_data / "300w_subset", splits=["afw"])[:24]
    cache = CropCache.build(reader, crop="300w", workers=3)
    assert list(cache.names) == [record.name for record in reader.records]
    expected = np.stack([record.landmarks for record in reader.records])
    np.testing.assert_allclose(cache.image_landmarks, expected, atol=2e-3)
    # Boxes from landmarks, padded by a tenth: every landmark lies within a twelfth of the border.
    assert cache.unit_landmarks.min() > 0.07
    assert cache.unit_landmarks.max() < 0.93


def test_unreadable_images_are_skipped_only_where_the_reader_says_so(samples):
    class Broken:
        """A reader whose second record cannot be loaded."""

        def __init__(self, skip):
            self.records, self.skip = list(range(4)), skip

        def __len__(self):
            return len(self.records)

        def try_load(self, record):
            if record != 1:
                return samples[record]
            if self.skip:
                return None
            raise ValueError("images/1.jpg cannot be decoded")

    cache = CropCache.build(Broken(skip=True), "300w", (32, 32))
    assert list(cache.names) == ["face 0", "face 2", "face 3"]
    np.testing.assert_array_equal(
        cache.images, CropCache.build([samples[i] for i in (0, 2, 3)], "300w", (32, 32)).images
    )
    with pytest.raises(ValueError, match="images/1.jpg"):
        CropCache.build(Broken(skip=False), "300w", (32, 32))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: CropCache.build([], "300w"), "needs at least one face"),
        (lambda s: CropCache.build(s, "300w", margin=-0.1), "`margin` must not be negative"),
        (lambda s: CropCache.build(s, "300w", source_size=0), "must be positive"),
        (lambda s: CropCache.build(s, "no such"), "`crop` must be one of"),
        (
            lambda s: CropCache.build([replace(s[0], box=np.float32([900, 0, 990, 90]))], "300w"),
            "must touch its photograph",
        ),
        (
            lambda s: CropCache.build([replace(s[0], box=np.float32([0, 0, 9e4, 9e4]))], "300w"),
            "must not exceed 16 times",
        ),
        (
            lambda s: CropCache.build([s[0], dotted(200, (90, 90), (60, 60, 120, 120))], "300w"),
            "holds one landmark scheme",
        ),
    ],
)
def test_unusable_arguments_are_refused(samples, call, message):
    with pytest.raises(ValueError, match=message):
        call(samples)


def test_caches_that_do_not_fit_are_refused(samples, cache):
    with pytest.raises(ValueError, match="`visible` must have the shape"):
        replace(cache, visible=cache.visible[:, :5])
    with pytest.raises(ValueError, match="`images` must be"):
        replace(cache, images=cache.images.astype(np.float32))
    with pytest.raises(ValueError, match="one `image_size`"):
        concatenate([cache, replace(cache, image_size=(48, 48))])
    with pytest.raises(ValueError, match="one source size"):
        concatenate([cache, CropCache.build(samples, "300w", (32, 32), source_size=80)])
    with pytest.raises(ValueError, match="at least one CropCache"):
        concatenate([])
