"""The mark of fixed linear maps in names of tensors."""

import keras
import numpy as np
import pytest
from keras import ops

from tfalign.layers.fixed_map import SCOPE, fixed_linear_map, is_fixed_linear_map


@pytest.mark.parametrize(
    ("name", "marked"),
    [
        (f"model/hog/{SCOPE}/MatMul", True),
        (f"model/hog/{SCOPE}_3/MatMul", True),
        (f"{SCOPE}/MatMul;model/add", True),
        # What was merged into a product does not make the product a fixed one.
        (f"model/dense/MatMul;model/{SCOPE}/add", False),
        (f"model/my_{SCOPE}/MatMul", False),
        (f"model/{SCOPE}_of_mine/MatMul", False),
        ("", False),
    ],
)
def test_only_a_whole_part_of_the_first_path_marks(name: str, marked: bool) -> None:
    assert is_fixed_linear_map(name) is marked


def test_the_mark_changes_no_value() -> None:
    matrix, vector = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    with fixed_linear_map():
        found = ops.matmul(matrix, vector)
    np.testing.assert_array_equal(np.asarray(found), matrix @ vector)


def test_operations_carry_the_mark_into_a_graph() -> None:
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("names of a TensorFlow graph")

    @tf.function(input_signature=[tf.TensorSpec((3, 2))])
    def function(values):
        with fixed_linear_map():
            mapped = ops.matmul(np.ones((4, 3), "float32"), values)
        return ops.matmul(mapped, ops.ones((2, 2)))

    operations = function.get_concrete_function().graph.get_operations()
    names = [op.name for op in operations if op.type in ("MatMul", "BatchMatMulV2")]
    assert [is_fixed_linear_map(name) for name in names] == [True, False]
