import numpy as np
import pytest

from tfalign.evaluation import Perturbation, tsr_table_2

BOXES = np.array([[10.0, 20.0, 50.0, 100.0], [0.0, 0.0, 10.0, 10.0]])
DIRECTIONS = np.array([0.0, 1.5 * np.pi])


def test_none_changes_nothing():
    boxes, angles = Perturbation("none").apply(BOXES, DIRECTIONS)
    np.testing.assert_array_equal(boxes, BOXES)
    np.testing.assert_array_equal(angles, 0)


def test_scale_keeps_the_centre():
    boxes, angles = Perturbation("scale", 0.5).apply(BOXES, DIRECTIONS)
    np.testing.assert_allclose(boxes, [[0, 0, 60, 120], [-2.5, -2.5, 12.5, 12.5]])
    smaller, _ = Perturbation("scale", -0.2).apply(BOXES, DIRECTIONS)
    np.testing.assert_allclose(smaller[1], [1, 1, 9, 9], atol=1e-6)
    np.testing.assert_array_equal(angles, 0)


def test_translation_moves_by_a_share_of_the_box_along_the_direction():
    boxes, _ = Perturbation("translation", 0.25).apply(BOXES, DIRECTIONS)
    np.testing.assert_allclose(boxes[0], [20, 20, 60, 100], atol=1e-5)  # + 0.25 · 40 in x
    np.testing.assert_allclose(boxes[1], [0, -2.5, 10, 7.5], atol=1e-5)  # − 0.25 · 10 in y


def test_rotation_has_a_sign_per_face():
    boxes, angles = Perturbation("rotation", 30).apply(BOXES, DIRECTIONS)
    np.testing.assert_array_equal(boxes, BOXES)
    np.testing.assert_allclose(angles, [np.pi / 6, -np.pi / 6])


def test_table_2():
    table = tsr_table_2()
    assert table[0] == Perturbation("none")
    assert [p.amount for p in table if p.kind == "scale"] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert [p.amount for p in table if p.kind == "translation"] == [0.05, 0.1, 0.15, 0.2, 0.25]
    assert [p.amount for p in table if p.kind == "rotation"] == [5, 10, 15, 20, 25]


@pytest.mark.parametrize(
    ("kind", "amount"), [("shear", 0.1), ("scale", -1.0), ("rotation", np.nan)]
)
def test_bad_values(kind, amount):
    with pytest.raises(ValueError, match="Received"):
        Perturbation(kind, amount)
