"""Published trainings to the letter: rates, dropout, mirroring, boxes and what a set changes."""

from __future__ import annotations

import dataclasses
import json

import keras
import numpy as np
import pytest

from tfalign import markup, models, training
from tfalign.data.augment import presets
from tfalign.data.pipeline import CropCache, evaluation_arrays
from tfalign.geometry import crop_convention
from tfalign.models import architecture
from tfalign.models.dropout_regression import dropout_descent
from tfalign.training import Settings, make_schedule
from tfalign.training.mirror import mirrored
from tfalign.training.optimizers import build_optimizer
from tfalign.training.schedules import PUBLISHED_BOXES, Budget, deepreg, greglref


def test_deepregs_rate_is_the_papers_in_keras_units() -> None:
    """One step of SGD on weights of the paper's convention against one of ours, by hand.

    The paper: prediction = W (m * x), and W / 2 at inference. Keras: V (m * x) / keep, V as it is
    at inference. So V = keep W, and after the same step V must still be keep W.
    """
    rng = np.random.default_rng(0)
    keep, rate = 0.5, 0.01
    x, target = rng.normal(size=6), rng.normal(size=4)
    mask = rng.integers(0, 2, 6)
    ours = keep * (papers := rng.normal(size=(4, 6)))
    bias = rng.normal(size=4)
    error = papers @ (mask * x) + bias - target
    papers_after = papers - rate * np.outer(error, mask * x)
    bias_after = bias - rate * error

    spec = deepreg.published(1).phases[-1].optimizer
    kernel = keras.Variable(ours.astype("float32"), name="kernel")
    offset = keras.Variable(bias.astype("float32"), name="bias")
    optimizer = build_optimizer(spec, rate)
    optimizer.build([kernel, offset])
    gradient = np.outer(error, mask * x / keep).astype("float32")
    optimizer.apply([keras.ops.convert_to_tensor(gradient), error.astype("float32")])
    np.testing.assert_allclose(np.asarray(kernel), keep * papers_after, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(offset), bias_after, rtol=1e-5, atol=1e-6)


def test_deepregs_earlier_stages_are_fixed() -> None:
    """Equation 4: a stage learns from what the earlier ones say without dropout."""
    model = models.DeepReg(num_landmarks=68, input_shape=(64, 64, 3), local_layers=1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 64, 64, 3)).astype("uint8")
    landmarks = rng.uniform(0.3, 0.7, (20, 68, 2)).astype("float32")
    keras.utils.set_random_seed(3)
    seen = []

    def spy(features, targets, rate):  # type: ignore[no-untyped-def]
        seen.append((features, targets))
        return dropout_descent(features, targets, rate, epochs=3)

    model._learn_sequential(training.ArrayFeed(images, landmarks, 20), 1, spy)
    order = np.random.default_rng([0, 0]).permutation(20)
    views = keras.Model(model.input, [model.get_layer("sift_1").output, model.outputs[0]])
    features, _ = views.predict(images[order], verbose=0)
    first = np.asarray(model.stage_shapes(images[order]))[:, 0]
    (_, whole), (used, rest) = seen
    np.testing.assert_allclose(whole, landmarks[order].reshape(20, -1))
    np.testing.assert_allclose(used, features.reshape(20, -1), atol=1e-4)
    np.testing.assert_allclose(rest, (landmarks[order] - first).reshape(20, -1), atol=1e-5)


