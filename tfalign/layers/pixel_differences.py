"""Differences of random pairs of pixels around each landmark (RDF)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign.layers.image_gradient import sobel, with_position_gradient


@keras.saving.register_keras_serializable(package="tfalign")
class PixelDifferences(keras.layers.Layer):
    """Reads the difference of two pixels near each landmark, for several random pairs.

        ψ(p, X) = X(p + d₁) − X(p + d₂)                                            (Equation 18)

    Backward, ∂ψ/∂p = ∇X(p + d₁) − ∇X(p + d₂) with the image gradient of Sobel's operator
    (Equation 19), and ∂ψ/∂X is +1 where the first pixel was read and −1 where the second was
    (Equation 20; shared out between the four pixels that a sub-pixel position reads).

    Args:
        pairs: Differences per landmark.
        radius: Largest distance of a pixel from its landmark, as a share of the image's sides.
        seed: Decides the offsets: each landmark has its own, the same for every image.
        stop_position_gradient: Whether landmarks get no gradient.

    Call arguments:
        inputs: ``[images, landmarks]``.

    Input shape:
        ``images`` (batch, H, W, 1), H and W known; ``landmarks`` (batch, n, 2), (x, y) in [0, 1]²
        of the image.

    Output shape:
        (batch, n, pairs), in grey levels of the images.

    Reference:
        Liu et al., "Learning Deep Sharable and Structural Detectors for Face Alignment", TIP 2017,
        section III-B, Equations 17–22; Cao, Wei, Wen, Sun, "Face Alignment by Explicit Shape
        Regression", CVPR 2012.

    Reading:
        The paper gives neither the number of pairs nor how offsets are drawn; they are uniform in
        a disc, each landmark has its own. Pixels are interpolated bilinearly and border pixels
        repeated outside the image.

    Raises:
        ValueError: If ``pairs`` or ``radius`` is not positive, or the inputs are not as above.
    """

    def __init__(
        self,
        pairs: int = 10,
        radius: float = 0.15,
        seed: int = 0,
        stop_position_gradient: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "autocast": False})
        if pairs < 1 or not radius > 0:
            raise ValueError(
                f"`pairs` and `radius` must be positive. Received: pairs={pairs}, radius={radius}"
            )
        self.pairs, self.radius, self.seed = int(pairs), float(radius), int(seed)
        self.stop_position_gradient = bool(stop_position_gradient)

    def build(self, input_shape: Any) -> None:
        _, landmarks = self._check(input_shape)
        rng = np.random.default_rng(self.seed)
        # Two points for each pair; the square root makes them uniform in the disc.
        shape = (landmarks[1], self.pairs, 2)
        distance = self.radius * np.sqrt(rng.uniform(size=shape))
        angle = rng.uniform(0.0, 2.0 * np.pi, size=shape)
        offsets = distance[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        self.offsets = offsets.astype(np.float32)
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        images, landmarks = inputs
        images = ops.cast(images, self.compute_dtype)
        landmarks = ops.cast(landmarks, "float32")
        differences = self._differences(images, ops.stop_gradient(landmarks))[..., 0]
        if self.stop_position_gradient:
            return differences
        return with_position_gradient(differences, images, landmarks, self._slopes)

    def _slopes(self, upstream: Any, images: Any, landmarks: Any) -> Any:
        images = ops.cast(images, "float32")
        maps = ops.concatenate(sobel(images), axis=-1)
        slopes = self._differences(maps, landmarks)
        upstream = ops.expand_dims(ops.cast(upstream, "float32"), -1)
        sides = np.array([images.shape[2], images.shape[1]], "float32")
        return ops.sum(upstream * slopes, axis=2) * sides

    def _differences(self, images: Any, landmarks: Any) -> Any:
        """Returns (batch, n, pairs, C) of images (batch, H, W, C)."""
        batch, rows, columns, channels = ops.shape(images)
        n = int(self.offsets.shape[0])
        # Pixel centres at integers from here on.
        sides = np.array([columns, rows], "float32")
        positions = ops.reshape(landmarks * sides - 0.5, (-1, n, 1, 2))
        offsets = (self.offsets * sides).reshape(1, n, 2 * self.pairs, 2)
        positions = ops.clip(positions + offsets, 0.0, sides - 1.0)
        whole = ops.floor(positions)
        fraction = ops.cast(positions - whole, images.dtype)
        first = ops.cast(whole, "int32")
        second = ops.minimum(first + 1, np.array([columns - 1, rows - 1], "int32"))
        xs = ops.stack([first[..., 0], second[..., 0]], axis=-1)
        ys = ops.stack([first[..., 1], second[..., 1]], axis=-1) * columns
        index = ops.expand_dims(ys, -1) + ops.expand_dims(xs, -2)
        if images.shape[0] != 1:
            start = ops.arange(batch, dtype="int32") * (rows * columns)
            index = index + ops.reshape(start, (-1, 1, 1, 1, 1))
        flat = ops.reshape(images, (-1, channels))
        cells = ops.take(flat, ops.reshape(index, (-1,)), axis=0)
        # Four dimensions at most: phones' kernels broadcast no more.
        cells = ops.reshape(cells, (-1, 2, 2, channels))
        fraction = ops.reshape(fraction, (-1, 2, 1))
        cells = cells[:, 0] + fraction[:, 1:] * (cells[:, 1] - cells[:, 0])
        pixels = cells[:, 0] + fraction[:, 0] * (cells[:, 1] - cells[:, 0])
        pixels = ops.reshape(pixels, (-1, n * self.pairs, 2, channels))
        differences = pixels[:, :, 0] - pixels[:, :, 1]
        return ops.reshape(differences, (-1, n, self.pairs, channels))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        images, landmarks = self._check(input_shape)
        return (images[0], landmarks[1], self.pairs)

    def _check(self, shape: Any) -> tuple[Any, Any]:
        good = (
            isinstance(shape, (list, tuple))
            and len(shape) == 2
            and all(isinstance(part, (list, tuple)) for part in shape)
            and (len(shape[0]), len(shape[1])) == (4, 3)
            and None not in shape[0][1:]
            and shape[0][3] == 1
            and shape[1][1] is not None
            and shape[1][2] == 2
        )
        if not good:
            raise ValueError(
                "PixelDifferences takes [images (batch, H, W, 1), landmarks (batch, n, 2)], all "
                f"but the batch known. Received: input_shape={shape}"
            )
        return shape[0], shape[1]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pairs": self.pairs,
            "radius": self.radius,
            "seed": self.seed,
            "stop_position_gradient": self.stop_position_gradient,
        }
