"""What every model carries: its whole scheme, its boxes' source, and metrics that see masks."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfalign import markup, models
from tfalign.layers import PixelDifferences, ShapeIndexedCrop, ShapeIndexedPatches
from tfalign.losses import L2Loss
from tfalign.metrics import NME, AnchorDistance
from tfalign.models import CCNN, DSSD, RDSSD, DeepReg, DirectRegression, GRegLRef, GRegNet, TwoStage

SMALL: dict[str, Any] = {"input_shape": (32, 32, 3), "width": 0.125, "trunk": "mobile"}
HAND = markup.LandmarkScheme(
    "hand",
    tuple(f"{finger} {joint}" for finger in ("thumb", "index", "little") for joint in range(2)),
    parts={"thumb": (0, 1)},
    edges=((0, 1), (2, 3)),
    flip_pairs=(),
    normalizer=((0,), (4, 5)),
)
KINDS = {
    GRegLRef: SMALL,
    CCNN: {"input_shape": (32, 32, 3), "width": 0.125, "trunk": "mobile", "filters": "separable"},
    DSSD: {"input_shape": (64, 64, 3), "width": 0.125},
    RDSSD: {"input_shape": (64, 64, 3), "width": 0.125},
    DeepReg: {"input_shape": (64, 64, 3), "local_layers": 1},
    TwoStage: {"input_shape": (60, 60, 3), "width": 0.125, "trunk": "resnet18", "face_size": 64,
               "local_stage": False},
    DirectRegression: {"input_shape": (32, 32, 3), "width": 0.125, "trunk": "resnet18"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_configurations_hold_the_whole_scheme(kind: Any) -> None:
    model = kind(scheme=HAND, **KINDS[kind])
    model.box = "landmarks"
    config = json.loads(json.dumps(model.get_config()))
    assert config["scheme"] == HAND.to_config()
    again = kind.from_config(config)
    assert (again.scheme, again.box, again.num_landmarks) == (HAND, "landmarks", 6)
    assert again.get_config() == model.get_config()


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_of_points_never_chooses_a_scheme(kind: Any) -> None:
    for count in (19, 68) if kind is GRegLRef else (19,):
        model = kind(count, **KINDS[kind])
        assert model.scheme is None
        assert model.get_config()["scheme"] is None
    with pytest.raises(ValueError, match="`scheme`, or .* `num_landmarks`"):
        kind(**KINDS[kind])
    with pytest.raises(ValueError, match=r"has 6 points.* Received: num_landmarks=5"):
        kind(5, scheme=HAND, **KINDS[kind])


OPEN = """
import sys, numpy as np, tfalign
from tfalign import models
model = models.load(sys.argv[1])
print(model.scheme.name, list(model.scheme.flip_map), model.scheme.normalizer, model.box)
print(np.asarray(model(np.full((1, 32, 32, 3), 99, "uint8"))).tobytes().hex())
"""


@pytest.mark.slow
def test_a_new_process_needs_no_registration(tmp_path: Path, repository: Path) -> None:
    model = GRegNet(scheme=HAND, **SMALL)
    model.box = "file"
    model.save(tmp_path / "hand.keras")
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(tmp_path / "hand.keras")],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told, points = done.stdout.splitlines()
    assert told == f"hand {list(range(6))} ((0,), (4, 5)) file"
    expected = np.asarray(model(np.full((1, 32, 32, 3), 99, "uint8")))
    found = np.frombuffer(bytes.fromhex(points), np.float32).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_files_of_0_1_name_their_scheme_only() -> None:
    config = GRegNet(68, **SMALL).get_config()
    assert GRegLRef.from_config({**config, "scheme": "ibug68"}).scheme == markup.get("ibug68")
    with pytest.warns(UserWarning, match="'mine', which is unknown here"):
        opened = GRegLRef.from_config({**config, "scheme": "mine"})
    assert opened.scheme is None


@pytest.mark.slow
def test_landmark_metrics_see_the_weights_wherever_they_are_given() -> None:
    """Beside Keras's own metrics, which keep their place."""
    model = GRegNet(scheme=HAND, **SMALL)
    protocol = AnchorDistance(HAND, (0,), (4,))
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    truth = rng.uniform(size=(4, 6, 2)).astype("float32")
    weights = np.float32([1, 0, 1, 1, 1, 1]) * np.ones((4, 1), np.float32)
    shown = truth + (weights == 0)[..., None] * 50
    for metrics in ([NME(protocol), "mae"], NME(protocol)):
        model.compile(loss=L2Loss(), metrics=metrics, weighted_metrics=[NME(protocol, name="b")])
        found = model.evaluate(images, shown, sample_weight=weights, verbose=0, return_dict=True)
        assert found["nme"] == found["b"] < 5
    for metrics in ([NME(protocol), "mae"], [[NME(protocol), "mae"]]):
        model.compile(loss=L2Loss(), metrics=metrics)
        found = model.evaluate(images, shown, sample_weight=weights, verbose=0, return_dict=True)
        assert found["nme"] < 5 < found["mae"]
    model.compile(loss=L2Loss(), metrics=NME(protocol))
    found = model.evaluate(images, shown, sample_weight=weights, verbose=0, return_dict=True)
    assert found["nme"] < 5


