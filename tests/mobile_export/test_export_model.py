"""Keras models that are not of this package: what they must say, and that the file does as they."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from tiny_model import TinyModel

import mobile_export
from mobile_export.check import check
from mobile_export.export_model import LUMA, export_model, in_float32
from mobile_export.pictures import rendered_faces
from tfalign import macc, markup, models
from tfalign.geometry import CROP_PRESETS
from tfalign.inference.predictor import load_predictor

SIDE = 32


@keras.saving.register_keras_serializable(package="tests")
class Doubled(layers.Layer):
    """A layer of a stranger, for which the counter has no rule."""

    def call(self, inputs: Any) -> Any:
        return 2.0 * inputs


def grey_with_two_outputs() -> keras.Model:
    """A grey picture in [0, 1]; five points as pairs, beside a score."""
    image = keras.Input((SIDE, SIDE, 1))
    x = layers.Conv2D(8, 3, 2, activation="relu")(image)
    x = Doubled()(layers.Flatten()(layers.AveragePooling2D(3)(x)))
    points = layers.Dense(10, activation="sigmoid", name="points")(x)
    return keras.Model(image, {"score": layers.Dense(1, name="score")(x), "points": points})


def small_vit() -> keras.Model:
    """Patches, two blocks of attention, five points; pixels in [-1, 1]."""
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Reshape((16, 24))(layers.Conv2D(24, 8, 8)(image))
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 12)(y, y)])
        y = layers.Dense(48, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(24)(y)])
    x = layers.Dense(10, activation="sigmoid")(layers.GlobalAveragePooling1D()(x))
    return keras.Model(image, layers.Reshape((5, 2))(x))


def pairs_from(trunk: keras.Model) -> keras.Model:
    """A trunk that scales its pixels itself, and a dense layer of pairs."""
    # With the statistics of a new model what is left of a picture after so many layers is nothing.
    norms = [x for x in trunk._flatten_layers() if isinstance(x, layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    trunk(rendered_faces(32, (SIDE, SIDE), CROP_PRESETS["300w"], seed=4), training=True)
    for norm in norms:
        norm.momentum = 0.999
    # Points that move by pixels from face to face, as a trained model's do, not by the picture.
    small = keras.initializers.RandomNormal(stddev=0.0015)
    return keras.Sequential(
        [trunk, layers.Dense(10, activation="sigmoid", kernel_initializer=small)]
    )


def mobilenet() -> keras.Model:
    return pairs_from(
        keras.applications.MobileNetV3Small(
            (SIDE, SIDE, 3), alpha=0.35, include_top=False, weights=None, pooling="avg"
        )
    )


def efficientnet() -> keras.Model:
    return pairs_from(
        keras.applications.EfficientNetB0(
            input_shape=(SIDE, SIDE, 3), include_top=False, weights=None, pooling="avg"
        )
    )


def kerashub() -> keras.Model:
    """A backbone of KerasHub, whose layers are classes of its own."""
    hub = pytest.importorskip("keras_hub")
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(SIDE, SIDE, 3),
    )
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(backbone(layers.Rescaling(1 / 255)(image)))
    return pairs_from(keras.Model(image, x))


STRANGERS: dict[str, tuple[Callable[[], keras.Model], dict[str, Any]]] = {
    "grey": (grey_with_two_outputs, {"pixels": (0, 1), "output": "points"}),
    "vit": (small_vit, {"pixels": (-1, 1)}),
    "mobilenet": (mobilenet, {"pixels": (0, 255)}),
    "efficientnet": (efficientnet, {"pixels": (0, 255)}),
    "kerashub": (kerashub, {"pixels": (0, 255)}),
}


LARGEST = "efficientnet"


def seen_by(name: str, faces: np.ndarray) -> np.ndarray:
    """What the model itself wants of RGB faces in [0, 255], made here once more."""
    pixels = faces.astype(np.float32)
    if name == "grey":
        return (pixels @ np.float32(LUMA))[..., None] / 255
    return pixels / 127.5 - 1 if name == "vit" else pixels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, kind) for name in STRANGERS for kind in ("float32", "int8") if name != LARGEST),
        # With random weights so many layers make more of a rounding than of a face: no int8.
        pytest.param(LARGEST, "float32", marks=pytest.mark.exhaustive),
    ],
)
def test_a_strangers_model_keeps_its_points(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    out = tmp_path / "exported"
    keras.utils.set_random_seed(3)
    make, arguments = STRANGERS[name]
    model = make()
    crop = CROP_PRESETS["300w"]
    result = mobile_export.export(
        model,
        kind,
        "rendered" if kind == "int8" else None,
        "~/exported",
        crop="300w",
        box="landmarks",
        scheme=markup.LandmarkScheme.unnamed(5),
        **arguments,
    )
    faces = rendered_faces(6, (SIDE, SIDE), crop, seed=9)
    found = mobile_export.Runner(result.path)(faces)
    expected = model(seen_by(name, faces), training=False)
    expected = expected["points"] if isinstance(expected, dict) else expected
    expected = np.asarray(expected).reshape(6, 5, 2)
    assert np.ptp(expected, axis=0).max() > 1e-3  # a model that ignores its picture proves nothing
    distance = np.linalg.norm((found - expected) * SIDE, axis=-1)
    assert distance.mean() <= (0.5 if kind == "int8" else 1e-3)
    about = result.metadata
    assert (about.crop, about.box, about.num_landmarks) == (crop, "landmarks", 5)
    assert about.scheme.num_points == 5
    assert result.path == out / "model.tflite"
    assert check(out).passed
    notes = " ".join(about.notes)
    assert ("grey" in notes) == (name == "grey")
    assert ("scales" in notes) == (arguments["pixels"] != (0, 255))
    if name == "grey":
        assert about.model["macc"] is None
        assert result.macc is not None
        assert "Doubled" in notes


@pytest.mark.parametrize(
    ("sides", "arguments"),
    [((48, 32), {}), ((32, 48), {"upright": False, "image_size": (48, 48), "shares": (0, 1)})],
)
def test_an_ensemble_is_one_file(
    like_trained: Any, make_pictures: Any, tmp_path: Path, sides: Any, arguments: dict
) -> None:
    keras.utils.set_random_seed(5)
    members = []
    for side in sides:
        one = TinyModel(input_shape=(side, side, 3))
        one.box = "landmarks"
        members.append(like_trained(one, make_pictures(16, (side, side))))
    model, faces = models.Ensemble(members, **arguments), make_pictures(6, (48, 48))
    result = mobile_export.export(model, "float32", out=tmp_path, images=faces)
    expected = np.asarray(model(faces.astype(np.float32)))
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(mobile_export.Runner(result.path)(faces), expected, atol=1e-4)
    assert result.macc == sum(macc.count(one).macc for one in members)


def test_what_a_model_does_not_say_must_be_given() -> None:
    model = small_vit()
    with pytest.raises(ValueError, match=r"`crop` .* and `pixels`"):
        export_model(model)
    with pytest.raises(ValueError, match="give `pixels`"):
        export_model(model, crop="300w")
    own = models.GRegNet(12, (48, 48, 3), width=0.125, crop="300w")
    clone = keras.models.clone_model(keras.Model(own.inputs, own.outputs))
    with pytest.raises(ValueError, match=r"`crop` .* and `pixels`"):
        export_model(clone)
    assert export_model(own).crop == CROP_PRESETS["300w"]
    with pytest.raises(ValueError, match="what it was trained on"):
        export_model(own, crop="wflw")
    with pytest.raises(ValueError, match="scales its pixels"):
        export_model(own, pixels=(0, 1))


def test_apps_are_told_the_padding_of_wflws_boxes(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    points = layers.Reshape((98, 2))(layers.Dense(196)(layers.Flatten()(image)))
    result = mobile_export.export(
        keras.Model(image, points), "float32", out=tmp_path / "out", crop="wflw", pixels=(0, 255)
    )
    stored = json.loads((tmp_path / "out" / "metadata.json").read_text())["box_padding"]
    expected = load_predictor(keras.Model(image, points), crop="wflw").box_padding
    assert stored["points"] == list(expected) == [0.0, 0.255, 0.0, 0.003]
    assert load_predictor(result.path).box_padding == expected


@pytest.mark.parametrize("pixels", [(0, 255), (0, 1)])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_what_a_model_says_survives_its_rebuilding(pixels: Any, policy: str) -> None:
    image = keras.Input((8, 8, 3))
    points = layers.Dense(136, dtype=policy)(layers.Flatten()(image))
    model = keras.Model(image, layers.Reshape((68, 2))(points))
    padding = {"points": [0.1, 0.2, 0.3, 0.4], "face": [0.0] * 4}
    model.scheme, model.box, model.box_padding = "ibug68", "file", padding
    found = export_model(model, crop="300w", pixels=pixels)
    assert found.scheme == markup.get("ibug68")
    assert (found.box, found.box_padding) == ("file", padding)
    other = export_model(model, crop="300w", pixels=pixels, box="landmarks")
    assert (other.box, other.box_padding) == ("landmarks", None)


def test_what_is_no_landmark_model_is_told_the_remedy() -> None:
    arguments: dict[str, Any] = {"crop": "300w", "pixels": (0, 1)}
    two = grey_with_two_outputs()
    with pytest.raises(ValueError, match=r"`output` is one of \[.*'points'.*\]"):
        export_model(two, **arguments)
    with pytest.raises(ValueError, match="pairs x, y"):
        export_model(two, **arguments, output="score")
    image = keras.Input((None, None, 3))
    pooled = layers.Dense(4)(layers.GlobalAveragePooling2D()(image))
    with pytest.raises(ValueError, match=r"keras\.Input\(\(height, width, 3\)\)"):
        export_model(keras.Model(image, pooled), **arguments)
    with pytest.raises(ValueError, match="low < high"):
        export_model(small_vit(), crop="300w", pixels=(1, 0))
    with pytest.raises(ValueError, match="must be the model's 5"):
        export_model(small_vit(), **arguments, scheme="ibug68")


def five(x: Any, name: str) -> Any:
    return layers.Reshape((5, 2), name=name)(layers.Dense(10)(x))


def test_the_output_that_was_named_is_the_one_that_is_exported() -> None:
    arguments: dict[str, Any] = {"crop": "300w", "pixels": (0, 255)}
    picture = np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)).astype(np.float32)
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    # Keys are what a user sees, also where layers have other names, or one another's.
    crossed = keras.Model(image, {"fine": five(flat, "rough"), "rough": five(flat, "fine")})
    for key, expected in crossed(picture).items():
        found = export_model(crossed, **arguments, output=key).keras(picture)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"one of \['fine', 'rough'\]"):
        export_model(crossed, **arguments, output="reshape")
    both = keras.Model(image, [five(flat, "first"), five(flat, "second")], name="both")
    outer = keras.Model(image, both(image))
    assert outer.output_names == ["both", "both"]
    with pytest.raises(ValueError, match=r"export keras\.Model\(model\.input, model\.outputs"):
        export_model(outer, **arguments, output="both")
    for place, expected in enumerate(both(picture)):
        one = keras.Model(outer.input, outer.outputs[place])
        np.testing.assert_allclose(export_model(one, **arguments).keras(picture), expected)


def test_a_model_that_is_no_graph_is_told_the_remedy() -> None:
    class Own(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs[:, :5, 0, :2]

    model = Own()
    model(np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(ValueError, match=r"keras\.Input\(\(height, width, 3\)\).* of Own"):
        export_model(model, crop="300w", pixels=(0, 255))


@pytest.mark.parametrize("make", [small_vit, lambda: models.GRegNet(12, (48, 48, 3), width=0.125)])
def test_mixed_precision_is_rebuilt_under_float32(make: Callable[[], keras.Model]) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = make()
    finally:
        keras.config.set_dtype_policy("float32")
    assert any(layer.compute_dtype == "float16" for layer in model._flatten_layers())
    rebuilt = in_float32(model)
    assert all(layer.compute_dtype == "float32" for layer in rebuilt._flatten_layers())
    assert type(rebuilt) is type(model)
    side = model.input_shape[1]
    picture = np.random.default_rng(0).uniform(0, 1, (1, side, side, 3)).astype(np.float32)
    np.testing.assert_allclose(rebuilt(picture), model(picture), atol=5e-3)
    assert in_float32(rebuilt) is rebuilt