def test_mirrored_faces() -> None:
    """Every pixel and every named point of the mirror image stands where the mirror puts it."""
    rng = np.random.default_rng(2)
    side, size, n = 24, (16, 16), 68
    cache = CropCache(
        images=rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8),
        landmarks=rng.uniform(2, side - 2, (3, n, 2)).astype("f4"),
        visible=rng.integers(0, 2, (3, n)).astype(bool),
        source_from_image=np.tile(np.float32([[0.5, 0, 3], [0, 0.5, 1]]), (3, 1, 1)),
        output_from_source=np.tile(np.float32([[1, 0, -5], [0, 1, -3]]), (3, 1, 1)),
        boxes=np.zeros((3, 4), "f4"),
        names=np.array(["a", "b", "c"]),
        attributes=np.array([{}, {}, {}], dtype=object),
        scheme=markup.IBUG68,
        image_size=size,
        crop=crop_convention("300w"),
    )
    other = mirrored(cache)
    images, points = evaluation_arrays(cache)
    mirror, mirrored_points = evaluation_arrays(other)
    np.testing.assert_array_equal(mirror, images[:, :, ::-1])
    left, right = markup.IBUG68.eye_corners
    np.testing.assert_allclose(mirrored_points[:, left, 0], 1 - points[:, right, 0], atol=1e-5)
    np.testing.assert_allclose(mirrored_points[:, left, 1], points[:, right, 1], atol=1e-5)
    np.testing.assert_array_equal(other.visible[:, left], cache.visible[:, right])
    np.testing.assert_allclose(mirrored(other).landmarks, cache.landmarks, atol=1e-5)
    # Errors are measured in the photograph, mirrored as it is: distances stay.
    spans = [np.linalg.norm(np.ptp(c.image_landmarks, axis=1), axis=-1) for c in (cache, other)]
    np.testing.assert_allclose(*spans, rtol=1e-5)
    bare = dataclasses.replace(markup.IBUG68, name="bare", flip_pairs=None)
    with pytest.raises(ValueError, match="mirror pairs"):
        mirrored(dataclasses.replace(cache, scheme=bare))


def published(name: str, dataset: str = "") -> Settings:
    return Settings.made(architecture(name), {"schedule": "published"}, dataset)


def test_published_settings() -> None:
    paper = published("deepreg")
    assert (paper.batch_size, paper.mirror, paper.augment) == (100, True, "none")
    assert published("two_stage").batch_size == 128
    # PDB on 300-W alone.
    assert published("greglref", "300w").balance
    assert not published("greglref", "wflw").balance
    changed = Settings.made(architecture("deepreg"), {"schedule": "published", "mirror": False})
    assert not changed.mirror
    assert PUBLISHED_BOXES["two_stage"]["300w"] == "detector"


def test_tsrs_published_augmentation_is_the_boxes_spread_alone() -> None:
    config = presets.get(published("two_stage").augment).get_config()
    none = presets.NONE.get_config()
    assert {name for name in config if config[name] != none[name]} == {"scale", "translation"}


@pytest.mark.parametrize(("points", "expected"), [(68, greglref.DROPOUT), (98, 0.0)])
def test_greglrefs_dropout_is_on_300w_alone(points: int, expected: float) -> None:
    made = training.make_model("greglref", markup.IBUG68 if points == 68 else markup.WFLW98,
                               image_size=(32, 32), width=0.125)  # fmt: skip
    fine = greglref.published_for(made, Budget(None, 10)).phases[1]
    assert fine.switches == {"dropout": expected}
    asked = greglref.published_for(made, Budget(None, 10, dropout=0.1)).phases[1]
    assert asked.switches == {"dropout": 0.1}


def test_without_validation_a_plateau_watches_the_training_loss() -> None:
    made = training.make_model("gregnet", markup.IBUG68, image_size=(32, 32), width=0.125)
    settings = published("gregnet")
    watched, alone = (make_schedule(settings, made, 10, watched) for watched in (True, False))
    assert watched.phases[0].learning_rate.monitor == "val_nme"
    assert alone.phases[0].learning_rate.monitor == "loss"


def test_loss_replaces_the_cost_of_landmarks() -> None:
    made = training.make_model("greglref", markup.IBUG68, image_size=(32, 32), width=0.125)
    schedule = make_schedule(Settings(loss="wing", steps=40), made, 10)
    usual = make_schedule(Settings(steps=40), made, 10)
    for phase, before in zip(schedule.phases, usual.phases, strict=True):
        assert phase.losses.keys() == before.losses.keys()
        for output, old in before.losses.items():
            term = phase.losses[output]
            assert (term.loss, term.weight) == ("wing", old.weight)
            assert term.arguments.get("stage_weights") == old.arguments.get("stage_weights")
        json.dumps(dataclasses.asdict(phase))
    heatmaps = training.make_model("ccnn", markup.IBUG68, image_size=(32, 32), width=0.0625)
    changed = make_schedule(Settings(loss="smooth_l1", steps=40), heatmaps, 10).phases[0].losses
    assert changed["heatmap_0"].loss == "tfalign>HeatmapLoss"
    assert changed["refined_1"].loss == "smooth_l1"