def test_load_is_the_one_door(tmp_path: Path) -> None:
    model = GRegNet(scheme=HAND, **SMALL)
    assert models.load(model) is model
    model.save(tmp_path / "m.keras")
    for path in (tmp_path / "m.keras", str(tmp_path / "m.keras")):
        assert models.load(path).scheme == HAND


def test_a_subclass_may_hand_its_scheme_on_in_any_form(tmp_path: Path) -> None:
    """As the guide's architecture of one's own does: a name, an object, or a configuration."""

    class Mine(models.LandmarkModel):
        def __init__(self, num_landmarks, scheme=None, crop="300w", name="mine", input_shape=None):
            images = keras.Input((8, 8, 3))
            x = keras.layers.Dense(2 * num_landmarks)(keras.layers.Flatten()(images))
            shape = keras.layers.Reshape((num_landmarks, 2))(x)
            super().__init__(images, [shape], {"stages": shape}, {}, crop, scheme, name=name)

        def get_config(self):
            return self.base_config()

    (tmp_path / "hand.json").write_text(json.dumps(HAND.to_config()))
    for scheme in (HAND, HAND.to_config(), tmp_path / "hand.json", None):
        model = Mine(6, scheme)
        again = Mine.from_config(json.loads(json.dumps(model.get_config())))
        assert again.scheme == model.scheme == (None if scheme is None else HAND)
    with pytest.raises(ValueError, match="has 6 points"):
        Mine(5, HAND)


@pytest.mark.slow
def test_a_compiled_model_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    """Its loss, metrics and optimizer come back with the file, as of any Keras model."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    truth = rng.uniform(size=(4, 6, 2)).astype("float32")
    weights = np.ones((4, 6), np.float32)
    weights[:, 1] = 0
    model = GRegNet(scheme=HAND, **SMALL)
    model.compile(
        keras.optimizers.Adam(0.01), L2Loss(), None, [NME(AnchorDistance(HAND, (0,), (4,)))]
    )
    model.train_on_batch(images, truth, weights)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    expected, found = (
        one.test_on_batch(images, truth, weights, return_dict=True) for one in (model, again)
    )
    assert found == pytest.approx(expected, rel=1e-5)
    assert set(found) == {"loss", "nme"}
    moments = [np.asarray(v) for v in model.optimizer.variables]
    for one, other in zip(moments, again.optimizer.variables, strict=True):
        np.testing.assert_allclose(one, np.asarray(other), atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "group", "arguments"),
    [(GRegLRef, "global", {}), (CCNN, "regressions", {"units": 1})],
)
def test_what_was_frozen_stays_frozen(kind: Any, group: str, arguments: dict) -> None:
    """Also layers that only training needs, such as heads of CCNN's units but the last."""
    model = kind(scheme=HAND, **KINDS[kind], **arguments)
    whole = len(model.trainable_variables)
    assert "frozen" not in model.get_config()
    for layer in model.groups[group]:
        layer.trainable = False
    assert 0 < len(model.trainable_variables) < whole
    again = kind.from_config(json.loads(json.dumps(model.get_config())))
    assert again.get_config() == model.get_config()
    found, expected = ([v.path for v in m.trainable_variables] for m in (again, model))
    assert found == expected


