import json
import math

import keras
import numpy as np
import pytest
from tiny_model import TinyModel

from tfalign import markup
from tfalign.losses import L2Loss
from tfalign.metrics import NME, AnchorDistance, FailureRate


def brute_force(truth, predicted, first, second):
    """The definition, one face and one point at a time."""
    faces = []
    for t, p in zip(truth, predicted, strict=True):
        eyes = math.dist(t[first], t[second])
        faces.append(sum(math.dist(a, b) for a, b in zip(t, p, strict=True)) / len(t) / eyes)
    return faces


@pytest.fixture
def shapes(rng):
    truth = rng.uniform(0, 1, (11, 98, 2)).astype("float32")
    return truth, truth + rng.normal(0, 0.02, truth.shape).astype("float32")


def test_equals_brute_force_over_uneven_batches(shapes):
    truth, predicted = shapes
    metric = NME("wflw_inter_ocular")
    for part in (slice(0, 4), slice(4, 8), slice(8, 11)):
        metric.update_state(truth[part], predicted[part])
    expected = np.mean(brute_force(truth, predicted, 60, 72))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.reset_state()
    metric.update_state(truth, truth)
    assert float(metric.result()) == 0.0


def test_last_stage_counts(shapes):
    truth, predicted = shapes
    stages = np.stack([np.zeros_like(predicted), predicted], axis=1)
    one, two = NME("wflw_inter_ocular"), NME("wflw_inter_ocular")
    one.update_state(truth, stages)
    two.update_state(truth, predicted)
    assert float(one.result()) == float(two.result())


def test_size_undoes_the_stretch_of_a_crop_that_is_not_square(shapes):
    truth, predicted = shapes
    size = np.array([128, 64])
    metric = NME("wflw_inter_ocular", image_size=(64, 128))
    metric.update_state(truth, predicted)
    expected = np.mean(brute_force(truth * size, predicted * size, 60, 72))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_sample_weight_leaves_a_face_out(shapes):
    truth, predicted = shapes
    metric = NME("wflw_inter_ocular")
    metric.update_state(truth[:2], predicted[:2], sample_weight=[0.0, 1.0])
    expected = brute_force(truth[1:2], predicted[1:2], 60, 72)[0]
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_config_survives(shapes):
    metric = NME("wflw_inter_ocular", image_size=(96, 112), name="error")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()
    metric.update_state(*shapes)
    again.update_state(*shapes)
    assert float(again.result()) == float(metric.result())


def test_in_compile_and_evaluate(shapes):
    truth, predicted = shapes
    model = keras.Sequential([keras.Input((98, 2)), keras.layers.Activation("linear")])
    model.compile(loss="mse", metrics=[NME("wflw_inter_ocular")])
    result = model.evaluate(predicted, truth, batch_size=4, verbose=0, return_dict=True)
    assert result["nme"] == pytest.approx(np.mean(brute_force(truth, predicted, 60, 72)), rel=1e-5)


def test_wrong_number_of_points_is_refused(shapes):
    with pytest.raises(ValueError, match=r"must be \(batch, 68, 2\).*Received: y_true of shape"):
        NME("300w_inter_ocular").update_state(*shapes)
    with pytest.raises(ValueError, match="Received: protocol='wflw'"):
        NME("wflw")


def mask(rng, truth):
    """Weights of points: the eye corners are always annotated, but for the second face's."""
    weights = (rng.uniform(size=truth.shape[:2]) > 0.3).astype("float32")
    weights[:, [60, 72]] = 1
    weights[1, 72] = 0
    return weights


def masked_reference(truth, predicted, weights):
    """Each face's mean over annotated points; faces without their normaliser are left out."""
    faces = []
    for t, p, w in zip(truth, predicted, weights, strict=True):
        if w[60] and w[72]:
            errors = [math.dist(a, b) for a, b, known in zip(t, p, w, strict=True) if known]
            faces.append(sum(errors) / len(errors) / math.dist(t[60], t[72]))
    return np.mean(faces)


def test_points_that_are_not_annotated_count_nothing(shapes, rng):
    truth, predicted = shapes
    weights = mask(rng, truth)
    expected = masked_reference(truth, predicted, weights)
    hidden = np.where(weights[..., None] > 0, truth, 0)
    metric = NME("wflw_inter_ocular")
    for part in (slice(0, 4), slice(4, 11)):
        metric.update_state(hidden[part], predicted[part], weights[part])
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


