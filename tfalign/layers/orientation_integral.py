"""Integral images of gradient orientation, shared by all descriptors of an image."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign.layers.orientation import (
    both_axes,
    central_differences,
    orientation_responses,
    strongest_channel,
)


@keras.saving.register_keras_serializable(package="tfalign")
class OrientationIntegral(keras.layers.Layer):
    """Orientation response maps of an image, blurred and integrated.

    Each pixel's gradient is split between its two nearest of ``orientations`` directions on the
    full circle; each response map is blurred by a gaussian, which stands for SIFT's interpolation
    between spatial bins, and summed to an integral image, in which any box is four reads. Blur and
    sum are linear and separable: one constant matrix on each axis does both.

    Outside the image responses are 0. Computed in float32 under any policy: an integral image in
    half precision has lost the boxes.

    Args:
        orientations: Number of directions; direction ``o`` is ``o / orientations`` of a turn from
            the x axis towards the y axis.
        sigma: Standard deviation of the blur in pixels, cut at 3 sigma; 0 does not blur.

    Input shape:
        (batch, H, W, C), values in [0, 255]. Of several channels, each pixel takes the one of the
        largest gradient.

    Output shape:
        (batch, H + 1, W + 1, orientations), float32. Entry (y, x) sums the pixels above and to the
        left of the corner (x, y), in units of 255.

    Reference:
        Shi et al., "Deep Regression for Face Alignment", 2014, section 3.2.2.

    Reading:
        The paper gives no width of the blur; 2 pixels are ours.

    Raises:
        ValueError: If an argument is out of range or the input is not of rank 4.
    """

    def __init__(self, orientations: int = 8, sigma: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "autocast": False})
        if orientations < 3 or sigma < 0:
            raise ValueError(
                "`orientations` must be at least 3 and `sigma` at least 0. "
                f"Received: orientations={orientations}, sigma={sigma}"
            )
        self.orientations, self.sigma = int(orientations), float(sigma)

    def build(self, input_shape: Any) -> None:
        self._check(input_shape)
        self.built = True

    def call(self, images: Any) -> Any:
        height, width = (int(side) for side in images.shape[1:3])
        images = ops.cast(images, "float32") * (1 / 255)
        dx, dy = strongest_channel(*central_differences(images))
        maps = orientation_responses(dx, dy, self.orientations, signed=True, first=0.0)
        rows, columns = (blurred_sums(side, self.sigma) for side in (height, width))
        return ops.transpose(both_axes(rows, maps, columns), (0, 2, 3, 1))

    def _check(self, shape: Any) -> None:
        if len(shape) != 4 or None in shape[1:]:
            raise ValueError(
                "OrientationIntegral takes images (batch, H, W, C) of known size. Received: "
                f"input_shape={tuple(shape)}"
            )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check(input_shape)
        batch, height, width, _ = input_shape
        return (batch, height + 1, width + 1, self.orientations)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "orientations": self.orientations,
            "sigma": self.sigma,
        }


def blurred_sums(length: int, sigma: float) -> np.ndarray:
    """Returns (length + 1, length): row ``i`` sums the first ``i`` pixels of the blurred signal."""
    place = np.arange(length)
    distance = np.abs(place[:, None] - place[None])
    blur = np.eye(length)
    if sigma > 0:
        radius = int(np.ceil(3 * sigma))
        kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
        blur = np.exp(-(distance**2) / (2 * sigma**2)) * (distance <= radius) / kernel.sum()
    return np.concatenate([np.zeros((1, length)), np.cumsum(blur, axis=0)])
