"""A shape that does not depend on the image."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfalign")
class ConstantShape(keras.layers.Layer):
    """Gives each image of a batch the same landmarks, such as the mean of the training shapes.

    The shape is a weight that no gradient trains, (n, 2) in [0, 1]², at first the image's centre.
    Set it with ``layer.shape.assign(...)``.

    Args:
        num_landmarks: n.

    Input shape:
        (batch, ...): only the batch size counts.

    Output shape:
        (batch, n, 2), float32.

    Reference:
        Initial shape of DeepRegLocal in Shi et al., "Deep Regression for Face Alignment", 2014,
        section 4.2.

    Raises:
        ValueError: If ``num_landmarks`` is not positive.
    """

    def __init__(self, num_landmarks: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "autocast": False})
        if num_landmarks < 1:
            raise ValueError(
                f"`num_landmarks` must be positive. Received: num_landmarks={num_landmarks}"
            )
        self.num_landmarks = int(num_landmarks)

    def build(self, input_shape: Any) -> None:
        self.shape = self.add_weight(
            name="shape",
            shape=(self.num_landmarks, 2),
            initializer=keras.initializers.Constant(0.5),
            trainable=False,
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        shape = ops.expand_dims(ops.cast(self.shape, "float32"), 0)
        return ops.broadcast_to(shape, (ops.shape(inputs)[0], self.num_landmarks, 2))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], self.num_landmarks, 2)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_landmarks": self.num_landmarks}
