import keras
import numpy as np
import pytest

from tfalign.evaluation import PROTOCOLS
from tfalign.metrics import NORMALIZERS, FailureRate


def shapes(errors):
    """Faces of eye distance 1 whose every point is off by the given error."""
    truth = np.zeros((len(errors), 68, 2), "float32")
    truth[:, 45, 0] = 1.0
    predicted = truth.copy()
    predicted[..., 1] += np.asarray(errors, "float32")[:, None]
    return truth, predicted


def test_counts_errors_above_the_threshold_only():
    metric = FailureRate("300w_inter_ocular", threshold=0.125)
    metric.update_state(*shapes([0.0, 0.124, 0.125, 0.126]))  # 0.125 is exact in binary
    metric.update_state(*shapes([0.5]))
    assert float(metric.result()) == pytest.approx(2 / 5)


def test_nan_is_a_failure():
    metric = FailureRate("300w_inter_ocular")
    truth, predicted = shapes([0.0, 0.0])
    predicted[0, 3, 0] = np.nan
    metric.update_state(truth, predicted)
    assert float(metric.result()) == 0.5


def test_config_survives():
    metric = FailureRate("300w_inter_pupil", threshold=0.08, image_size=(64, 64), name="bad")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()
    assert again.threshold == 0.08


@pytest.mark.parametrize("threshold", [0.0, -0.1])
def test_threshold_must_be_positive(threshold):
    with pytest.raises(ValueError, match="must be positive"):
        FailureRate("300w_inter_ocular", threshold=threshold)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_threshold_is_the_protocols(name):
    protocol = PROTOCOLS[name]
    if protocol.needs_boxes:
        with pytest.raises(ValueError, match="box"):
            FailureRate(name)
        return
    assert FailureRate(protocol).threshold == protocol.threshold
    if name in NORMALIZERS:
        assert FailureRate(name).threshold == protocol.threshold
