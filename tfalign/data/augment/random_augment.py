"""The augmentation as a Keras layer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign import geometry, markup
from tfalign.data.augment import photometric, presets
from tfalign.data.augment.config import AugmentConfig
from tfalign.data.augment.draws import Draws
from tfalign.data.augment.geometric import augmented_map, permute_flipped
from tfalign.data.augment.random_bits import batch_keys
from tfalign.geometry.namespace import Array

_MASKS = ("visible", "annotated")


@keras.saving.register_keras_serializable(package="tfalign")
class RandomAugment(keras.layers.Layer):
    """Turns source crops with a margin into augmented model inputs and their landmarks.

    Flip, rotation, scale and translation are one affine map for each face; the source crop is
    sampled through it exactly once, bilinearly, and never resampled. The same code runs inside
    tf.data, eagerly, and on the device on TensorFlow and JAX; with the same keys all of them make
    the same pictures.

    Args:
        config: An ``AugmentConfig``, the name of a preset or a configuration's plain data.
        scheme: The landmark scheme whose ``flip_map`` renumbers mirrored landmarks, as
            ``tfalign.markup.get`` takes it. Where it has none, faces are not mirrored, and a
            warning says so.
        size: (height, width) of the output in pixels.
        image_dtype: ``"uint8"`` (rounded) or ``"float32"``; both in [0, 255].
        static_shapes: True keeps all shapes static, as JAX and XLA need; False lets an effect that
            only some images drew be computed on these alone, for TensorFlow on a CPU without XLA,
            e.g. inside tf.data. The results do not depend on it.
        seed: Integer seed for calls that bring no keys of their own.

    Call arguments:
        inputs: A dictionary of

            * ``image``: (batch, source height, source width, 3), uint8 or float in [0, 255].
            * ``landmarks``: (batch, n, 2), source-crop pixels.
            * ``crop``: (batch, 2, 3), the nominal map from source-crop to output pixels.
            * ``visible``, ``annotated``: optional, (batch, n) bool.
            * ``key``: optional, (batch, 2) uint32, one random key for each face (see
              ``random_bits.sample_keys``). With it the result is a pure function of the inputs;
              without it keys are drawn from the layer's seed generator.

        training: False gives the nominal crop. Defaults to True.

    Output:
        A dictionary of

        * ``image``: (batch, height, width, 3) in [0, 255], of ``image_dtype``.
        * ``landmarks``: (batch, n, 2) float32, [0, 1]² of the output. Landmarks that leave the crop
          keep their coordinates, outside [0, 1].
        * ``crop``: (batch, 2, 3), the map from source-crop to output pixels that was used.
        * ``visible``, ``annotated``: where they were given, renumbered with the landmarks. A
          landmark that is not annotated is (0, 0).

    Raises:
        ValueError: If an argument is outside its domain, or the number of landmarks is not the
            scheme's.

    Reference: GRegLRef (CVPRW 2019), section 4.3, for the preset ``"greglref"``.
    """

    def __init__(
        self,
        config: AugmentConfig | str | Mapping[str, Any],
        scheme: markup.LandmarkScheme | str | Mapping[str, Any],
        size: Sequence[int],
        image_dtype: str = "uint8",
        static_shapes: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Coordinates in pixels need float32 whatever the policy of the model that trains on them.
        kwargs.setdefault("dtype", "float32")
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        if len(size) != 2 or min(size) <= 0:
            raise ValueError(
                f"`size` must be a positive (height, width). Received: size={tuple(size)}"
            )
        if image_dtype not in ("uint8", "float32"):
            raise ValueError(
                f"`image_dtype` must be 'uint8' or 'float32'. Received: image_dtype={image_dtype!r}"
            )
        self.config = presets.get(config)
        self.scheme = markup.get(scheme)
        self.size = (int(size[0]), int(size[1]))
        self.image_dtype = image_dtype
        self.static_shapes = bool(static_shapes)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._flip = self.config.flip
        if self.scheme.flip_map is None:
            if self._flip > 0:
                warnings.warn(
                    f"Nothing says which points of scheme {self.scheme.name!r} change places in a "
                    "mirror, so that augmentation leaves mirroring out; give the scheme "
                    "`flip_pairs`.",
                    stacklevel=2,
                )
            self._flip = 0.0
        self._flip_map = np.asarray(
            self.scheme.flip_map or range(self.scheme.num_points), dtype=np.int32
        )

    def call(self, inputs: Mapping[str, Array], training: bool = True) -> dict[str, Array]:
        self._check_landmarks(inputs["landmarks"].shape)
        crop = ops.cast(inputs["crop"], "float32")
        landmarks = ops.cast(inputs["landmarks"], "float32")
        outputs: dict[str, Array] = {key: inputs[key] for key in _MASKS if key in inputs}
        if training:
            draws = Draws(self._keys(inputs))
            flip = draws.chance("flip", self._flip)
            crop = self._augmented(crop, flip, draws)
            landmarks = permute_flipped(landmarks, flip, self._flip_map)
            for key, mask in outputs.items():
                outputs[key] = permute_flipped(mask, flip, self._flip_map)
        images = geometry.warp_affine(
            inputs["image"], geometry.invert(crop), self.size, self.config.border
        )
        # The static shape is what the filters slice by.
        images = ops.reshape(images, (-1, *self.size, 3))
        if training:
            images = photometric.apply(self.config, images, draws, self.static_shapes)
        outputs["image"] = self._quantised(images)
        moved = geometry.transform_points(crop, landmarks)
        unit = geometry.unit_from_pixel(moved, self.size)
        if "annotated" in outputs:
            unit = ops.where(ops.cast(outputs["annotated"], "bool")[..., None], unit, 0.0)
        outputs["landmarks"] = unit
        outputs["crop"] = crop
        return outputs

    def _augmented(self, crop: Array, flip: Array, draws: Draws) -> Array:
        config = self.config
        reach = (-config.translation, config.translation)
        return augmented_map(
            crop,
            self.size,
            flip,
            draws.between("rotation", config.rotation) * (math.pi / 180.0),
            draws.between("scale", config.scale),
            draws.between("translation", reach),
        )

    def _keys(self, inputs: Mapping[str, Array]) -> Array:
        if "key" in inputs:
            return ops.cast(inputs["key"], "uint32")
        return batch_keys(self.seed_generator.next(), ops.shape(inputs["landmarks"])[0])

    def _quantised(self, images: Array) -> Array:
        if self.image_dtype == "float32":
            return ops.cast(images, "float32")
        return ops.cast(ops.clip(ops.round(images), 0.0, 255.0), "uint8")

    def _check_landmarks(self, shape: Sequence[int | None]) -> None:
        if shape[1] != self.scheme.num_points:
            raise ValueError(
                f"The scheme {self.scheme.name!r} has {self.scheme.num_points} landmarks. "
                f"Received: inputs['landmarks'].shape={tuple(shape)}"
            )

    def compute_output_spec(
        self, inputs: Mapping[str, Any], training: bool = True
    ) -> dict[str, keras.KerasTensor]:
        points = inputs["landmarks"].shape
        self._check_landmarks(points)
        spec = {
            "image": keras.KerasTensor((points[0], *self.size, 3), self.image_dtype),
            "landmarks": keras.KerasTensor(points, "float32"),
            "crop": keras.KerasTensor((points[0], 2, 3), "float32"),
        }
        for key in _MASKS:
            if key in inputs:
                spec[key] = keras.KerasTensor(points[:2], inputs[key].dtype)
        return spec

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "config": self.config.get_config(),
            "scheme": self.scheme.to_config(),
            "size": list(self.size),
            "image_dtype": self.image_dtype,
            "static_shapes": self.static_shapes,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RandomAugment:
        """Makes the layer from its configuration; 0.1's has ``output_size``, (width, height)."""
        if "output_size" in config:
            config = dict(config)
            config["size"] = config.pop("output_size")[::-1]
        return cls(**config)
