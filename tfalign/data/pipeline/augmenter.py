"""The augmentation as a compiled function, made once for each setting."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import keras

from tfalign import markup
from tfalign.data.augment import AugmentConfig, RandomAugment

Augmenter = Callable[[Any, Any, Any, Any], tuple[Any, Any]]


# Kept, because a training loop that asks for each epoch's batches anew would otherwise trace (and
# on JAX compile) the augmentation once in every epoch.
@lru_cache(maxsize=16)
def augmenter(
    config: AugmentConfig,
    scheme: markup.LandmarkScheme,
    size: tuple[int, int],
    image_dtype: str = "uint8",
    static_shapes: bool = True,
) -> Augmenter:
    """Returns a compiled function (image, landmarks, crop, key) → (image, landmarks).

    ``jax.jit`` on JAX, ``tf.function`` on TensorFlow, eager elsewhere; for arguments and results
    see ``RandomAugment``.
    """
    layer = RandomAugment(
        config, scheme, size, image_dtype=image_dtype, static_shapes=static_shapes
    )

    def augment(image: Any, landmarks: Any, crop: Any, key: Any) -> tuple[Any, Any]:
        result = layer({"image": image, "landmarks": landmarks, "crop": crop, "key": key})
        return result["image"], result["landmarks"]

    if keras.config.backend() == "jax":
        import jax

        return jax.jit(augment)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        function = tf.function(augment)
        # Given NumPy arrays, tf.function would trace once for each value.
        return lambda *arrays: function(*map(tf.convert_to_tensor, arrays))
    return augment