OWN = markup.LandmarkScheme("hand", tuple(f"finger {name}" for name in "abcde"), flip_pairs=())


def test_a_protocol_of_ones_own_survives():
    metric = NME(AnchorDistance(OWN, (0, 1), (4,)))
    again = NME.from_config(json.loads(json.dumps(metric.get_config())))
    assert again.normalizer == metric.normalizer
    truth = np.float32([[[0, 0], [0, 2], [9, 9], [9, 9], [3, 1]]])
    predicted = truth + np.float32([0.3, 0.4])
    for one in (metric, again):
        one.update_state(truth, predicted)
        assert float(one.result()) == pytest.approx(0.5 / 3)


def test_a_metric_of_0_1_had_its_size_the_other_way_round():
    old = {"protocol": "wflw_inter_ocular", "size": [112, 96], "name": "nme", "dtype": "float32"}
    assert NME.from_config(old).image_size == (96, 112)


@pytest.mark.parametrize("where", ["metrics", "weighted_metrics"])
def test_masks_in_plain_fit(rng, where):
    """`compile(loss=…, metrics=[NME(protocol)])`, the weights in fit's data."""
    keras.utils.set_random_seed(0)
    model = TinyModel(5, scheme=OWN)
    protocol = AnchorDistance(OWN, (0,), (4,))
    model.compile("sgd", loss=L2Loss(), **{where: [NME(protocol)]})
    images = rng.uniform(0, 255, (6, 32, 32, 3)).astype("float32")
    truth = rng.uniform(0.2, 0.8, (6, 5, 2)).astype("float32")
    weights = np.ones((6, 5), "float32")
    weights[:, 2], weights[3, 4] = 0, 0
    hidden = np.where(weights[..., None] > 0, truth, np.float32(1e6))
    found = model.evaluate(images, hidden, sample_weight=weights, batch_size=3, verbose=0,
                           return_dict=True)  # fmt: skip
    predicted = np.asarray(model.predict(images, verbose=0))
    distance = np.linalg.norm(predicted - truth, axis=-1)
    eyes = np.linalg.norm(truth[:, 0] - truth[:, 4], axis=-1)
    faces = (distance * weights).sum(1) / weights.sum(1) / eyes
    assert found["nme"] == pytest.approx(np.delete(faces, 3).mean(), rel=1e-4)
    assert found["loss"] == pytest.approx((distance**2 * weights).sum(1).mean(), rel=1e-4)
    history = model.fit(images, hidden, sample_weight=weights, batch_size=3, verbose=0).history
    assert np.isfinite(history["nme"]).all()
    assert history["nme"][0] < 10


def test_of_no_face_there_is_no_mean(shapes):
    """0 would be the error of a perfect model, and the best of a training."""
    truth, predicted = shapes
    weights = np.ones(truth.shape[:2], "float32")
    weights[:, 60] = 0  # an eye corner that nobody annotated
    expected = brute_force(truth[:1], predicted[:1], 60, 72)[0]
    for kind, value in ((NME, expected), (FailureRate, float(expected > 0.1))):
        metric = kind("wflw_inter_ocular")
        metric.update_state(truth, predicted, weights)
        assert math.isnan(metric.result())
        metric.update_state(truth[:1], predicted[:1])
        assert float(metric.result()) == pytest.approx(value, rel=1e-5)
        metric.reset_state()
        assert math.isnan(metric.result())


def test_a_face_without_weight_may_be_anything(shapes):
    """The padding of a batch has no eyes: 0 times NaN must not be its share of the mean."""
    truth, predicted = shapes
    filled = truth[:3].copy()
    filled[2] = 0
    expected = np.mean(brute_force(truth[:2], predicted[:2], 60, 72))
    for weights in ([1.0, 1.0, 0.0], [[1.0], [1.0], [0.0]]):
        metric = NME("wflw_inter_ocular")
        metric.update_state(filled, predicted[:3], weights)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_weights_of_another_shape_are_refused(shapes):
    with pytest.raises(ValueError, match=r"\(batch, 98\)\. Received: .* shape \(11, 5\)"):
        NME("wflw_inter_ocular").update_state(*shapes, np.ones((11, 5)))
