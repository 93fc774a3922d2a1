import json

import numpy as np
import pytest
from scipy.integrate import simpson

import tfalign
from tfalign.evaluation import Ced, score
from tfalign.evaluation.scores import few_faces_note


@pytest.fixture
def golden(real_data):
    path = real_data / "protocol_golden" / "w300_public.npz"
    if not path.is_file():
        pytest.skip(f"{path} not found")
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_golden_numbers_to_every_printed_digit(golden):
    found = tfalign.evaluation.score(
        golden["pred"], golden["gt"], protocol="300w_inter_ocular", threshold=0.08
    )
    subset = golden["subset"]

    def per_cent(mask):
        return f"{100 * found.subset(mask).nme:.5f}"

    assert f"{100 * found.nme:.5f}" == "2.99369"
    assert per_cent(subset != "ibug") == "2.58708"
    assert per_cent(subset == "ibug") == "4.66228"
    assert per_cent(subset == "helen") == "2.51946"
    assert per_cent(subset == "lfpw") == "2.68670"
    assert f"{100 * found.failure_rate:.5f}" == "0.72569"
    assert f"{found.auc:.6f}" == "0.627205"
    pupil = score(golden["pred"], golden["gt"], protocol="300w_inter_pupil")
    assert f"{100 * pupil.nme:.5f}" == "4.20342"
    assert len(found.errors) == 689
    assert found.warnings == ()


def test_simpson_of_the_sampled_curve_differs_in_the_fourth_digit_only(golden):
    found = score(golden["pred"], golden["gt"], "300w_inter_ocular", threshold=0.08)
    x = np.arange(0, 0.08 + 1e-9, 1e-4)
    sampled = simpson(found.ced(x), x=x) / 0.08
    assert abs(found.auc - sampled) < 1e-3
    assert f"{found.auc:.6f}" != f"{sampled:.6f}"


@pytest.fixture
def errors(rng):
    return np.concatenate([rng.gamma(3, 0.015, 200), [0.08, 0.1, 0.5]])


def test_ced_is_the_share_at_or_below(errors):
    ced = Ced(errors)
    for x in (0.0, 0.03, 0.08, 0.1, 1.0):
        assert ced(x) == sum(e <= x for e in errors) / len(errors)
    np.testing.assert_array_equal(ced(np.array([0.03, 0.1])), [ced(0.03), ced(0.1)])


def test_area_is_the_exact_integral_of_the_curve(errors):
    # Independent: the step function integrated piece by piece.
    limit = 0.08
    ced = Ced(errors)
    corners = np.unique(np.concatenate([[0.0, limit], errors[errors < limit]]))
    middles = (corners[1:] + corners[:-1]) / 2
    integral = sum(np.diff(corners) * [np.mean(errors <= m) for m in middles])
    assert ced.area(limit) == pytest.approx(integral / limit, rel=1e-12)
    assert Ced([0.0, 0.0]).area(limit) == 1.0
    assert Ced([0.08, 0.3]).area(limit) == 0.0
    with pytest.raises(ValueError, match="must be positive"):
        ced.area(0)


def test_curve_has_the_corners_of_the_step_function(errors):
    x, share = Ced(errors).curve(0.1)
    assert x[0] == 0
    assert x[-1] == 0.1
    assert (np.diff(x) >= 0).all()
    np.testing.assert_array_equal(share, [np.mean(errors <= v) for v in x])


def shapes(errors):
    """Faces of eye distance 50 whose every point is off by the given NME."""
    truth = np.zeros((len(errors), 68, 2)) + 100
    truth[:, :17, 1] += 80
    truth[:, 45, 0] += 50
    predicted = truth.copy()
    predicted[..., 0] += 50 * np.asarray(errors)[:, None]
    return predicted, truth


def test_failure_is_above_the_threshold_not_at_it():
    found = score(*shapes([0.0625, 0.125, 0.25, 0.5]), "300w_inter_ocular", threshold=0.125)
    assert found.failure_rate == 0.5
    assert found.failure_rate_at(0.0625) == 0.75
    assert found.ced(0.125) == 0.5


def test_numbers_by_hand():
    found = score(*shapes([0.02, 0.04, 0.12]), "300w_inter_ocular", threshold=0.08)
    np.testing.assert_allclose(found.errors, [0.02, 0.04, 0.12], rtol=1e-12)
    assert found.nme == pytest.approx(0.06)
    assert found.auc == pytest.approx((0.06 + 0.04 + 0) / 3 / 0.08)
    assert found.standard_error == pytest.approx(np.std([0.02, 0.04, 0.12], ddof=1) / 3**0.5)
    np.testing.assert_allclose(found.normalizers, 50)
    np.testing.assert_allclose(found.offset, [3.0, 0.0], atol=1e-12)
    assert found.point_errors.shape == (3, 68)


def test_default_threshold_is_the_protocols():
    assert score(*shapes([0.01]), "300w_inter_ocular").threshold == 0.08
    for wrong in (0, 8, -0.1):
        with pytest.raises(ValueError, match="fraction between 0 and 1"):
            score(*shapes([0.01]), "300w_inter_ocular", threshold=wrong)


def test_subset_checks_its_mask():
    found = score(*shapes([0.02, 0.04]), "300w_inter_ocular")
    assert found.subset(np.array([False, True])).nme == pytest.approx(0.04)
    for mask in ([True], [1, 0], [False, False]):
        with pytest.raises(ValueError, match="selects a face"):
            found.subset(np.array(mask))


def test_table_and_dict_tell_the_same():
    found = score(*shapes([0.02, 0.04]), "300w_inter_ocular")
    table, content = found.table(), json.loads(json.dumps(found.to_dict()))
    assert "3.00000 %" in table
    assert "outer eye corners" in table
    assert content["nme"] == pytest.approx(0.03)
    assert content["protocol"] == "300w_inter_ocular"
    assert json.dumps(score(*shapes([0.02]), "300w_inter_ocular").to_dict(), allow_nan=False)


def test_an_error_is_told_with_its_standard_error_over_faces(rng):
    truth = rng.uniform(50, 150, (40, 68, 2))
    found = score(truth + rng.normal(0, 2, truth.shape), truth, "300w_inter_ocular")
    resampled = rng.choice(found.errors, (20000, len(found))).mean(axis=1)
    (line,) = [line for line in found.table().splitlines() if line.startswith("NME ")]
    shown = float(line.split("±")[1].split()[0])
    # The bootstrap divides by n in the place of n - 1.
    assert abs(shown - 100 * resampled.std() * np.sqrt(40 / 39)) < 0.03 * shown
    assert found.to_dict()["nme_standard_error"] == pytest.approx(shown / 100, abs=1e-7)
    alone = found.subset(np.arange(40) < 1)
    assert "±" not in alone.table()
    assert alone.to_dict()["nme_standard_error"] is None


def test_a_figure_of_few_faces_is_told_to_be_rough():
    assert few_faces_note(30) is None
    assert "29 faces only, the figure is rough" in few_faces_note(29)
    assert "on 1 face only" in few_faces_note(1)
