"""The contract itself: it passes what keeps it and catches each way of breaking it."""

from __future__ import annotations

from importlib.util import find_spec

import keras
import numpy as np
import pytest
from keras import ops

from contract import run_contract


@keras.saving.register_keras_serializable(package="contract_test")
class Scale(keras.layers.Layer):
    """Keeps the contract: y = act(x · w + shift)."""

    def __init__(self, shift=0.0, bound=1.0, **kwargs):
        super().__init__(**kwargs)
        self.shift, self.bound = shift, bound

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="scale")

    def call(self, x):
        return self.bound * ops.tanh(x * self.scale + self.shift)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "shift": self.shift, "bound": self.bound}


@keras.saving.register_keras_serializable(package="contract_test")
class ForgetsName(Scale):
    def get_config(self):
        config = super().get_config()
        del config["shift"]
        return config


@keras.saving.register_keras_serializable(package="contract_test")
class ForgetsValue(Scale):
    def get_config(self):
        return {**super().get_config(), "shift": 0.0}


@keras.saving.register_keras_serializable(package="contract_test")
class WrongShape(Scale):
    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] + 1)


@keras.saving.register_keras_serializable(package="contract_test")
class BadGradient(Scale):
    def call(self, x):
        zero = ops.relu(self.scale) * 0.0
        return super().call(x) + ops.sqrt(zero)


@keras.saving.register_keras_serializable(package="contract_test")
class NoGradient(Scale):
    def call(self, x):
        return super().call(ops.stop_gradient(x)) * 0.0 + ops.stop_gradient(self.scale)


@keras.saving.register_keras_serializable(package="contract_test")
class ByBackend(Scale):
    def call(self, x):
        return super().call(x) + (0.01 if keras.backend.backend() == "jax" else 0.0)


@keras.saving.register_keras_serializable(package="contract_test")
class Mixer(keras.layers.Layer):
    """Dictionaries in and out, and a layer inside."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)

    def build(self, input_shape):
        self.dense.build(input_shape["a"])

    def call(self, inputs):
        total = self.dense(inputs["a"] + inputs["b"])
        return {"x": total, "y": ops.relu(total)}

    def compute_output_shape(self, input_shape):
        shape = (input_shape["a"][0], self.units)
        return {"x": shape, "y": shape}

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Unregistered(Scale):
    pass


@pytest.fixture
def inputs(rng):
    return rng.normal(size=(3, 4)).astype("float32")


def arguments():
    return {"shift": 0.25, "bound": 2.0}


@pytest.mark.jax
def test_a_good_layer_passes(inputs, tmp_path):
    layer = run_contract(
        Scale, inputs, arguments(), tmp_path, expected_shape=(3, 4), modules=(__name__,)
    )
    expected = 2.0 * np.tanh(inputs * layer.get_weights()[0] + 0.25)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(inputs)), expected, atol=1e-5)


@pytest.mark.jax
def test_structures_and_several_outputs(rng, tmp_path):
    inputs = {name: rng.normal(size=(3, 4)).astype("float32") for name in ("a", "b")}
    run_contract(
        Mixer, inputs, {"units": 2}, tmp_path, modules=(__name__,),
        expected_shape={"x": (3, 2), "y": (3, 2)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (ForgetsName, "computes something else|get_config forgets"),
        (ForgetsValue, "computes something else|does not reach get_config"),
        (WrongShape, "computed output shape"),
        (BadGradient, "not finite"),
        (NoGradient, "no gradient reaches|all gradients are zero"),
    ],
)
def test_a_broken_layer_is_caught(broken, message, inputs, tmp_path):
    with pytest.raises(AssertionError, match=message):
        run_contract(broken, inputs, arguments(), tmp_path, policies=("float32",), backends=())


def test_an_unregistered_layer_is_caught(inputs, tmp_path):
    with pytest.raises((TypeError, ValueError), match="Unregistered"):
        run_contract(Unregistered, inputs, arguments(), tmp_path, backends=())


@pytest.mark.jax
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs two back ends")
def test_a_difference_between_back_ends_is_caught(inputs, tmp_path):
    with pytest.raises(pytest.fail.Exception, match=r"output on (jax|tensorflow) 0 differs"):
        run_contract(
            ByBackend, inputs, arguments(), tmp_path, policies=("float32",), modules=(__name__,)
        )
