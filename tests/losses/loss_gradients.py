"""Values and gradients of every loss on the running back end.

Run as a program, it reads cases from a ``.npz`` file's neighbour ``cases.json`` and writes what it
computed, so that a test on one back end can ask another.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign import losses


def value_and_gradient(loss: Any, true: np.ndarray, predicted: np.ndarray) -> Any:
    """Returns the mean loss and its gradient with respect to the prediction."""
    if keras.backend.backend() == "jax":
        import jax

        value, gradient = jax.value_and_grad(lambda p: loss(true, p))(predicted)
        return np.asarray(value), np.asarray(gradient)
    import tensorflow as tf

    point = tf.Variable(predicted)
    with tf.GradientTape() as tape:
        value = loss(true, point)
    return value.numpy(), tape.gradient(value, point).numpy()


def main(folder: Path) -> None:
    cases = json.loads((folder / "cases.json").read_text())
    with np.load(folder / "arrays.npz") as arrays:
        true, predicted = arrays["true"], arrays["predicted"]
    answer = {}
    for index, (name, arguments) in enumerate(cases):
        loss = losses.get(name, **arguments)
        answer[f"value{index}"], answer[f"gradient{index}"] = value_and_gradient(
            loss, true, predicted
        )
        weights = np.arange(true.shape[0] * true.shape[1]).reshape(true.shape[:2]) % 4 > 0
        answer[f"masked{index}"] = np.asarray(loss(true, predicted, weights.astype("float32")))
    np.savez(folder / "answer.npz", **answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
