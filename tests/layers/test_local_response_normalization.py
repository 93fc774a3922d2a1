"""LocalResponseNormalization against TensorFlow's own and a loop."""

import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract
from tfalign.layers import LocalResponseNormalization


def test_agrees_with_a_loop(rng) -> None:
    x = rng.normal(scale=20, size=(2, 3, 4, 7)).astype("f4")
    found = LocalResponseNormalization(size=3, alpha=0.01, bias=1.5)(x)
    expected = np.zeros(x.shape)
    for c in range(7):
        energy = np.sum(x[..., max(0, c - 1) : c + 2].astype(np.float64) ** 2, axis=-1)
        expected[..., c] = x[..., c] / (1.5 + 0.01 * energy) ** 0.75
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's operation")
def test_agrees_with_tensorflow(rng) -> None:
    import tensorflow as tf

    x = rng.normal(scale=20, size=(1, 3, 4, 9)).astype("f4")
    expected = tf.nn.local_response_normalization(x, 2, bias=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(LocalResponseNormalization()(x), expected, rtol=1e-4)


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    run_contract(
        LocalResponseNormalization,
        rng.normal(size=(2, 3, 4, 6)).astype("f4"),
        {"size": 3, "alpha": 0.1, "bias": 1.0},
        tmp_path,
        expected_shape=(2, 3, 4, 6),
    )


@pytest.mark.parametrize("arguments", [{"size": 4}, {"size": 0}, {"alpha": 0.0}, {"bias": -1.0}])
def test_refuses(arguments) -> None:
    with pytest.raises(ValueError, match="Received"):
        LocalResponseNormalization(**arguments)
