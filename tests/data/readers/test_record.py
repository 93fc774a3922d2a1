"""The rules that every annotation must satisfy."""

from __future__ import annotations

import numpy as np
import pytest

from tfalign.data.readers.record import OUTSIDE_SHARE, build_record

SQUARE = np.array([[10.0, 10.0], [50.0, 10.0], [50.0, 50.0], [10.0, 50.0]])


def build(points=SQUARE, **options):
    options = {"num_points": 4, "where": "f:1", "shift": 0.5, "name": "a", "image": None, **options}
    return build_record(points=points, **options)


def test_points_and_box_are_shifted_and_never_truncated():
    record = build(SQUARE + 0.123456, box=(1.25, 2.5, 60, 70))
    np.testing.assert_allclose(record.landmarks, SQUARE + 0.623456, rtol=1e-6)
    np.testing.assert_array_equal(record.box, np.float32([1.75, 3, 60.5, 70.5]))
    assert record.box_source == "file"


def test_without_a_box_it_is_the_tight_one():
    record = build()
    np.testing.assert_array_equal(record.box, np.float32([10.5, 10.5, 50.5, 50.5]))
    assert record.box_source == "landmarks"
    assert record.visible.all()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("wrong-number-of-points", {"points": SQUARE[:3]}),
        ("not-finite", {"points": SQUARE * [1, np.nan]}),
        ("not-finite", {"box": (1, 2, np.inf, 4)}),
        ("outside-image", {"points": SQUARE * 1e6}),
        ("empty-box", {"points": SQUARE * [1, 0]}),
        ("empty-box", {"points": SQUARE / 100}),  # fractions of a picture of 100 pixels
        ("empty-box", {"points": SQUARE / 100, "box": (0, 0, 1, 1)}),
        ("empty-box", {"box": (5, 5, 5, 60)}),
        ("empty-box", {"box": (60, 60, 5, 5)}),
        ("not-annotated", {"annotated": np.zeros(4, bool)}),
    ],
)
def test_bad_annotations(kind, change):
    with pytest.raises(ValueError, match=r"f:1: .*(Received|at least)") as caught:
        build(**change)
    assert caught.value.problem.kind == kind
    assert caught.value.problem.name == "a"


@pytest.mark.parametrize("box", [(60, 10, 90, 50), (52, 20, 54, 30), (20, 20, 30, 30)])
def test_a_box_without_a_landmark_gives_way_with_a_doubt(box):
    record = build(box=box)
    assert record.doubt.kind == "box-misses-face"
    assert record.box_source == "landmarks"
    np.testing.assert_array_equal(record.box, build().box)
    assert build(box=(0, 0, 60, 60)).doubt is None


def test_a_box_with_few_landmarks_stays_with_a_doubt():
    record = build(box=(5, 5, 20, 60))
    assert record.doubt is None
    record = build(box=(5, 5, 20, 20))
    assert "should hold half of its landmarks" in record.doubt.message
    assert (record.doubt.kind, record.box_source) == ("box-misses-face", "file")


@pytest.mark.parametrize("place", [0.0, -1.0])
@pytest.mark.parametrize("shift", [0.5, 0.0, -0.5])
def test_points_that_tools_put_nowhere_are_doubted(place, shift):
    points = SQUARE.copy()
    points[2] = place
    doubt = build(points, shift=shift).doubt
    assert doubt.kind == "not-annotated"
    assert "Received: points [2], counted from 0" in doubt.message
    # Marked as what they are, on one axis alone, or without a place by the set's own rule.
    assert build(points, annotated=np.arange(4) != 2).doubt is None
    assert build(np.where(SQUARE == 10, place, SQUARE)[1:], num_points=3).doubt is None
    assert build(points, anywhere=np.arange(4) == 2).doubt is None


def test_a_box_that_leaves_its_image_far_is_doubted():
    size = (64, 64)
    assert build().box_doubt((30, 64)) is None  # The landmarks' own box has their rules.
    assert build(box=(-20, 0, 60, 60)).box_doubt(size) is None
    for box in ((0, 0, 60, 86), (-21, 0, 60, 60)):
        assert build(box=box).box_doubt(size).kind == "box-outside-image"


def test_points_that_are_not_annotated_count_nowhere():
    points = np.concatenate([SQUARE, [[np.nan, 9e9]]])
    known = np.array([True, True, False, True, False])
    record = build_record(
        name="a", image=None, where="f:1", num_points=5, shift=0.5, points=points, annotated=known
    )
    np.testing.assert_array_equal(record.landmarks[~known], 0)
    np.testing.assert_array_equal(record.visible, known)
    np.testing.assert_array_equal(record.box[:2], record.landmarks[known].min(axis=0))
    record.check_inside((64, 64))


def test_landmarks_may_lie_outside_by_a_quarter_of_the_face():
    allowed = OUTSIDE_SHARE * 40
    build(SQUARE - [10.5 + allowed, 0]).check_inside((64, 64))
    with pytest.raises(ValueError, match=r"point 0 at \(-10.1") as caught:
        build(SQUARE - [10.5 + allowed + 0.1, 0]).check_inside((64, 64))
    assert caught.value.problem.kind == "outside-image"
    with pytest.raises(ValueError, match="outside"):
        build(SQUARE).check_inside((64, 40 - 1))


def test_an_outlier_cannot_enlarge_its_own_tolerance_without_end():
    points = SQUARE.copy()
    points[2] = 900, 50  # makes the face 890 wide; a quarter of the image is 16
    with pytest.raises(ValueError, match=r"at most 16\.00 pixels"):
        build(points).check_inside((64, 64))


def test_points_without_a_place_are_exempt():
    points = SQUARE.copy()
    points[2] = 900, 50
    build(points, anywhere=np.array([False, False, True, False])).check_inside((64, 64))
