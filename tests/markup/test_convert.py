"""Conversions between schemes, and the registry's errors."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tfalign import markup

PUBLIC_68_FROM_98 = [
    *range(0, 33, 2), 33, 34, 35, 36, 37, 42, 43, 44, 45, 46, 51, 52, 53, 54, 55, 56, 57, 58, 59,
    60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86,
    87, 88, 89, 90, 91, 92, 93, 94, 95,
]  # fmt: skip


def numbered_shape(count: int) -> np.ndarray:
    """A shape whose coordinates tell the index: x = i, y = 1000 + i."""
    index = np.arange(count, dtype=np.float32)
    return np.stack([index, 1000 + index], axis=-1)


def test_98_to_68_is_the_mapping_in_general_use():
    out = markup.convert(numbered_shape(98), "wflw98", "ibug68")
    assert out[:, 0].tolist() == PUBLIC_68_FROM_98
    assert out.dtype == np.float32


def test_names_agree_where_both_schemes_have_a_name():
    plan = markup.conversion("wflw98", "ibug68")
    for target, (source,) in zip(plan.target.points, plan.sources, strict=True):
        if target in plan.source.points and "contour" not in target and "_eye_" not in target:
            assert plan.source.points[source] == target


def test_68_to_51_drops_the_contour():
    out = markup.convert(numbered_shape(68), "ibug68", "ibug51")
    assert out[:, 0].tolist() == list(range(17, 68))


@pytest.mark.parametrize(
    ("source", "target"),
    [("wflw98", "ibug68"), ("wflw98", "ibug51"), ("wflw98", "cofw29"), ("ibug68", "ibug51"),
     ("ibug68", "cofw29"), ("ibug68", "lfpw29")],
)  # fmt: skip
def test_conversion_commutes_with_mirroring(source, target, rng):
    points = rng.uniform(size=(3, markup.get(source).num_points, 2))

    def mirror(shape, scheme):
        return (shape * [-1, 1])[:, list(markup.get(scheme).flip_map)]

    one = markup.convert(mirror(points, source), source, target, undefined="nan")
    other = mirror(markup.convert(points, source, target, undefined="nan"), target)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_98_to_29_lands_on_the_named_places(real_data):
    path = real_data / "format_samples/WFLW/WFLW_annotations/list_98pt_rect_attr_train_test"
    line = (path / "list_98pt_rect_attr_train.txt").read_text().splitlines()[0]
    face = np.array(line.split()[:196], float).reshape(98, 2)
    out = markup.convert(face, markup.WFLW98, markup.COFW29)
    at = markup.COFW29.index
    assert np.array_equal(out[at("right_pupil")], face[96])
    assert np.array_equal(out[at("chin")], face[16])
    assert np.array_equal(out[at("left_eye_outer")], face[72])
    for side in ("left", "right"):
        assert out[at(f"{side}_brow_top"), 1] < out[at(f"{side}_brow_bottom"), 1]
        assert out[at(f"{side}_eye_top"), 1] < out[at(f"{side}_pupil"), 1]
        assert out[at(f"{side}_pupil"), 1] < out[at(f"{side}_eye_bottom"), 1]


def test_68_to_29_says_what_is_missing():
    with pytest.raises(ValueError, match="right_brow_bottom, left_brow_bottom"):
        markup.convert(numbered_shape(68), "ibug68", "cofw29")
    out = markup.convert(numbered_shape(68), "ibug68", "cofw29", undefined="nan")
    assert np.flatnonzero(np.isnan(out[:, 0])).tolist() == [5, 7]
    assert np.isnan(out).sum() == 4
    np.testing.assert_allclose(out[markup.COFW29.pupils[0][0]], [38.5, 1038.5])
    np.testing.assert_allclose(out[12], [37.5, 1037.5])


def test_a_nan_spreads_to_no_other_point():
    points = numbered_shape(98)
    points[0] = np.nan
    out = markup.convert(points, "wflw98", "cofw29")
    assert np.isfinite(out).all(), "point 0 is part of none of the 29"


@pytest.mark.parametrize(("source", "target"), [("wflw98", "ibug68"), ("ibug68", "cofw29")])
def test_tensors_give_tensors_with_the_same_values(source, target, rng):
    points = rng.uniform(size=(2, 3, markup.get(source).num_points, 2)).astype("float32")
    tensor = markup.convert(ops.convert_to_tensor(points), source, target, undefined="nan")
    assert ops.is_tensor(tensor)
    expected = markup.convert(points, source, target, undefined="nan")
    np.testing.assert_allclose(ops.convert_to_numpy(tensor), expected, rtol=0, atol=1e-6)


def test_own_schemes_agree_by_name():
    own = markup.LandmarkScheme("own", ("chin", "ear", "left_eye_outer", "right_eye_outer"))
    out = markup.convert(numbered_shape(68), "ibug68", own, undefined="nan")
    np.testing.assert_array_equal(out[:, 0], [8, np.nan, 45, 36])
    assert markup.conversion("ibug68", own).undefined == ("ear",)


def test_numbers_agree_only_among_equally_many():
    one = markup.LandmarkScheme("one", ("rim_0", "rim_1", "tip_0", "7"))
    two = markup.LandmarkScheme("two", ("rim_0", "rim_1", "rim_2", "tip_0", "7"))
    assert markup.conversion(one, two).sources == ((), (), (), (2,), ())


def test_other_order_of_the_same_names_is_followed(rng):
    order = rng.permutation(68)
    own = markup.LandmarkScheme("own68", tuple(markup.IBUG68.points[i] for i in order))
    out = markup.convert(numbered_shape(68), "ibug68", own)
    assert out[:, 0].tolist() == order.tolist()


def test_single_points_lead_back():
    back = markup.conversion("ibug68", "wflw98")
    for place, (used,) in enumerate(markup.conversion("wflw98", "ibug68").sources):
        assert back.sources[used] == (place,)
    assert len(back.undefined) == 30


def test_a_scheme_that_only_borrows_a_name_has_no_table():
    fake = markup.LandmarkScheme("wflw98", ("a", "b"))
    with pytest.raises(ValueError, match="points of equal names"):
        markup.conversion(fake, "ibug68")


def test_same_scheme_is_the_identity():
    points = numbered_shape(19)
    assert np.array_equal(markup.convert(points, "aflw19", markup.AFLW19), points)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: markup.convert(numbered_shape(19), "aflw19", "ibug68"),
            "Received: source='aflw19'",
        ),
        (lambda: markup.convert(numbered_shape(68), "wflw98", "ibug68"), r"\(68, 2\)"),
        (
            lambda: markup.convert(numbered_shape(98), "wflw98", "ibug68", "zero"),
            "undefined='zero'",
        ),
        (lambda: markup.get("mpii"), "wflw98.*Received: scheme='mpii'"),
    ],
)
def test_errors_name_rule_and_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_whole_numbers_have_no_nan():
    """Points as a drawing tool gives them: a missing one is NaN, not the smallest integer."""
    points = [[10 * i, i] for i in range(29)]
    out = markup.convert(points, "cofw29", "aflw19", undefined="nan")
    expected = markup.convert(np.array(points, float), "cofw29", "aflw19", undefined="nan")
    assert np.isnan(expected[7]).all()
    np.testing.assert_array_equal(out, expected)
