"""LandmarkwiseDense against the grouped convolution that it stands for."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from contract import run_contract
from contract.gradients import gradients
from tfalign.layers import LandmarkwiseDense


def built(n: int, k: int, units: int, rng: np.random.Generator, **kwargs) -> LandmarkwiseDense:
    layer = LandmarkwiseDense(units, **kwargs)
    layer.build((None, n, k))
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


@pytest.mark.parametrize("batch", [1, 3])
def test_agrees_with_one_dense_layer_per_landmark(rng, batch: int) -> None:
    layer = built(6, 10, 4, rng, activation="relu")
    inputs = rng.normal(size=(batch, 6, 10)).astype("float32")
    kernel, bias = layer.get_weights()
    for landmark in range(6):
        expected = np.maximum(inputs[:, landmark] @ kernel[landmark] + bias[landmark], 0)
        np.testing.assert_allclose(layer(inputs)[:, landmark], expected, atol=1e-5)


def test_agrees_with_a_grouped_convolution(rng) -> None:
    n, channels, units = 7, 3, 4
    layer = built(n, 5 * 5 * channels, units, rng)
    patches = rng.normal(size=(2, n, 5, 5, channels)).astype("float32")
    convolution = layers.Conv2D(n * units, 5, groups=n)
    convolution.build((None, 5, 5, n * channels))
    kernel, bias = layer.get_weights()
    kernel = kernel.reshape(n, 5, 5, channels, units).transpose(1, 2, 3, 0, 4)
    convolution.set_weights([kernel.reshape(5, 5, channels, n * units), bias.reshape(-1)])
    stacked = patches.transpose(0, 2, 3, 1, 4).reshape(2, 5, 5, n * channels)
    np.testing.assert_allclose(
        layer(patches.reshape(2, n, -1)),
        ops.reshape(convolution(stacked), (2, n, units)),
        atol=1e-4,
    )


def test_gradients_are_those_of_the_sums(rng) -> None:
    layer = built(3, 5, 2, rng)
    inputs = rng.normal(size=(4, 3, 5)).astype("float32")
    weights = rng.normal(size=(4, 3, 2)).astype("float32")
    (of_kernel, of_bias), (of_inputs,) = gradients(layer, inputs, [weights])
    kernel = layer.get_weights()[0]
    np.testing.assert_allclose(of_kernel, np.einsum("bnk,bnf->nkf", inputs, weights), atol=1e-5)
    np.testing.assert_allclose(of_bias, weights.sum(axis=0), atol=1e-5)
    np.testing.assert_allclose(of_inputs, np.einsum("nkf,bnf->bnk", kernel, weights), atol=1e-5)


def test_initial_scale_is_that_of_one_landmark() -> None:
    keras.utils.set_random_seed(0)
    layer = LandmarkwiseDense(8, kernel_initializer="he_normal")
    layer.build((None, 50, 400))
    # He et al. 2015: variance 2 / fan-in, where the fan-in of each landmark is k = 400.
    assert np.std(layer.get_weights()[0]) == pytest.approx(np.sqrt(2 / 400), rel=0.02)


@pytest.mark.jax
def test_contract(rng, tmp_path) -> None:
    run_contract(
        LandmarkwiseDense,
        rng.normal(size=(3, 4, 6)).astype("float32"),
        {
            "units": 2,
            "activation": "tanh",
            "kernel_initializer": "glorot_uniform",
            "bias_initializer": "ones",
        },
        tmp_path,
        expected_shape=(3, 4, 2),
    )


def test_without_bias(rng) -> None:
    layer = built(3, 5, 2, rng, use_bias=False)
    assert [weight.shape for weight in layer.get_weights()] == [(3, 5, 2)]
    assert layer.get_config()["use_bias"] is False
    assert not np.any(layer(np.zeros((1, 3, 5), "float32")))


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match=r"`units` must be positive\. Received: units=0"):
        LandmarkwiseDense(0)
    with pytest.raises(ValueError, match=r"takes \(batch, n, k\)"):
        LandmarkwiseDense(2)(np.zeros((2, 3), "float32"))
    with pytest.raises(ValueError, match="n and k known"):
        LandmarkwiseDense(2).build((None, None, 4))
