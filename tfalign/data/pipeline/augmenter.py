"""The augmentation as a compiled function, made once for each setting."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import keras

from tfalign import markup
from tfalign.data.augment import AugmentConfig, RandomAugment

Augmenter = Callable[..., tuple[Any, ...]]


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

    With a fifth argument, annotated (batch, n) bool, it returns a third tensor, the weight of each
    point: 1 where it is annotated, and 0 where it is not, whose landmark then is (0, 0).
    ``jax.jit`` on JAX, ``tf.function`` on TensorFlow, eager elsewhere; for arguments and results
    see ``RandomAugment``.
    """
    layer = RandomAugment(
        config, scheme, size, image_dtype=image_dtype, static_shapes=static_shapes
    )

    def augment(image: Any, landmarks: Any, crop: Any, key: Any, *masks: Any) -> tuple[Any, ...]:
        inputs = {"image": image, "landmarks": landmarks, "crop": crop, "key": key}
        result = layer({**inputs, **({"annotated": masks[0]} if masks else {})})
        weights = [keras.ops.cast(result["annotated"], "float32")] if masks else []
        return (result["image"], result["landmarks"], *weights)

    if keras.config.backend() == "jax":
        import jax

        return jax.jit(augment)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        function = tf.function(augment)
        # Given NumPy arrays, tf.function would trace once for each value.
        return lambda *arrays: function(*map(tf.convert_to_tensor, arrays))
    return augment
