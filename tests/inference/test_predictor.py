import numpy as np
import pytest

from tfalign import geometry
from tfalign.inference.backends import CallableBackend
from tfalign.inference.predictor import Predictor, load_predictor
from tfalign.models import GRegNet


def corners(crops):
    """Answers the crop's centre and a point right of it."""
    return np.broadcast_to([[0.5, 0.5], [1.0, 0.5]] + [[0.5, 0.5]] * 27, (len(crops), 29, 2))


@pytest.fixture
def backend():
    return CallableBackend(corners, (48, 32), geometry.CropConvention(), "cofw29", "corners")


def test_points_return_to_the_image(backend, rng):
    image = rng.integers(0, 256, (100, 120, 3)).astype(np.uint8)
    boxes = np.array([[10, 20, 50, 100], [60, 10, 90, 20]], float)
    found = Predictor(backend, batch_size=1)([image, image], boxes)
    # Squares of sides 80 and 30 about the boxes' centres.
    np.testing.assert_allclose(found[0, :2], [[30, 60], [70, 60]], atol=1e-4)
    np.testing.assert_allclose(found[1, :2], [[75, 15], [90, 15]], atol=1e-4)
    turned = Predictor(backend)([image, image], boxes, [np.pi / 2, 0.0])
    np.testing.assert_allclose(turned[0, :2], [[30, 60], [30, 100]], atol=1e-4)
    np.testing.assert_allclose(turned[1], found[1], atol=1e-4)


def test_image_from_unit_undoes_the_maps(rng):
    maps = geometry.crop_from_image(np.array([[3.0, 4, 50, 61], [-5, 2, 11, 30]]), (48, 32), 0.3)
    points = rng.uniform(0, 60, (2, 7, 2))
    unit = geometry.unit_from_pixel(geometry.transform_points(maps, points), (48, 32))
    np.testing.assert_allclose(geometry.image_from_unit(unit, maps, (48, 32)), points, atol=1e-4)


def test_large_images_keep_their_fractions(backend):
    # float32 maps would be off by a hundredth of a pixel at such coordinates.
    image = np.zeros((4, 6000, 3), np.uint8)
    box = np.array([[5900.25, 0.5, 5903.75, 3.5]])
    found = Predictor(backend)([image], box)
    np.testing.assert_allclose(found[0, 0], [5902.0, 2.0], atol=1e-3)


def test_model_files(tmp_path, rng):
    model = GRegNet(29, (32, 32, 3), width=0.125, trunk="mobile", crop="cofw", scheme="cofw29")
    path = tmp_path / "model.keras"
    model.save(path)
    image = rng.integers(0, 256, (60, 60, 3)).astype(np.uint8)
    box = np.array([[10.0, 10, 50, 50]])
    loaded, direct = load_predictor(path), load_predictor(model)
    assert loaded.backend.crop == geometry.CROP_PRESETS["cofw"]
    assert loaded.backend.scheme.name == "cofw29"
    np.testing.assert_allclose(loaded([image], box), direct([image], box), atol=1e-3)


def test_bad_models(backend, tmp_path):
    assert load_predictor(backend).backend is backend
    with pytest.raises(FileNotFoundError, match="model="):
        load_predictor(tmp_path / "none.keras")
    with pytest.raises(ValueError, match=r"\.keras or \.tflite, or one of the presets"):
        load_predictor("no_such_preset")
    with pytest.raises(ValueError, match="batch_size=0"):
        Predictor(backend, batch_size=0)
