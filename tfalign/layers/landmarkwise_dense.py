"""A dense layer of its own for each landmark."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfalign")
class LandmarkwiseDense(keras.layers.Layer):
    """Applies to each landmark's feature vector its own dense layer.

    This is the grouped 5×5 convolution of a LRefNet (n groups, valid padding, a 5×5 patch per
    landmark) written as a batched matrix product, which runs fast on every back end and exports
    as BATCH_MATMUL; a convolution with 98 groups does neither.

    Args:
        units: Outputs per landmark.
        activation: Keras activation, or None.
        use_bias: Whether each landmark's outputs have a bias.
        kernel_initializer: Of the (n, k, units) kernel; its fans are those of one landmark.
        bias_initializer: Of the (n, units) bias.

    Input shape:
        (batch, n, k).

    Output shape:
        (batch, n, units).

    Reference:
        Su et al., CVPRW 2019, section 3.4 and Table 2.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "he_normal",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"`units` must be positive. Received: units={units}")
        self.units = int(units)
        self.activation = keras.activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 3 or input_shape[1] is None or input_shape[2] is None:
            raise ValueError(
                "LandmarkwiseDense takes (batch, n, k) with n and k known. Received: "
                f"input_shape={input_shape}"
            )
        n, k = int(input_shape[1]), int(input_shape[2])

        def landmark_by_landmark(shape: tuple[int, ...], dtype: Any = None) -> Any:
            # An initializer would take the n landmarks for part of the fan-in; drawing one
            # (k, n · units) matrix gives the scale that a dense layer of k inputs has.
            kernel = self.kernel_initializer((k, n * self.units), dtype=dtype)
            kernel = ops.reshape(kernel, (k, n, self.units))
            return ops.transpose(kernel, (1, 0, 2))

        self.kernel = self.add_weight(
            name="kernel", shape=(n, k, self.units), initializer=landmark_by_landmark
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(n, self.units), initializer=self.bias_initializer
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        n, k = inputs.shape[1:]
        if inputs.shape[0] == 1:
            # For one face both transpositions are reshapes.
            outputs = ops.matmul(ops.reshape(inputs, (n, 1, k)), self.kernel)
            outputs = ops.reshape(outputs, (1, n, self.units))
        else:
            outputs = ops.matmul(ops.transpose(inputs, (1, 0, 2)), self.kernel)
            outputs = ops.transpose(outputs, (1, 0, 2))
        if self.bias is not None:
            outputs = outputs + self.bias
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:2], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
