import keras
import numpy as np
import pytest

from tfalign import geometry, markup
from tfalign.data import synthetic
from tfalign.inference import Aligner
from tfalign.inference.backends import (
    Backend,
    CallableBackend,
    KerasBackend,
    TFLiteBackend,
    load_backend,
)
from tfalign.models import shipped_tflite
from tfalign.models.weights import presets_with_tflite
from tfalign.tflite import Metadata


def small_model(points=68, size=(24, 16)):
    """A model without tfalign's attributes; size is (height, width)."""
    keras.utils.set_random_seed(3)
    images = keras.Input((*size, 3), name="images")
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(x)
    x = keras.layers.Dense(points * 2)(keras.layers.Flatten()(x))
    return keras.Model(images, keras.layers.Reshape((points, 2))(x), name="small")


@pytest.fixture
def crops(rng):
    return rng.integers(0, 256, (5, 24, 16, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A float .tflite file and one whose input and output are quantized, of one model."""
    import tensorflow as tf

    model = small_model()
    folder = tmp_path_factory.mktemp("exported")

    def write(name, configure):
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        configure(converter)
        (folder / name).mkdir()
        (folder / name / "model.tflite").write_bytes(converter.convert())
        return folder / name / "model.tflite"

    def quantize(converter):
        generator = np.random.default_rng(0)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [generator.integers(0, 256, (1, 24, 16, 3)).astype(np.float32)] for _ in range(20)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.int8

    return {
        "model": model,
        "float": write("float", lambda converter: None),
        "int8": write("int8", quantize),
    }


def test_callable(crops):
    backend = CallableBackend(
        lambda c: np.full((len(c), 29, 2), 0.25), (24, 16), "cofw", "lfpw29", "constant"
    )
    assert isinstance(backend, Backend)
    assert backend.scheme is markup.LFPW29
    assert backend.crop == geometry.CROP_PRESETS["cofw"]
    assert (backend(crops) == 0.25).all()
    assert backend(crops).shape == (5, 29, 2)
    with pytest.raises(ValueError, match="scheme=None"):
        CallableBackend(lambda c: c, (8, 8), "cofw", None)
    with pytest.raises(ValueError, match="num_landmarks=5"):
        CallableBackend(lambda c: c, (8, 8), "cofw", "lfpw29", num_landmarks=5)


def test_padding_is_of_the_batch_alone(crops, monkeypatch):
    backend = KerasBackend(small_model(), crop="300w")
    seen = []
    original = backend.model.predict_on_batch
    monkeypatch.setattr(
        backend.model, "predict_on_batch", lambda x: seen.append(len(x)) or original(x)
    )
    for count in (5, 1, 2, 3):  # a large batch does not make the later ones cost as much
        assert backend(crops[:count]).shape == (count, 68, 2)
    assert seen == [8, 1, 2, 4]
    assert backend(crops[:0]).shape == (0, 68, 2)


def test_keras_batches_of_any_size(crops):
    model = small_model()
    backend = KerasBackend(model, crop="300w")
    assert isinstance(backend, Backend)
    assert backend.image_size == (24, 16)
    assert backend.scheme is None  # a number of points names nobody's points
    expected = np.asarray(model(crops))
    for sizes in ((5,), (3, 2), (1, 4)):  # the second batch is smaller, then larger
        start, found = 0, []
        for size in sizes:
            found.append(backend(crops[start : start + size]))
            start += size
        np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-5, atol=1e-6)


def test_keras_model_tells_its_own_convention(crops):
    model = small_model()
    model.crop = geometry.CROP_PRESETS["wflw"]
    backend = KerasBackend(model, crop="aflw")
    assert backend.crop == geometry.CROP_PRESETS["wflw"]


def test_keras_needs_crop_and_size():
    with pytest.raises(ValueError, match="stores no crop convention"):
        KerasBackend(small_model())
    free = keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D(),
                             keras.layers.Dense(4), keras.layers.Reshape((2, 2))])  # fmt: skip
    with pytest.raises(ValueError, match="give `image_size`"):
        KerasBackend(free, crop="300w")
    with pytest.raises(ValueError, match=r"has 98 points\. Received: a model with 2"):
        KerasBackend(free, crop="300w", image_size=(8, 8), scheme="wflw98")
    assert KerasBackend(free, crop="300w", image_size=(8, 8)).scheme is None


def test_tflite_float_gives_what_keras_gives(exported, crops):
    backend = TFLiteBackend(exported["float"], crop="300w")
    assert isinstance(backend, Backend)
    assert (backend.image_size, backend.num_landmarks) == ((24, 16), 68)
    assert backend.name == "float/model.tflite"
    expected = np.asarray(exported["model"](crops))
    np.testing.assert_allclose(backend(crops), expected, rtol=1e-4, atol=1e-5)


def test_tflite_quantized_input_and_output(exported, crops):
    backend = TFLiteBackend(exported["int8"], crop="300w")
    expected = np.asarray(exported["model"](crops))
    # An int8 output has 256 levels over the range seen in calibration.
    span = np.ptp(expected)
    assert np.abs(backend(crops) - expected).mean() < 0.03 * span


def test_tflite_metadata_decides(exported, crops, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(exported["float"].read_bytes())
    with pytest.raises(ValueError, match=r"No crop convention is known .*metadata.json"):
        TFLiteBackend(path)
    convention = geometry.CropConvention((0.1, -0.1, 0.2, 0.3), square=False)
    about = Metadata("float32", (24, 16, 3), 68, crop=convention, box=None, scheme=markup.IBUG68)
    about.write(tmp_path)
    backend = TFLiteBackend(path, crop="aflw")
    assert backend.crop == convention
    assert backend.scheme == markup.IBUG68
    own = markup.LandmarkScheme.unnamed(68)  # a scheme that no registry knows
    about.replace(crop=None, scheme=own).write(tmp_path)
    backend = TFLiteBackend(path, crop="aflw")
    assert backend.crop == geometry.CROP_PRESETS["aflw"]
    assert backend.scheme == own


def test_tflite_bad_files(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.tflite"):
        TFLiteBackend(tmp_path / "none.tflite")
    broken = tmp_path / "model.tflite"
    broken.write_bytes(exported["float"].read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged or cut short"):
        TFLiteBackend(broken, crop="300w")
    broken.write_bytes(exported["float"].read_bytes())
    (tmp_path / "metadata.json").write_text("{")
    with pytest.raises(ValueError, match=r"metadata\.json.*must be JSON"):
        TFLiteBackend(broken, crop="300w")


def test_a_preset_runs_on_its_int8_file_too(repository):
    pytest.importorskip("ai_edge_litert")
    assert presets_with_tflite() == ["300w", "300w_phone", "wflw98_rendered"]
    for name in presets_with_tflite():
        file = shipped_tflite(name)
        for part in (file, file.with_name("metadata.json")):
            app = repository / "android_demo_assets" / name / "int8" / part.name
            assert part.read_bytes() == app.read_bytes()  # mobile_export.assets --ship
    sample = synthetic.render(3, 2, 256)
    box = geometry.box_from_landmarks(markup.convert(sample.landmarks, "wflw98", "ibug68"))
    keras_aligner, lite = Aligner("300w", None), Aligner("300w", None, backend="tflite")
    (wanted,), (found,) = (a.align(sample.image, box) for a in (keras_aligner, lite))
    assert np.linalg.norm(wanted.landmarks - found.landmarks, axis=1).mean() < 0.5
    assert lite.calibration == keras_aligner.calibration
    assert lite.scheme == keras_aligner.scheme


def test_a_model_runs_on_what_it_is_for(exported):
    for model, backend in (
        ("300w", "onnx"),
        (exported["model"], "tflite"),
        (exported["float"], "keras"),
    ):
        with pytest.raises(ValueError, match="must be 'keras' or 'tflite'"):
            load_backend(model, "300w", backend=backend)
    with pytest.raises(ValueError, match="with an int8 file"):
        shipped_tflite("none")
    with pytest.raises(ValueError, match="tfalign export 300w_tsr --kind int8"):
        shipped_tflite("300w_tsr")
