import json

import numpy as np
import pytest

from tfalign import markup
from tfalign.evaluation import (
    PROTOCOLS,
    Protocol,
    get_protocol,
    plots,
    related_protocols,
    score,
    subset_table,
)
from tfalign.evaluation.protocols import own_protocol
from tfalign.metrics import NORMALIZERS
from tfalign.metrics.normalizers import AnchorDistance


def test_every_row_of_the_protocol_table_has_a_name():
    wanted = {
        "300w_inter_ocular",
        "300w_inter_pupil",
        "wflw_inter_ocular",
        "cofw29_inter_ocular",
        "cofw29_inter_pupil",
        "cofw68_inter_ocular",
        "cofw68_inter_ocular_visible",
        "aflw19_box_side",
        "aflw19_box_sqrt_area",
        "aflw19_box_diagonal",
        "lfpw29_inter_pupil",
    }
    assert wanted <= PROTOCOLS.keys()
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    assert NORMALIZERS.keys() <= PROTOCOLS.keys()


@pytest.mark.parametrize(
    ("name", "points", "indices"),
    [
        ("300w_inter_ocular", 68, ((36,), (45,))),
        ("wflw_inter_ocular", 98, ((60,), (72,))),
        ("cofw29_inter_ocular", 29, ((8,), (9,))),
        ("cofw29_inter_pupil", 29, ((16,), (17,))),
        ("cofw68_inter_ocular", 68, ((36,), (45,))),
        ("300w_inter_pupil", 68, (tuple(range(36, 42)), tuple(range(42, 48)))),
    ],
)
def test_normalisers_as_in_the_literature(name, points, indices):
    protocol = PROTOCOLS[name]
    assert protocol.scheme.num_points == points
    assert (protocol.normalizer.first, protocol.normalizer.second) == indices


def test_get_and_related():
    ocular = get_protocol("300w_inter_ocular")
    assert isinstance(ocular, Protocol)
    assert get_protocol(ocular) is ocular
    assert [p.name for p in related_protocols("300w_inter_ocular")] == ["300w_inter_pupil"]
    with pytest.raises(ValueError, match=r"must be one of 300w_inter_ocular, .*Received"):
        get_protocol("300W")


def face(distance):
    points = np.random.default_rng(0).uniform(0, 100, (68, 2))
    points[36], points[45] = (50, 50), (50 + distance, 50)
    return points


def test_normaliser_that_is_zero_or_absurdly_small_is_refused():
    protocol = PROTOCOLS["300w_inter_ocular"]
    truth = np.stack([face(40), face(0), face(0.1)])
    np.testing.assert_allclose(protocol.normalizers(truth[:1]), [40])
    with pytest.raises(ValueError, match=r"2 of 3 faces: 1 \(0 px\), 2 \(0.1 px\)"):
        protocol.normalizers(truth)


def test_box_protocols_need_fitting_boxes():
    protocol = PROTOCOLS["aflw19_box_sqrt_area"]
    assert protocol.needs_boxes
    assert not PROTOCOLS["wflw_inter_ocular"].needs_boxes
    truth = np.random.default_rng(0).uniform(0, 50, (2, 19, 2))
    boxes = np.array([[0, 0, 40, 90], [0, 0, 10, 10]])
    np.testing.assert_allclose(protocol.normalizers(truth, boxes), [60, 10])
    with pytest.raises(ValueError, match="give `boxes`"):
        protocol.normalizers(truth)
    with pytest.raises(ValueError, match=r"must be \(2, 4\)"):
        protocol.normalizers(truth, boxes[:1])
    with pytest.raises(ValueError, match="1 of 2 faces: 1"):
        protocol.normalizers(truth, np.array([[0, 0, 40, 90], [5, 5, 5, 5]]))


