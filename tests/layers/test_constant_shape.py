"""ConstantShape: one shape for every image."""

import numpy as np
import pytest
from keras import ops

from contract import run_contract
from tfalign.layers import ConstantShape


def test_repeats_the_shape_it_was_given(rng) -> None:
    layer = ConstantShape(5)
    images = np.zeros((3, 8, 8, 3), "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(images)), np.full((3, 5, 2), 0.5))
    shape = rng.uniform(size=(5, 2)).astype("float32")
    layer.shape.assign(shape)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(images)), np.stack([shape] * 3))
    assert not layer.trainable_variables


@pytest.mark.jax
def test_contract(tmp_path) -> None:
    run_contract(
        ConstantShape,
        np.zeros((2, 4, 4, 3), "float32"),
        {"num_landmarks": 5},
        tmp_path,
        expected_shape=(2, 5, 2),
        differentiable=False,
    )


def test_refuses_no_landmarks() -> None:
    with pytest.raises(ValueError, match="num_landmarks=0"):
        ConstantShape(0)
