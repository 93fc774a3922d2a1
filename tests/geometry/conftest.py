"""What the geometry tests share: running a function on NumPy, on the back end and on JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

Runner = Callable[..., np.ndarray]


@pytest.fixture(params=["numpy", "backend"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Calls a function with NumPy arrays or with tensors, checks that it answers in kind, and
    returns the answer as NumPy."""

    def call(function: Callable[..., Any], *arrays: Any, **options: Any) -> np.ndarray:
        if request.param == "numpy":
            answer = function(*arrays, **options)
            assert isinstance(answer, np.ndarray)
            return answer
        answer = function(*(keras.ops.convert_to_tensor(a) for a in arrays), **options)
        assert keras.ops.is_tensor(answer)
        return keras.ops.convert_to_numpy(answer)

    return call


@pytest.fixture
def gradient() -> Callable[..., list[np.ndarray]]:
    """Differentiates a scalar function with respect to its array arguments on the back end."""

    def differentiate(function: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
        if keras.backend.backend() == "jax":
            import jax

            found = jax.grad(function, argnums=tuple(range(len(arrays))))(*arrays)
            return [np.asarray(value) for value in found]
        import tensorflow as tf

        tensors = [tf.constant(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        return [tf.convert_to_tensor(x).numpy() for x in tape.gradient(value, tensors)]

    return differentiate
