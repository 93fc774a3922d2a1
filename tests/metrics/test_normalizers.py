import numpy as np
import pytest
from keras import ops

from tfalign import markup
from tfalign.metrics import NORMALIZERS, AnchorDistance, BoxExtent
from tfalign.metrics.normalizers import streaming


@pytest.mark.parametrize("name", NORMALIZERS)
def test_indices_are_those_of_the_scheme(name):
    normalizer = NORMALIZERS[name]
    scheme = markup.get(normalizer.scheme)
    if isinstance(normalizer, BoxExtent):
        assert "box" in name
        return
    # The table is typed from the literature, the scheme is made from point names.
    right, left = normalizer.first, normalizer.second
    if name.endswith("inter_ocular"):
        assert (right, left) == ((scheme.eye_corners[0],), (scheme.eye_corners[1],))
    else:
        assert {frozenset(right), frozenset(left)} == {frozenset(p) for p in scheme.pupils}


def test_anchor_distance_by_hand():
    points = np.zeros((2, 68, 2))
    points[0, 36], points[0, 45] = (10, 20), (13, 24)
    points[1, 36], points[1, 45] = (0, 0), (0, 7)
    np.testing.assert_allclose(NORMALIZERS["300w_inter_ocular"](points), [5, 7])
    points[0, 36:42] = [(x, 3) for x in range(6)]
    points[0, 42:48] = [(x, 3) for x in range(20, 26)]
    np.testing.assert_allclose(NORMALIZERS["300w_inter_pupil"](points)[0], 20)


def test_tensors_give_what_arrays_give(rng):
    points = rng.uniform(0, 100, (4, 98, 2)).astype("float32")
    normalizer = NORMALIZERS["wflw_inter_ocular"]
    found = normalizer(ops.convert_to_tensor(points))
    assert ops.is_tensor(found)
    np.testing.assert_allclose(ops.convert_to_numpy(found), normalizer(points), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("aflw19_box_side", 4.0), ("aflw19_box_diagonal", 5.0), ("aflw19_box_sqrt_area", 12**0.5)],
)
def test_box_extents(name, expected):
    assert NORMALIZERS[name](np.array([[1.0, 2.0, 4.0, 6.0]])) == pytest.approx([expected])


def test_anchor_distance_refuses_unknown_and_box_protocols():
    assert isinstance(streaming("lfpw29_inter_pupil")[0], AnchorDistance)
    with pytest.raises(ValueError, match=r"must be one of .*Received: protocol='300w'"):
        streaming("300w")
    with pytest.raises(ValueError, match="annotated box"):
        streaming("aflw19_box_side")


@pytest.mark.parametrize(("first", "second"), [((36,), (68,)), ((-1,), (36,)), ((), (36,))])
def test_anchors_are_points_of_the_scheme(first, second):
    """JAX answers NaN for a point that does not exist, and counts -1 from the end."""
    with pytest.raises(ValueError, match="from 0 to 67"):
        AnchorDistance("ibug68", first, second)
