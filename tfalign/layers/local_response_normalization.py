"""Normalisation across neighbouring channels, as networks before batch normalisation had it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="tfalign")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each channel by a power of the energy of the channels beside it.

    y_c = x_c / (bias + alpha · Σ x_j²)^¾, the sum over the ``size`` channels around c.

    Args:
        size: Odd number of channels in the sum.
        alpha: Weight of the sum.
        bias: What is added to it.

    Input shape:
        (batch, …, C).

    Output shape:
        The input's.

    Reference:
        Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
        Networks", NIPS 2012, section 3.3, whose values are the defaults here and in CNN-S
        (Chatfield et al., "Return of the Devil in the Details", 2014). Caffe's 5e-4 is the same: it
        divides alpha by ``size``.

    Raises:
        ValueError: If ``size`` is not odd and positive, or another argument is not positive.
    """

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, bias: float = 2.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"`size` must be odd and positive. Received: size={size}")
        if not (alpha > 0 and bias > 0):
            raise ValueError(
                f"`alpha` and `bias` must be positive. Received: alpha={alpha}, bias={bias}"
            )
        self.size = int(size)
        self.alpha = float(alpha)
        self.bias = float(bias)

    def call(self, inputs: Any) -> Any:
        # Squares of activations leave float16's range; the sum is taken in float32.
        x = ops.cast(inputs, "float32")
        channels, reach = x.shape[-1], self.size // 2
        squares = ops.pad(ops.square(x), [[0, 0]] * (len(x.shape) - 1) + [[reach, reach]])
        energy = sum(
            (squares[..., start : start + channels] for start in range(1, self.size)),
            squares[..., :channels],
        )
        root = ops.rsqrt(self.bias + self.alpha * energy)
        # The power ¾ as a square root and a fourth root, which every runtime has.
        return ops.cast(x * root * ops.sqrt(root), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "alpha": self.alpha,
            "bias": self.bias,
        }
