import numpy as np
import pytest

from tfalign.inference import QualityCalibration
from tfalign.inference.quality import disagreement


def test_disagreement_by_hand(rng):
    first = rng.uniform(0, 50, (3, 7, 2))
    second = first + rng.normal(0, 2, first.shape)
    found = disagreement(first, second)
    for index in range(3):
        distances = [np.hypot(*(a - b)) for a, b in zip(first[index], second[index], strict=True)]
        width = first[index, :, 0].max() - first[index, :, 0].min()
        height = first[index, :, 1].max() - first[index, :, 1].min()
        assert found[index] == pytest.approx(np.mean(distances) / np.sqrt(width * height))
    # A face twice as near disagrees as much.
    np.testing.assert_allclose(disagreement(2 * first, 2 * second), found)


def test_shapes_that_are_none_disagree_without_end(rng):
    shapes = rng.uniform(0, 9, (3, 5, 2))
    shapes[1] = 4.0
    shapes[2, 0] = np.nan
    apart = disagreement(shapes, shapes)
    assert apart.tolist() == [0.0, np.inf, np.inf]
    quality = QualityCalibration.of_preset().quality(apart)
    assert quality[0] == 1.0
    assert quality[1:].max() < 1e-9
    assert np.isfinite(QualityCalibration.of_preset().expected_nme(apart)).all()


def test_calibration_falls_with_disagreement():
    calibration = QualityCalibration.of_preset()
    apart = np.linspace(0, 0.2, 200)
    assert (np.diff(calibration.quality(apart)) < 0).all()
    assert (np.diff(calibration.expected_nme(apart)) >= 0).all()
    assert calibration.quality(calibration.midpoint) == 0.5
    np.testing.assert_allclose(calibration.expected_nme(calibration.knots), calibration.errors)


def test_a_calibration_without_a_preset():
    with pytest.raises(ValueError, match="has a calibration"):
        QualityCalibration.of_preset("none")
