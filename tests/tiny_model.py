"""The smallest landmark model: for tests of what is around a model."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from tfalign.models import LandmarkModel


@keras.saving.register_keras_serializable(package="tests")
class TinyModel(LandmarkModel):
    """A linear function of a coarse picture; begins at a mean shape, as all do.

    Args:
        num_landmarks, input_shape, crop, scheme, name: As of every architecture.
    """

    def __init__(
        self,
        num_landmarks: int = 68,
        input_shape: tuple[int, int, int] = (32, 32, 3),
        crop: Any = "300w",
        scheme: Any = "ibug68",
        name: str = "tiny",
    ) -> None:
        images = keras.Input(tuple(input_shape), name="images")
        coarse = layers.AveragePooling2D(8, name="coarse")(images)
        x = layers.Flatten(name="flat")(layers.Rescaling(1 / 255, name="scale")(coarse))
        small = keras.initializers.RandomNormal(stddev=0.02)
        x = layers.Dense(2 * num_landmarks, kernel_initializer=small, name="fc")(x)
        shape = layers.Reshape((num_landmarks, 2), name="shape")(x)
        super().__init__(
            images,
            [shape],
            {"stages": ops.expand_dims(shape, 1)},
            groups={},
            crop=crop,
            scheme=scheme,
            name=name,
        )

    def _set_mean_shape(self, shape: Any) -> None:
        self.get_layer("fc").bias.assign(shape.reshape(-1))

    def get_config(self) -> dict[str, Any]:
        return self.base_config()
