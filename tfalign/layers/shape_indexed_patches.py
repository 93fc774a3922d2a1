"""Image patches around landmarks, with the paper's gradient by the landmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign.layers.image_gradient import sobel, with_position_gradient
from tfalign.layers.shape_indexed_crop import ShapeIndexedCrop


@keras.saving.register_keras_serializable(package="tfalign")
class ShapeIndexedPatches(keras.layers.Layer):
    """Cuts a square patch of an image around each landmark, at sub-pixel precision.

    Landmarks are relative to the image, so the same shape cuts patches of an image at any scale:
    30 pixels are a large part of a face in a 50×50 image and a small one in a 200×200 image.

    Forward this is ``ShapeIndexedCrop``. Backward, a pixel's derivative by its landmark is the
    image gradient there (Sobel's operator, read at the pixel's own sub-pixel position), and a
    landmark gets the sum over its patch:

        ∂J/∂p = Σ_d ∇X(p + d) · ∂J/∂X(p + d)                              (Equations 17 and 21)

    Args:
        size: Side of the patch in pixels of the image; the paper's is 30.
        stop_position_gradient: Whether landmarks get no gradient.

    Call arguments:
        inputs: ``[images, landmarks]``.

    Input shape:
        ``images`` (batch, H, W, C); ``landmarks`` (batch, n, 2), (x, y) in [0, 1]² of the image.

    Output shape:
        (batch, n, size, size, C).

    Reference:
        Liu, Lu, Feng, Zhou, "Learning Deep Sharable and Structural Detectors for Face Alignment",
        TIP 2017, sections III-B and IV-B.

    Reading:
        The operator's size is 3×3 (the paper says d×d). It is scaled so that it is the derivative
        in grey levels per pixel. Pixels are interpolated bilinearly and border pixels repeated
        outside the image; the paper states neither.

    Raises:
        ValueError: If ``size`` is not positive, or the inputs are not two tensors of rank 4 and 3.
    """

    def __init__(self, size: int = 30, stop_position_gradient: bool = False, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "autocast": False})
        self.crop = ShapeIndexedCrop(size, stop_position_gradient=True, dtype=self.dtype_policy)
        self.size = int(size)
        self.stop_position_gradient = bool(stop_position_gradient)

    def build(self, input_shape: Any) -> None:
        self.crop.build(input_shape)
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        images, landmarks = inputs
        values = self.crop([images, landmarks])
        if not self.stop_position_gradient:
            values = with_position_gradient(values, images, landmarks, self._slopes)
        n, channels = landmarks.shape[1], images.shape[3]
        return ops.reshape(values, (-1, n, self.size, self.size, channels))

    def _slopes(self, upstream: Any, images: Any, landmarks: Any) -> Any:
        images = ops.cast(images, "float32")
        n, channels = landmarks.shape[1], images.shape[3]
        maps = ops.concatenate(sobel(images), axis=-1)
        reader = ShapeIndexedCrop(self.size, dtype="float32")
        shape = (-1, n, self.size * self.size, 2, channels)
        gradient = ops.reshape(reader([maps, landmarks]), shape)
        weight = ops.reshape(ops.cast(upstream, "float32"), (*shape[:3], 1, channels))
        per_pixel = ops.sum(gradient * weight, axis=(2, 4))
        sides = np.array([images.shape[2], images.shape[1]], "float32")
        return ops.cast(per_pixel * sides, landmarks.dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        batch, n, _ = self.crop.compute_output_shape(input_shape)
        return (batch, n, self.size, self.size, input_shape[0][3])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "stop_position_gradient": self.stop_position_gradient,
        }
