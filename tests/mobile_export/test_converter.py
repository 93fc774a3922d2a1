"""The float conversion: refused models and refused operators."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from mobile_export.converter import convert, layer_of, picture_shape, unsupported


@keras.saving.register_keras_serializable(package="tests")
class Inverse(keras.layers.Layer):
    """Inverts matrices, which LiteRT has no operator for."""

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        return tf.raw_ops.MatrixInverse(input=inputs)


def test_layer_of_an_operator_that_is_not_built_in_is_named() -> None:
    image = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(4, 1)(image)
    x = Inverse(name="the_inverse")(keras.layers.Permute((3, 1, 2))(x))
    x = keras.layers.Dense(4)(keras.layers.Flatten()(x))
    model = keras.Model(image, keras.layers.Reshape((2, 2))(x))
    with pytest.raises(ValueError, match="MatrixInverse in layer 'the_inverse'"):
        convert(model)


def test_message_without_refused_operators_names_none() -> None:
    assert unsupported("Out of memory", [("Conv2D", "model/conv/Conv2D")]) == []


def test_layer_of_a_path() -> None:
    assert layer_of("model_1/crop_1/GatherV2") == "crop_1"
    assert layer_of("model_1/crop_1_2/GatherV2", ["crop_1"]) == "crop_1"
    assert layer_of("GatherV2") == "GatherV2"


@pytest.mark.parametrize(
    ("shape", "outputs"), [((None, None, 3), 4), ((8, 8, 1), 4), ((8, 8, 3), 6)]
)
def test_model_that_is_no_landmark_model_is_refused(shape: Any, outputs: int) -> None:
    image = keras.Input(shape)
    x = keras.layers.GlobalAveragePooling2D()(image)
    x = keras.layers.Dense(outputs)(x)
    x = keras.layers.Reshape((2, outputs // 2))(x)
    with pytest.raises(ValueError, match="A landmark model takes"):
        picture_shape(keras.Model(image, x))


def test_input_type_is_checked(model: Any) -> None:
    with pytest.raises(ValueError, match="`input_dtype` must be one of"):
        convert(model, "int16")
