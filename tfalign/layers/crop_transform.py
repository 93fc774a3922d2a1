"""The map by which a face is cut out anew, from a shape that is already known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign import geometry


@keras.saving.register_keras_serializable(package="tfalign")
class CropTransform(keras.layers.Layer):
    """Returns the θ with which ``SpatialTransformer`` shows a face as a crop convention says.

    The face is turned until its eyes are level, by at most 90°, then the tight box of its landmarks
    becomes the region of ``crop``: the view that a model of that convention was trained on. A shape
    without extent gives a degenerate, finite θ.

    Args:
        image_size: (height, width) of the image that the landmarks lie in, in pixels.
        crop: A name of ``tfalign.geometry.CROP_PRESETS``, a ``CropConvention`` or its
            configuration.
        eyes: Indices of the points whose means are the subject's eyes, in either order; None
            leaves the face as it is turned, and θ is that of a ``"scaling"``.

    Input shape:
        (batch, n, 2), (x, y) in [0, 1]² of the image.

    Output shape:
        (batch, 6), the affine θ in [−1, 1] space, float32; without ``eyes`` (batch, 4), that of
        ``kind="scaling"`` (``geometry.parametric.PARAMETERS``).

    Reference:
        The re-initialization of Lv et al., CVPR 2017, section 3.1, with a measured θ in the place
        of a predicted one.

    Raises:
        ValueError: If an argument is outside its range, or the input has another shape.
    """

    def __init__(
        self,
        image_size: Sequence[int],
        crop: str | geometry.CropConvention | Mapping[str, Any] = "300w",
        eyes: Sequence[Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "autocast": False, "dtype": "float32"})
        if len(image_size) != 2 or min(image_size) < 1:
            raise ValueError(
                "`image_size` must be a positive (height, width). "
                f"Received: image_size={image_size}"
            )
        if eyes is not None and (len(eyes) != 2 or not all(map(len, eyes))):
            raise ValueError(f"`eyes` must be two groups of indices. Received: eyes={eyes}")
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.crop = geometry.crop_convention(crop)
        self.eyes = None if eyes is None else [[int(i) for i in group] for group in eyes]

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 3 or input_shape[2] != 2 or input_shape[1] is None:
            raise ValueError(
                "CropTransform takes landmarks (batch, n, 2) with n known. Received: "
                f"input_shape={tuple(input_shape)}"
            )
        if self.eyes is not None:
            n = int(input_shape[1])
            if not all(0 <= index < n for group in self.eyes for index in group):
                raise ValueError(
                    f"`eyes` must be indices of landmarks, from 0 to {n - 1}. Received: "
                    f"eyes={self.eyes}"
                )
            self._between_eyes = np.zeros((1, n, 1), np.float32)
            for sign, group in zip((-1.0, 1.0), self.eyes, strict=True):
                # Added, not set: an index may stand there twice.
                np.add.at(self._between_eyes[0, :, 0], group, sign / len(group))
        self.built = True

    def call(self, landmarks: Any) -> Any:
        points = geometry.pixel_from_unit(ops.cast(landmarks, "float32"), self.image_size)
        # From pixels of the image to [−1, 1].
        height, width = (2.0 / side for side in self.image_size)
        if self.eyes is None:
            region = self.crop.region(geometry.box_from_landmarks(points))
            scale = np.array([width, height], np.float32)
            size = 0.5 * scale * geometry.box_size(region)
            return ops.concatenate([size, scale * geometry.box_center(region) - 1.0], axis=-1)
        along = ops.sum(points * self._between_eyes, axis=1)
        length = ops.sqrt(ops.sum(along * along, axis=-1, keepdims=True))
        along = along / ops.maximum(length, keras.config.epsilon())
        # No face is turned upside down where a scheme names the left eye first.
        along = along * ops.where(along[:, :1] < 0.0, -1.0, 1.0)
        cos, sin = along[:, :1], along[:, 1:]
        x, y = points[..., 0], points[..., 1]
        upright = ops.stack([cos * x + sin * y, cos * y - sin * x], axis=-1)
        region = self.crop.region(geometry.box_from_landmarks(upright))
        centre, half = geometry.box_center(region), 0.5 * geometry.box_size(region)
        centre_x, centre_y, half_x, half_y = (
            part[:, i : i + 1] for part in (centre, half) for i in (0, 1)
        )
        theta = [
            width * cos * half_x,
            -width * sin * half_y,
            width * (cos * centre_x - sin * centre_y) - 1.0,
            height * sin * half_x,
            height * cos * half_y,
            height * (sin * centre_x + cos * centre_y) - 1.0,
        ]
        return ops.concatenate(theta, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], 4 if self.eyes is None else 6)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "image_size": list(self.image_size),
            "crop": self.crop.get_config(),
            "eyes": self.eyes,
        }
