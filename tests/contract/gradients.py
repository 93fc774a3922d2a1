"""Outputs and gradients of a layer or model, alike on every back end."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def is_float(array: Any) -> bool:
    """Whether an array or tensor is of floating point."""
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(array.dtype))


def numpy_of(structure: Any) -> list[np.ndarray]:
    """Flattens a structure of tensors into float64 (or integer) NumPy arrays."""
    arrays = [ops.convert_to_numpy(ops.cast(x, "float32") if is_float(x) else x)
              for x in keras.tree.flatten(structure)]  # fmt: skip
    return [a.astype(np.float64) if np.issubdtype(a.dtype, np.floating) else a for a in arrays]


def cotangents_for(outputs: Any, seed: int = 5) -> list[np.ndarray]:
    """Fixed random weights, one per output number, that make one loss of all outputs."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=tuple(o.shape)).astype("float32") for o in keras.tree.flatten(outputs)]


def loss_of(outputs: Any, cotangents: list[np.ndarray]) -> Any:
    """Σ output · cotangent, in float32."""
    flat = keras.tree.flatten(outputs)
    parts = [ops.sum(ops.cast(o, "float32") * c) for o, c in zip(flat, cotangents, strict=True)]
    return sum(parts[1:], parts[0])


def trained(instance: Any) -> Any:
    """Returns what losses are put on: a model's ``training_model``, else the instance itself.

    A model's output alone may rightly pass no gradient to its earlier stages.
    """
    return getattr(instance, "training_model", instance)


def compiled_call(instance: Any, inputs: Any) -> Any:
    """Returns a built instance's outputs in inference mode; on JAX compiled as a whole."""
    if keras.backend.backend() != "jax":
        return instance(inputs, training=False)
    import jax

    return jax.jit(lambda values: instance(values, training=False))(inputs)


def gradients(
    instance: Any, inputs: Any, cotangents: list[np.ndarray]
) -> tuple[list[np.ndarray | None], list[np.ndarray | None]]:
    """Differentiates ``loss_of`` what is trained (see ``trained``), in inference mode.

    Args:
        instance: A built layer or model.
        inputs: A NumPy array or a structure of them.
        cotangents: From ``cotangents_for``, for the outputs of ``trained(instance)``.

    Returns:
        Gradients of the trainable weights, and of the flattened floating inputs; ``None`` where
        TensorFlow reports no connection (JAX gives zeros there).
    """
    flat = [ops.convert_to_tensor(x) for x in keras.tree.flatten(inputs)]
    chosen = [i for i, x in enumerate(flat) if is_float(x)]

    def with_inputs(values: list[Any]) -> Any:
        filled = list(flat)
        for i, value in zip(chosen, values, strict=True):
            filled[i] = value
        return keras.tree.pack_sequence_as(inputs, filled)

    starts = [flat[i] for i in chosen]
    if keras.backend.backend() == "tensorflow":
        return _tensorflow(instance, with_inputs, starts, cotangents)
    return _jax(instance, with_inputs, starts, cotangents)


def _tensorflow(instance: Any, with_inputs: Any, starts: list[Any], cotangents: Any) -> Any:
    import tensorflow as tf

    weights = [variable.value for variable in instance.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(starts)
        loss = loss_of(trained(instance)(with_inputs(starts), training=False), cotangents)
    found = tape.gradient(loss, [*weights, *starts])
    found = [None if x is None else numpy_of(tf.convert_to_tensor(x))[0] for x in found]
    return found[: len(weights)], found[len(weights) :]


def _jax(instance: Any, with_inputs: Any, starts: list[Any], cotangents: Any) -> Any:
    import jax

    def loss(trainable: list[Any], values: list[Any]) -> Any:
        state = list(zip(instance.trainable_variables, trainable, strict=True))
        with keras.StatelessScope(state_mapping=state):
            return loss_of(trained(instance)(with_inputs(values), training=False), cotangents)

    trainable = [variable.value for variable in instance.trainable_variables]
    # As a whole: one operator after the other, compiling takes twice the time.
    found = jax.jit(jax.grad(loss, argnums=(0, 1)))(trainable, starts)
    return [numpy_of(x)[0] for x in found[0]], [numpy_of(x)[0] for x in found[1]]
