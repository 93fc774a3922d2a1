"""An architecture of one's own, as an application writes it in a module of its own."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

import tfalign


@tfalign.models.register("plain")
class Plain(tfalign.models.LandmarkModel):
    """Two convolutions and a dense layer."""

    def __init__(
        self,
        num_landmarks: int = 68,
        input_shape: Any = (32, 32, 3),
        channels: int = 4,
        crop: Any = "300w",
        scheme: Any = None,
        name: str = "plain",
    ) -> None:
        images = keras.Input(tuple(input_shape), name="images")
        x = layers.Rescaling(1 / 127.5, offset=-1.0)(images)
        for place in range(2):
            x = layers.Conv2D(channels, 3, strides=4, activation="relu", name=f"conv{place}")(x)
        x = layers.Dense(2 * num_landmarks, name="fc")(layers.Flatten()(x))
        shape = layers.Reshape((num_landmarks, 2))(x)
        stages = keras.ops.expand_dims(shape, 1)
        super().__init__(images, [shape], {"stages": stages}, {}, crop, scheme, name=name)
        self.channels = channels

    def _set_mean_shape(self, shape: Any) -> None:
        self.get_layer("fc").bias.assign(shape.reshape(-1))

    def get_config(self) -> dict[str, Any]:
        return {**self.base_config(), "channels": self.channels}
