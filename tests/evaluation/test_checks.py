import warnings

import numpy as np
import pytest

from tfalign import geometry, markup
from tfalign.evaluation import EvaluationWarning, score

PROTOCOL = "300w_inter_ocular"


@pytest.fixture
def truth(rng):
    points = rng.uniform(20, 180, (40, 68, 2))
    points[:, 36], points[:, 45] = (60, 80), (140, 80)
    return points


@pytest.fixture
def predicted(truth, rng):
    # Every face is off by its own offset, as an honest model's is.
    return truth + rng.normal(0, 2, truth.shape) + rng.normal(0, 3, (len(truth), 1, 2))


def test_honest_predictions_raise_no_warning(truth, predicted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(predicted, truth, PROTOCOL).warnings == ()


def test_wrong_number_of_points(truth, predicted):
    with pytest.raises(ValueError, match=r"must be \(faces, 98, 2\).*`tfalign.markup.convert`"):
        score(predicted, truth, "wflw_inter_ocular")
    with pytest.raises(ValueError, match=r"`predicted` must be .*Received: predicted of shape"):
        score(predicted[:, :51], truth, PROTOCOL)
    with pytest.raises(ValueError, match=r"must be \(faces, 68, 2\)"):
        score(predicted[0], truth[0], PROTOCOL)


def test_different_faces(truth, predicted):
    with pytest.raises(ValueError, match="39 predictions and 40 true shapes"):
        score(predicted[1:], truth, PROTOCOL)
    with pytest.raises(ValueError, match="at least one"):
        score(predicted[:0], truth[:0], PROTOCOL)


def test_nan_names_the_faces(truth, predicted):
    predicted[[3, 7], 5, 1] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"`predicted` must be finite.*2 of 40 faces: 3, 7"):
        score(predicted, truth, PROTOCOL)
    with pytest.raises(ValueError, match="`truth` must be finite"):
        score(truth, predicted, PROTOCOL)


@pytest.mark.parametrize("small", ["predicted", "truth"])
def test_model_space_against_pixels(truth, predicted, small):
    arrays = {"predicted": predicted, "truth": truth}
    arrays[small] = geometry.unit_from_pixel(arrays[small], (200, 200))
    with pytest.raises(ValueError, match=rf"`{small}` in \[0, 1\] .* in pixels"):
        score(**arrays, protocol=PROTOCOL)


def test_both_in_model_space_and_a_collapsed_prediction_are_scored(truth, predicted):
    # An untrained network may answer one point near the image's corner; that is bad, not wrong.
    unit = score(predicted / 200, truth / 200, PROTOCOL)
    assert unit.nme == pytest.approx(score(predicted, truth, PROTOCOL).nme)
    assert score(np.full_like(truth, 0.3), truth, PROTOCOL).nme > 1


def test_truncated_predictions_warn(truth, predicted):
    with pytest.warns(EvaluationWarning, match="rounded or truncated"):
        score(np.floor(predicted), truth, PROTOCOL)


@pytest.mark.parametrize("offset", [-1.0, -0.5, 0.5, 1.0])
def test_constant_offset_warns(truth, offset, rng):
    with pytest.warns(EvaluationWarning, match="1-based against 0-based"):
        score(truth + rng.normal(0, 0.3, truth.shape) + offset, truth, PROTOCOL)


def test_mirrored_order_warns(truth, predicted):
    swapped = predicted[:, markup.IBUG68.flip_map]
    with pytest.warns(EvaluationWarning, match="flip_map"):
        score(swapped, truth, PROTOCOL)


def test_visible_only(rng):
    truth = rng.uniform(0, 100, (2, 68, 2))
    truth[:, 36], truth[:, 45] = (20, 50), (60, 50)
    predicted = truth.copy()
    predicted[0, 0] += (40, 0)
    predicted[1, 1] += (0, 4)
    visible = np.ones((2, 68), bool)
    visible[0, 0] = False
    everything = score(predicted, truth, "cofw68_inter_ocular", visible=visible)
    np.testing.assert_allclose(everything.errors, [1 / 68, 0.1 / 68])
    seen = score(predicted, truth, "cofw68_inter_ocular_visible", visible=visible)
    np.testing.assert_allclose(seen.errors, [0, 0.1 / 68])
    truth[0, 0] = np.nan  # the annotation of a hidden point may be missing
    hidden = score(predicted, truth, "cofw68_inter_ocular_visible", visible=visible)
    np.testing.assert_allclose(hidden.errors, seen.errors)
    with pytest.raises(ValueError, match="`truth` must be finite"):
        score(predicted, truth, "cofw68_inter_ocular", visible=visible)


def test_visible_only_needs_a_mask_with_a_point_in_each_face(rng):
    truth = rng.uniform(0, 100, (2, 68, 2))
    name = "cofw68_inter_ocular_visible"
    with pytest.raises(ValueError, match="give `visible`"):
        score(truth, truth, name)
    with pytest.raises(ValueError, match="boolean array of shape"):
        score(truth, truth, name, visible=np.ones((2, 68)))
    mask = np.ones((2, 68), bool)
    mask[1] = False
    with pytest.raises(ValueError, match="1 of 2 faces: 1"):
        score(truth, truth, name, visible=mask)


def test_missing_points_are_left_out(truth, predicted):
    lacking = predicted.copy()
    lacking[:, 33] = np.nan
    name = markup.IBUG68.points[33]
    found = score(lacking, truth, PROTOCOL, missing=[name])
    distances = np.delete(np.linalg.norm(predicted - truth, axis=-1), 33, axis=1)
    np.testing.assert_allclose(found.errors, distances.mean(axis=1) / 80)
    assert np.isnan(found.point_errors[:, 33]).all()
    with pytest.raises(ValueError, match="A point must be one of"):
        score(lacking, truth, PROTOCOL, missing=["ear"])


def test_points_without_annotation_count_in_no_face_and_no_normaliser(truth, predicted):
    annotated = np.ones((40, 68), bool)
    annotated[::2, 48:] = False
    holes = np.where(annotated[..., None], truth, 0.0)
    found = score(predicted, holes, PROTOCOL, annotated=annotated)
    distance = np.linalg.norm(predicted - truth, axis=-1) / 80
    np.testing.assert_allclose(found.errors[1::2], distance[1::2].mean(axis=1))
    np.testing.assert_allclose(found.errors[::2], distance[::2, :48].mean(axis=1))
    annotated[3, 36] = False  # an eye corner, by which this face's error is divided
    with pytest.raises(ValueError, match=r"must be finite.*1 of 40 faces: 3"):
        score(predicted, holes, PROTOCOL, annotated=annotated)
    with pytest.raises(ValueError, match="`annotated` must be a boolean array"):
        score(predicted, truth, PROTOCOL, annotated=np.ones((40, 68)))
