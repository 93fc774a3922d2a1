"""The layer: exactness, reproducibility, agreement of its forms and back ends, serialisation."""

import os
import subprocess
import sys

import cv2
import keras
import numpy as np
import pytest
from keras import ops

from tfalign import geometry, markup
from tfalign.data.augment import OCCLUSION, AugmentConfig, RandomAugment, sample_keys
from tfalign.data.pipeline.augmenter import augmenter  # noqa: F401 (for the script below)

OUTPUT = (48, 64)


def make_inputs(count=12, seed=0):
    """Smooth random pictures with random landmarks and boxes."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 14, 12, 3), dtype=np.uint8)
    images = np.stack(
        [cv2.resize(image, (96, 112), interpolation=cv2.INTER_CUBIC) for image in small]
    )
    box = np.concatenate([rng.uniform(15, 30, (count, 2)), rng.uniform(70, 85, (count, 2))], -1)
    return {
        "image": images,
        "landmarks": rng.uniform(20, 80, (count, 68, 2)).astype(np.float32),
        "crop": geometry.crop_from_image(box.astype(np.float32), OUTPUT),
        "visible": rng.random((count, 68)) < 0.7,
        "key": sample_keys(seed, 4, np.arange(count)),
    }


def call(layer, inputs, **options):
    """Calls the layer and returns NumPy arrays."""
    return {k: ops.convert_to_numpy(v) for k, v in layer(inputs, **options).items()}


def test_without_augmentation_it_crops_as_opencv_does():
    inputs = make_inputs()
    result = call(RandomAugment("none", "ibug68", OUTPUT, image_dtype="float32"), inputs)
    for row in range(12):
        # OpenCV puts pixel centres at whole numbers.
        half = geometry.translation(np.array([0.5, 0.5]))
        back = geometry.compose(geometry.invert(inputs["crop"][row]), half)
        matrix = geometry.compose(geometry.translation(np.array([-0.5, -0.5])), back)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        expected = cv2.warpAffine(
            inputs["image"][row].astype(np.float32), matrix, OUTPUT[::-1], flags=flags,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        # OpenCV rounds positions to 1/32 of a pixel.
        np.testing.assert_allclose(result["image"][row], expected, atol=1.5)
        pixels = geometry.transform_points(inputs["crop"][row], inputs["landmarks"][row])
        np.testing.assert_allclose(result["landmarks"][row] * OUTPUT[::-1], pixels, atol=1e-3)
    np.testing.assert_array_equal(result["visible"], inputs["visible"])


def test_mirroring_is_exact():
    inputs = make_inputs()
    plain = call(RandomAugment("none", "ibug68", OUTPUT, image_dtype="float32"), inputs)
    flipped = call(
        RandomAugment(AugmentConfig(flip=1.0), "ibug68", OUTPUT, image_dtype="float32"), inputs
    )
    np.testing.assert_allclose(flipped["image"], plain["image"][:, :, ::-1], atol=5e-3)
    order = list(markup.IBUG68.flip_map)
    expected = plain["landmarks"][:, order] * [-1, 1] + [1, 0]
    np.testing.assert_allclose(flipped["landmarks"], expected, atol=1e-5)
    np.testing.assert_array_equal(flipped["visible"], plain["visible"][:, order])


def test_not_training_gives_the_nominal_crop():
    inputs = make_inputs()
    nominal = call(RandomAugment("none", "ibug68", OUTPUT), inputs)
    result = call(RandomAugment(OCCLUSION, "ibug68", OUTPUT), inputs, training=False)
    for name, value in nominal.items():
        np.testing.assert_array_equal(result[name], value)


def test_static_and_dynamic_shapes_give_one_result():
    if keras.config.backend() != "tensorflow":
        pytest.skip("dynamic shapes are TensorFlow's")
    inputs = make_inputs(24)
    results = [
        call(RandomAugment(OCCLUSION, "ibug68", OUTPUT, "float32", static_shapes=static), inputs)
        for static in (True, False)
    ]
    np.testing.assert_allclose(results[0]["image"], results[1]["image"], atol=1e-2)
    np.testing.assert_array_equal(results[0]["landmarks"], results[1]["landmarks"])


def test_a_face_is_augmented_alike_in_any_batch():
    inputs = make_inputs(12)
    layer = RandomAugment(OCCLUSION, "ibug68", OUTPUT)
    together = call(layer, inputs)
    alone = call(layer, {name: value[5:7] for name, value in inputs.items()})
    for name in together:
        np.testing.assert_allclose(
            together[name][5:7].astype(float), alone[name].astype(float), atol=1e-5
        )


def test_switching_one_effect_off_leaves_the_others_alone():
    inputs = make_inputs()
    both = AugmentConfig(flip=0.5, rotation=(-20, 20), blur=0.5, brightness=0.5)
    one = AugmentConfig(rotation=(-20, 20))
    first = call(RandomAugment(both, "ibug68", OUTPUT), inputs)
    second = call(RandomAugment(one, "ibug68", OUTPUT), inputs)
    same = np.isclose(first["crop"], second["crop"], atol=1e-4).all(axis=(1, 2))
    assert 0 < same.sum() < 12  # those that were not mirrored


def test_effects_happen_as_often_as_they_should():
    inputs = make_inputs(1)
    many = {name: np.repeat(value, 2000, axis=0) for name, value in inputs.items()}
    many["key"] = sample_keys(1, 0, np.arange(2000))
    config = AugmentConfig(flip=0.3, rotation=(-30, 30), scale=(0.75, 1.2), translation=0.1)
    crop = call(RandomAugment(config, "ibug68", (8, 8)), many)["crop"]
    determinant = np.linalg.det(crop[..., :2])
    assert np.mean(determinant < 0) == pytest.approx(0.3, abs=0.035)
    nominal = np.linalg.det(inputs["crop"][0, :, :2])
    scale = np.sqrt(nominal / np.abs(determinant))
    assert scale.min() > 0.7499
    assert scale.max() < 1.2001
    assert scale.mean() == pytest.approx(0.975, abs=0.01)


def test_own_seeds_repeat_and_advance():
    inputs = make_inputs()
    del inputs["key"]
    first, second = (RandomAugment("geometry", "ibug68", OUTPUT, seed=9) for _ in range(2))
    one, two = call(first, inputs), call(first, inputs)
    assert not np.array_equal(one["crop"], two["crop"])
    np.testing.assert_array_equal(call(second, inputs)["crop"], one["crop"])
    rows = {row.tobytes() for row in np.concatenate([one["crop"], two["crop"]])}
    assert len(rows) == 24


def test_it_is_a_keras_layer():
    layer = RandomAugment(OCCLUSION, "ibug68", OUTPUT, image_dtype="float32", seed=3)
    copy = RandomAugment.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    specification = {
        "image": keras.Input((112, 96, 3), dtype="uint8", name="image"),
        "landmarks": keras.Input((68, 2), name="landmarks"),
        "crop": keras.Input((2, 3), name="crop"),
        "key": keras.Input((2,), dtype="uint32", name="key"),
    }
    outputs = copy(specification)
    assert outputs["image"].shape == (None, 48, 64, 3)
    assert outputs["landmarks"].shape == (None, 68, 2)
    model = keras.Model(specification, outputs)
    inputs = make_inputs()
    del inputs["visible"]
    expected = call(layer, inputs)
    received = model(inputs, training=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(received["image"]), expected["image"], atol=1e-2
    )
    assert model.predict(inputs, verbose=0)["image"].dtype == np.float32


def test_a_half_precision_policy_does_not_touch_coordinates():
    inputs = make_inputs()
    expected = call(RandomAugment("geometry", "ibug68", OUTPUT), inputs)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        received = call(RandomAugment("geometry", "ibug68", OUTPUT), inputs)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(received["landmarks"], expected["landmarks"])
    np.testing.assert_array_equal(received["image"], expected["image"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (0, 5)}, "`size` must be"),
        ({"image_dtype": "int8"}, "`image_dtype` must be"),
        ({"config": "unknown"}, "`augment` must be one of"),
        ({"scheme": "unknown"}, "scheme='unknown'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    valid = {"config": "none", "scheme": "ibug68", "size": OUTPUT}
    with pytest.raises(ValueError, match=message):
        RandomAugment(**{**valid, **arguments})


def test_a_wrong_number_of_landmarks_is_refused():
    with pytest.raises(ValueError, match="'wflw98' has 98 landmarks"):
        RandomAugment("none", "wflw98", OUTPUT)(make_inputs())


_SCRIPT = """
import importlib.util, sys
import numpy as np
specification = importlib.util.spec_from_file_location("case", sys.argv[1])
case = importlib.util.module_from_spec(specification)
specification.loader.exec_module(case)
augment = case.augmenter(case.OCCLUSION, case.markup.IBUG68, case.OUTPUT, "float32")
inputs = case.make_inputs(32)
names = ("image", "landmarks", "crop", "key")
result = augment(*(inputs[name] for name in names))
np.savez(sys.argv[2], *map(np.asarray, result))
"""


@pytest.mark.slow
@pytest.mark.jax
def test_tensorflow_and_jax_make_the_same_pictures(tmp_path):
    results = []
    for backend in ("tensorflow", "jax"):
        path = tmp_path / f"{backend}.npz"
        environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
        subprocess.run(
            [sys.executable, "-c", _SCRIPT, __file__, str(path)], env=environment, check=True
        )
        results.append(np.load(path))
    for name in results[0]:
        first, second = (result[name].astype(float) for result in results)
        # Positions differ in the last bits; at an occluder's outline that can turn a pixel over.
        assert np.mean(np.abs(first - second) > 1e-2) < 1e-5, name
    np.testing.assert_allclose(results[0]["arr_1"], results[1]["arr_1"], atol=1e-5)
