"""A shape as a mixture of known shapes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="tfalign")
class ShapeMixture(keras.layers.Layer):
    """Mixes a set of shapes by given weights.

    The shapes are a weight that no gradient trains, (count, n, 2) in [0, 1]²; at first all of them
    are the image's centre.

    Args:
        num_landmarks: n.

    Input shape:
        (batch, count): the weights, which should add up to 1 (softmax).

    Output shape:
        (batch, n, 2), float32.

    Reference:
        Robust shape initialization in Liu et al., TIP 2017, section IV-A, after Lai et al., "Deep
        Cascaded Regression for Face Alignment", 2015.

    Raises:
        ValueError: If ``num_landmarks`` is not positive, or the input not (batch, count).
    """

    def __init__(self, num_landmarks: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "autocast": False})
        if num_landmarks < 1:
            raise ValueError(
                f"`num_landmarks` must be positive. Received: num_landmarks={num_landmarks}"
            )
        self.num_landmarks = int(num_landmarks)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 2 or input_shape[1] is None:
            raise ValueError(
                "ShapeMixture takes (batch, count) with the count known. Received: "
                f"input_shape={tuple(input_shape)}"
            )
        self.shapes = self.add_weight(
            name="shapes",
            shape=(int(input_shape[1]), self.num_landmarks, 2),
            initializer=keras.initializers.Constant(0.5),
            trainable=False,
        )
        self.built = True

    def set_shapes(self, shapes: np.ndarray) -> None:
        """Sets the shapes (count, n, 2)."""
        self.shapes.assign(shapes)

    def call(self, weights: Any) -> Any:
        table = ops.reshape(self.shapes, (-1, 2 * self.num_landmarks))
        mixed = ops.matmul(ops.cast(weights, "float32"), ops.cast(table, "float32"))
        return ops.reshape(mixed, (-1, self.num_landmarks, 2))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], self.num_landmarks, 2)

    def compute_output_spec(self, weights: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(weights.shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_landmarks": self.num_landmarks}
