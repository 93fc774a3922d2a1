"""The small convolutional network that describes one patch."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="tfalign")
class PatchNetwork(keras.layers.Layer):
    """Describes each patch by the same network: two convolutions and a dense layer.

    Convolution, ReLU, max pooling, twice, and a dense layer with tanh; 5×5 filters, no padding
    (Equation 2 and Figure 4). All patches of all faces go through it as one batch.

    Args:
        filters: Filters of each convolution; the paper's are 128.
        units: Length of a patch's description; the paper's is 256.
        kernel: Side of the filters; the paper's is 5.

    Input shape:
        (batch, n, size, size, C).

    Output shape:
        (batch, n, units).

    Reference:
        Liu et al., "Learning Deep Sharable and Structural Detectors for Face Alignment", TIP 2017,
        section IV-B, Figure 4 and Equation 23 (the initial weights).

    Reading:
        Convolutions have no padding (the text does not say), so a patch of 30 pixels gives maps of
        26, 13, 9 and 4.

    Raises:
        ValueError: If an argument is not positive, or a patch too small for the filters.
    """

    def __init__(
        self, filters: int = 128, units: int = 256, kernel: int = 5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if min(filters, units, kernel) < 1:
            raise ValueError(
                "`filters`, `units` and `kernel` must be positive. Received: "
                f"filters={filters}, units={units}, kernel={kernel}"
            )
        self.filters, self.units, self.kernel = int(filters), int(units), int(kernel)
        policy = self.dtype_policy
        # Of patches channels come last, whatever Keras is set to.
        common: dict[str, Any] = {"dtype": policy, "data_format": "channels_last"}

        def convolution(name: str) -> keras.layers.Layer:
            return layers.Conv2D(filters, kernel, activation="relu", name=name, **common)

        self.steps = [
            convolution("conv_1"),
            layers.MaxPooling2D(2, name="pool_1", **common),
            convolution("conv_2"),
            layers.MaxPooling2D(2, name="pool_2", **common),
            layers.Flatten(name="flat", **common),
            layers.Dense(units, activation="tanh", dtype=policy, name="dense"),
        ]

    def build(self, input_shape: Any) -> None:
        shape = self._patch_shape(input_shape)
        for step in self.steps:
            step.build(shape)
            shape = step.compute_output_shape(shape)
        self.built = True

    def call(self, patches: Any) -> Any:
        n = patches.shape[1]
        x = ops.reshape(patches, (-1, *patches.shape[2:]))
        for step in self.steps:
            x = step(x)
        return ops.reshape(x, (-1, n, self.units))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._patch_shape(input_shape)
        return (*input_shape[:2], self.units)

    def _patch_shape(self, shape: Any) -> tuple[Any, ...]:
        smallest = 2 * (self.kernel + 1) + self.kernel - 1
        if len(shape) != 5 or None in shape[1:] or min(shape[2:4]) < smallest:
            raise ValueError(
                "PatchNetwork takes patches (batch, n, size, size, C), all but the batch known, "
                f"of at least {smallest} pixels for kernel={self.kernel}. Received: "
                f"input_shape={tuple(shape)}"
            )
        return (None, *shape[2:])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "units": self.units,
            "kernel": self.kernel,
        }