def test_a_model_that_is_frozen_as_a_whole_is_thawed_as_a_whole() -> None:
    model = GRegNet(scheme=HAND, **SMALL)
    whole = len(model.trainable_variables)
    model.trainable = False
    again = type(model).from_config(model.get_config())
    assert not again.trainable_variables
    again.trainable = True
    assert len(again.trainable_variables) == whole
    # One that is frozen is so whatever its layers say.
    model.layers[-1].trainable = True
    assert not model.trainable_variables
    assert not type(model).from_config(model.get_config()).trainable_variables


@pytest.mark.slow
def test_a_frozen_model_is_trained_on_as_it_was_saved(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    truth = rng.uniform(size=(2, 6, 2)).astype("float32")
    model = GRegNet(scheme=HAND, **SMALL)
    whole = len(model.trainable_variables)
    for layer in model.layers[:-2]:
        layer.trainable = False
    model.compile("adam", L2Loss())
    model.train_on_batch(images, truth)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert len(again.trainable_variables) == len(model.trainable_variables) == 2
    for one, kept in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(kept))
    again.train_on_batch(images, truth)
    for one, kept in zip(again.weights[:-2], model.weights[:-2], strict=True):
        if not one.path.endswith("seed_generator_state"):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(kept), err_msg=one.path)
    # The weights still fit a model of which nothing is frozen.
    other = GRegNet(scheme=HAND, weights=str(tmp_path / "m.keras"), **SMALL)
    assert len(other.trainable_variables) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_channels_come_last(kind: Any) -> None:
    """With Keras set otherwise, layers would take rows for channels."""
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="Received: image_data_format='channels_first'"):
            kind(scheme=HAND, **KINDS[kind])
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", list(models.ARCHITECTURES))
def test_a_class_is_its_papers_by_default(name: str) -> None:
    """What the published model asks for is what the class gives to who asks for nothing."""
    entry = models.architecture(name)
    defaults = {key: p.default for key, p in inspect.signature(entry.kind).parameters.items()}
    assert {key: defaults[key] for key in entry.published} == dict(entry.published)


def test_positions_have_the_gradient_that_their_paper_gives_them() -> None:
    name = "stop_position_gradient"
    found = {kind: inspect.signature(kind).parameters[name].default
             for kind in (GRegLRef, DSSD, RDSSD, ShapeIndexedCrop, ShapeIndexedPatches,
                          PixelDifferences)}  # fmt: skip
    # GRegLRef (section 3.3) speaks of features alone, DSSD derives Equations 17 to 22; a layer by
    # itself is differentiable.
    assert [kind for kind, stops in found.items() if stops] == [GRegLRef]


def _looking_twice() -> models.Ensemble:
    members = [GRegNet(scheme="ibug68", name=name, **SMALL) for name in ("first", "second")]
    members[1].box = "landmarks"
    return models.Ensemble(members, image_size=(48, 64))


@pytest.mark.parametrize(
    "make",
    [
        *(pytest.param(lambda kind=k: kind(19, **KINDS[kind]), id=k.__name__) for k in KINDS),
        pytest.param(
            lambda: TwoStage(19, **{**KINDS[TwoStage], "input_shape": (70, 64, 3)}),
            id="TwoStage of a view that is resized",
        ),
        pytest.param(_looking_twice, id="Ensemble of a picture that is resized"),
    ],
)
def test_a_plain_call_is_inference(make: Any) -> None:
    """One layer that trains by default makes all that follow it train."""
    model = make()
    noise = np.random.default_rng(0).uniform(0, 255, (2, *model.image_size, 3)).astype("float32")
    before = [np.array(value) for value in model.get_weights()]
    plain = keras.ops.convert_to_numpy(model(noise))
    for value, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(now, value)
    for images, one in zip((noise[:1], noise[1:]), plain, strict=True):
        np.testing.assert_allclose(model.predict(images, verbose=0)[0], one, atol=1e-5)
