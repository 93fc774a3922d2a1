"""Optimizers and learning rates against their formulas."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tfalign.training import LearningRateSpec, OptimizerSpec
from tfalign.training.optimizers import build_learning_rate, build_optimizer


def steps_of(optimizer: keras.optimizers.Optimizer, start: np.ndarray, count: int) -> np.ndarray:
    """Runs steps on f(w) = sum of w^2, whose gradient is 2 w."""
    weight = keras.Variable(start, name="kernel")
    optimizer.build([weight])
    for _ in range(count):
        optimizer.apply([2.0 * keras.ops.convert_to_tensor(weight)], [weight])
    return keras.ops.convert_to_numpy(weight)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_pytorchs(nesterov: bool) -> None:
    """torch.optim.SGD: g += decay w; v = m v + g; w -= rate v (Nesterov: rate (g + m v))."""
    start, rate, momentum, decay = np.float32([1.0, -2.0, 0.5]), 0.1, 0.9, 0.05
    spec = OptimizerSpec("sgd", momentum, nesterov, weight_decay=decay)
    weight, velocity = start.astype(float), np.zeros(3)
    for _ in range(5):
        gradient = 2 * weight + decay * weight
        velocity = momentum * velocity + gradient
        weight = weight - rate * (gradient + momentum * velocity if nesterov else velocity)
    np.testing.assert_allclose(steps_of(build_optimizer(spec, rate), start, 5), weight, rtol=1e-5)


def test_excluded_variables_do_not_decay() -> None:
    start = np.float32([1.0, -2.0])
    plain = steps_of(build_optimizer(OptimizerSpec("sgd"), 0.1), start, 3)
    for kind in ("sgd", "adamw"):
        spec = OptimizerSpec(kind, weight_decay=0.3, decay_exclude=("kernel",))
        free = steps_of(build_optimizer(spec, 0.1), start, 3)
        without = steps_of(build_optimizer(OptimizerSpec(kind), 0.1), start, 3)
        np.testing.assert_allclose(free, without, rtol=1e-6)
        decayed = steps_of(build_optimizer(OptimizerSpec(kind, weight_decay=0.3), 0.1), start, 3)
        assert not np.allclose(decayed, without, rtol=1e-3)
    assert not np.allclose(plain, start)


PARTS_OF_PATHS = """
import keras, numpy as np
from tfalign.training import OptimizerSpec
from tfalign.training.optimizers import build_optimizer

def trained(kind, **fields):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), *(keras.layers.Dense(2, name=n) for n in "ab")])
    model.compile(build_optimizer(OptimizerSpec(kind, **fields), 0.1), "mse")
    model.train_on_batch(np.ones((4, 3), "float32"), np.ones((4, 2), "float32"))
    return {layer.name: layer.get_weights() for layer in model.layers}

for kind in ("sgd", "adamw"):
    free, decayed = trained(kind), trained(kind, weight_decay=0.3)
    chosen = trained(kind, weight_decay=0.3, decay_exclude=("a/",))
    np.testing.assert_allclose(chosen["a"][0], free["a"][0], rtol=1e-6)
    np.testing.assert_allclose(chosen["b"][0], decayed["b"][0], rtol=1e-6)
    assert not np.allclose(free["b"][0], decayed["b"][0], rtol=1e-3)
"""


@pytest.mark.slow
@pytest.mark.jax
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_layer_is_left_out_of_the_decay_on_every_back_end(backend: str) -> None:
    """Keras asks for the whole path on TensorFlow, and for its last part on JAX."""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", PARTS_OF_PATHS]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not ended.returncode, ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_rate_factors(kind: str) -> None:
    """A factor on the rate is that rate for the variables it names, in every step of training."""

    def trained(rate: float, factors: dict[str, float]) -> dict[str, np.ndarray]:
        keras.utils.set_random_seed(1)
        layers = [keras.layers.Dense(4, name="stem"), keras.layers.Dense(2, name="fc")]
        model = keras.Sequential([keras.Input((3,)), *layers])
        model.compile(build_optimizer(OptimizerSpec(kind, rate_factors=factors), rate), "mse")
        model.train_on_batch(np.ones((4, 3), np.float32), np.ones((4, 2), np.float32))
        return {variable.path.split("/", 1)[1]: np.asarray(variable) for variable in model.weights}

    fast, slow = trained(0.1, {}), trained(0.001, {})
    mixed = trained(0.1, {"fc/": 0.01, "/kernel": 0.0})
    for name in ("fc/kernel", "fc/bias"):
        np.testing.assert_allclose(mixed[name], slow[name], rtol=1e-5, atol=1e-7)
        assert not np.allclose(mixed[name], fast[name], rtol=1e-4)
    np.testing.assert_allclose(mixed["stem/bias"], fast["stem/bias"], rtol=1e-5)
    np.testing.assert_array_equal(
        mixed["stem/kernel"], trained(0.0001, {"stem": 0.0})["stem/kernel"]
    )


def test_clip_norm_bounds_the_step() -> None:
    start = np.float32([30.0, -40.0])
    spec = OptimizerSpec("sgd", momentum=0.0, clip_norm=1.0)
    moved = steps_of(build_optimizer(spec, 0.1), start, 1) - start
    np.testing.assert_allclose(moved, [-0.06, 0.08], rtol=1e-4)


def test_cosine_with_warmup() -> None:
    rate = build_learning_rate(LearningRateSpec(0.2, "cosine", warmup=0.1, final=0.02), 1000)
    values = [float(rate(step)) for step in (0, 50, 100, 325, 550, 1000)]
    expected = [0.0, 0.1] + [
        0.02 + 0.18 * 0.5 * (1 + math.cos(math.pi * (step - 100) / 900))
        for step in (100, 325, 550, 1000)
    ]
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-8)


def test_polynomial_and_piecewise() -> None:
    rate = build_learning_rate(LearningRateSpec(0.1, "polynomial", final=0.01, power=2.0), 100)
    np.testing.assert_allclose(
        [float(rate(s)) for s in (0, 50, 100)], [0.1, 0.0325, 0.01], rtol=1e-5
    )
    spec = LearningRateSpec(1e-4, "piecewise", boundaries=(1000, 3000), values=(1e-2, 1e-3))
    rate = build_learning_rate(spec, 5000)
    values = [float(rate(step)) for step in (0, 999, 1000, 2999, 3000, 4999)]
    np.testing.assert_allclose(values, [1e-4, 1e-4, 1e-2, 1e-2, 1e-3, 1e-3], rtol=1e-6)
