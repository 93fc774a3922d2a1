"""The `tf_keras` twin against its Keras 3 original."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from contract.architectures import ARCHITECTURES
from mobile_export import tuning_copy


def shaken(model: Any) -> Any:
    """Moves every variable that starts at zero or one, so that a lost one shows."""
    rng = np.random.default_rng(5)
    for variable in model.weights:
        if "moving_variance" in variable.path or "gamma" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.path.endswith(("bias", "beta", "moving_mean")):
            variable.assign(rng.normal(0.0, 0.1, variable.shape))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_twin_equals_the_original(name: str) -> None:
    keras.utils.set_random_seed(2)
    model = shaken(ARCHITECTURES[name]())
    size = ARCHITECTURES[name].size
    images = np.random.default_rng(0).uniform(0, 255, (3, *size, 3)).astype(np.float32)
    pair = tuning_copy.build(model.training_model)
    found, expected = pair.outputs(images), model.training_model(images, training=False)
    assert set(found) == set(expected)
    for key in expected:
        value = np.asarray(expected[key])
        assert value.std() > 1e-3
        np.testing.assert_allclose(np.asarray(found[key]), value, atol=1e-6, rtol=0)


def test_twin_has_namesakes_for_what_the_toolkit_knows_and_wraps_the_rest() -> None:
    model = ARCHITECTURES["GRegLRef"]()
    pair = tuning_copy.build(model.training_model)
    kinds = {layer.name: type(layer).__name__ for layer in pair.model.layers}
    convolutions = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert {kinds[name] for name in convolutions} == {"Conv2D"}
    assert {kinds[name] for name in ("crop_1", "local_1", "scale")} == {"Wrapped"}
    trained = sum(int(np.prod(w.shape)) for w in pair.model.trainable_weights)
    assert trained == sum(int(np.prod(w.shape)) for w in model.trainable_weights)


def test_models_inside_models_and_shared_layers_keep_their_weights_once() -> None:
    image = keras.Input((8, 8, 3))
    inner_image = keras.Input((8, 8, 3))
    inner = keras.Model(
        inner_image, keras.layers.Conv2D(4, 3, name="shared")(inner_image), name="inner"
    )
    mirrored = keras.ops.flip(image, axis=2)
    total = keras.ops.concatenate([inner(image), inner(mirrored)], axis=-1)
    points = keras.layers.Dense(6)(keras.layers.Flatten()(total))
    model = keras.Model(image, keras.layers.Reshape((3, 2))(points))
    pair = tuning_copy.build(model)
    images = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(pair.outputs(images)[""]), np.asarray(model(images)), atol=1e-6
    )
    assert len(pair.originals) == 2  # the convolution once, the dense layer once


def test_gradients_reach_wrapped_layers() -> None:
    import tensorflow as tf

    pair = tuning_copy.build(ARCHITECTURES["GRegLRef"]().training_model)
    images = tf.random.stateless_uniform((2, 48, 48, 3), (1, 2), 0, 255)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(pair.outputs(images, training=True)["stages"] ** 2)
    variables = pair.model.trainable_variables
    gradients = tape.gradient(loss, variables)
    missing = [v.name for g, v in zip(gradients, variables, strict=True) if g is None]
    assert missing == []


def test_model_that_is_not_functional_is_refused() -> None:
    class Subclassed(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(ValueError, match="functional Keras 3 model"):
        tuning_copy.build(Subclassed())