def test_a_normaliser_of_ones_own_stands_wherever_a_name_does(tmp_path, rng):
    truth = rng.uniform(0, 100, (12, 68, 2))
    predicted = truth + (3.0, 4.0)  # every point 5 pixels off
    boxes = np.tile([10.0, 10.0, 40.0, 50.0], (12, 1))
    groups = [[8], [27, 28]]
    nose = np.linalg.norm(truth[:, 8] - truth[:, 27:29].mean(axis=1), axis=-1)
    path = tmp_path / "nose.json"
    path.write_text(json.dumps({"scheme": "ibug68", "normalizer": groups, "threshold": 0.2}))
    for protocol in (
        AnchorDistance("ibug68", (8,), (27, 28)),
        AnchorDistance(markup.IBUG68, (8,), (27, 28)),
        {"scheme": "ibug68", "normalizer": groups},
        path,
        str(path),
    ):
        found = score(predicted, truth, protocol)
        np.testing.assert_allclose(found.errors, 5 / nose)
    assert get_protocol(path).threshold == 0.2
    for measure, size in (("side", 40.0), ("diagonal", 50.0), ("sqrt_area", 1200**0.5)):
        config = {"scheme": "ibug68", "normalizer": measure}
        assert score(predicted, truth, config, boxes=boxes).nme == pytest.approx(5 / size)
    pixels = score(predicted, truth, {"scheme": "ibug68", "normalizer": "none", "threshold": 6})
    assert pixels.nme == pytest.approx(5)
    assert pixels.failure_rate == 0
    assert pixels.auc == pytest.approx(1 / 6)
    assert "5.00000 px" in pixels.table()
    assert "NME px" in subset_table(pixels, {"all": np.ones(12, bool)}).index


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"scheme": "ibug68"}, "must have `scheme` and `normalizer`"),
        ({"scheme": "ibug68", "normalizer": "side", "unit": 1}, "Received: .*unit"),
        ({"scheme": "ibug68", "normalizer": "eyes"}, "normalizer='eyes'"),
        ({"scheme": "ibug68", "normalizer": [[0], []]}, "two groups of points"),
        ({"scheme": "ibug68", "normalizer": [[0], [68]]}, r"from 0 to 67 .*\[68\]"),
    ],
)
def test_configurations_that_are_no_protocol(config, message):
    with pytest.raises(ValueError, match=message):
        get_protocol(config)


def test_points_without_a_normaliser_are_measured_by_the_boxs_diagonal():
    scheme = markup.LandmarkScheme("mine", ("tip", "base"))
    protocol = own_protocol(scheme)
    assert "diagonal" in protocol.name
    truth = np.array([[[0.0, 0.0], [3.0, 4.0]]])
    boxes = np.array([[0.0, 0.0, 6.0, 8.0]])
    result = score(truth + (0.0, 1.0), truth, protocol=protocol, boxes=boxes)
    assert result.nme == pytest.approx(1.0 / 10.0)


def test_protocols_of_ones_own_are_told_apart_by_what_they_divide_by():
    """By another distance the same error is another number, whatever the protocols are called."""
    outer, inner = (
        get_protocol({"scheme": "ibug68", "normalizer": groups})
        for groups in ([[36], [45]], [[39], [42]])
    )
    assert outer.name != inner.name
    assert "right_eye_outer and left_eye_outer" in outer.name
    called = [
        get_protocol({"scheme": "ibug68", "normalizer": groups, "name": "eyes", "threshold": limit})
        for groups, limit in (
            ([[36], [45]], 0.08),
            ([[39], [42]], 0.08),
            ([[36], [45]], 0.1),
            ([[36, 37], [45]], 0.08),
        )
    ]
    assert len({json.dumps(protocol.identity) for protocol in called}) == 4
    again = get_protocol({"scheme": "ibug68", "normalizer": [[36], [45]], "name": "eyes"})
    assert json.loads(json.dumps(again.identity)) == called[0].identity
    assert get_protocol("wflw_inter_ocular").identity == "wflw_inter_ocular"
    truth = np.random.default_rng(0).uniform(0, 100, (3, 68, 2))
    scores = {str(i): score(truth + 1, truth, protocol) for i, protocol in enumerate(called[:2])}
    with pytest.raises(ValueError, match="One plot shows scores of one protocol"):
        plots.ced_plot(scores)
