"""SIFT-like descriptors around the landmarks of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfalign.layers.box_histogram import CELLS, BoxHistogram, check_shapes
from tfalign.layers.orientation_integral import OrientationIntegral


@keras.saving.register_keras_serializable(package="tfalign")
class ShapeIndexedSIFT(keras.layers.Layer):
    """A SIFT-like descriptor around each landmark: 4×4 cells of 8 orientations, 128 numbers.

    This is ``OrientationIntegral`` (response maps, blur, integral images) followed by
    ``BoxHistogram`` (cell sums, central-difference gradient in the landmarks), which say how. A
    cascade over one image uses the two by themselves, so that the maps are made once.

    Args:
        patch: Side of the described square in pixels, a multiple of 4; the paper's are 32 and 16.
        epsilon: ε of the central difference in pixels; the paper's is 2.
        orientations: Number of directions.
        sigma: Blur of the response maps in pixels.
        clip: See ``BoxHistogram``.

    Call arguments:
        inputs: ``[images, landmarks]``.

    Input shape:
        ``images`` (batch, H, W, C), values in [0, 255]; ``landmarks`` (batch, n, 2), (x, y) in
        [0, 1]² of the image.

    Output shape:
        (batch, n, 16 · orientations): cells row by row, orientations innermost.

    Reference:
        Shi et al., "Deep Regression for Face Alignment", 2014, sections 3.2 and 3.2.2.

    Raises:
        ValueError: If an argument is out of range, or the inputs are not two tensors of rank 4
            and 3.
    """

    def __init__(
        self,
        patch: int = 32,
        epsilon: float = 2.0,
        orientations: int = 8,
        sigma: float = 2.0,
        clip: float | None = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "autocast": False})
        self.integral = OrientationIntegral(orientations, sigma, dtype=self.dtype_policy)
        self.histogram = BoxHistogram(patch, epsilon, clip, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        images, landmarks = check_shapes(input_shape, type(self).__name__)
        self.integral.build(images)
        self.histogram.build([self.integral.compute_output_shape(images), landmarks])
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        images, landmarks = inputs
        return self.histogram([self.integral(images), landmarks])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        images, landmarks = check_shapes(input_shape, type(self).__name__)
        return (images[0], landmarks[1], CELLS * CELLS * self.integral.orientations)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "patch": self.histogram.patch,
            "epsilon": self.histogram.epsilon,
            "orientations": self.integral.orientations,
            "sigma": self.integral.sigma,
            "clip": self.histogram.clip,
        }
