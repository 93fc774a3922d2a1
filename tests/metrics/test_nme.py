import math

import keras
import numpy as np
import pytest

from tfalign.metrics import NME


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
