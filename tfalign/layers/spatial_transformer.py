"""The sampler of a spatial transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign import geometry
from tfalign.geometry.parametric import PARAMETERS, check_kind, map_coordinates
from tfalign.geometry.sampling import check_border, sample_coordinates, sample_grid


@keras.saving.register_keras_serializable(package="tfalign")
class SpatialTransformer(keras.layers.Layer):
    """Warps images by predicted maps: the pixel at p of the result shows the image at T_θ p.

    The grid of the result's pixel centres, in [−1, 1]² from border to border, goes through T_θ
    (Equation 1); the image is sampled there bilinearly (Equation 2). The layer is differentiable
    in the images and in θ. θ of the identity (``geometry.parametric.identity_parameters``) resizes
    the image without smoothing.

    Args:
        size: (height, width) of the result in pixels, or one number for a square; ``output_size``
            is another name for it.
        kind: ``"affine"`` (6 parameters, the paper's), ``"similarity"`` (4), ``"scaling"`` (4; a
            view without a turn, sampled row by row in less time) or ``"projective"`` (8); their
            order is that of ``geometry.parametric.PARAMETERS``.
        border: What lies outside the image, see ``tfalign.geometry.Border``.

    Call arguments:
        inputs: ``[images, theta]``.

    Input shape:
        ``images`` (batch, H, W, C); ``theta`` (batch, P), which maps [−1, 1]² of the result to
        [−1, 1]² of the image.

    Output shape:
        (batch, height, width, C) in the compute dtype.

    Reference:
        Lv et al., "A Deep Regression Architecture with Two-Stage Re-initialization for High
        Performance Facial Landmark Detection", CVPR 2017, section 3.1.1; Jaderberg et al.,
        "Spatial Transformer Networks", 2015.

    Reading:
        −1 and 1 are the outer borders of the outer pixels, not their centres, so that halving an
        image's size leaves θ as it is. The paper does not say what lies outside; the nearest pixel
        is ours.

    Raises:
        ValueError: If an argument is outside its range, or the inputs have other shapes.
    """

    def __init__(
        self,
        size: int | Sequence[int] = (224, 224),
        kind: str = "affine",
        border: geometry.Border = "clamp",
        **kwargs: Any,
    ) -> None:
        size = kwargs.pop("output_size", size)
        # Half precision would round positions to whole pixels; they stay in float32.
        super().__init__(**{**kwargs, "autocast": False})
        sides = (size,) * 2 if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or min(sides) < 1:
            raise ValueError(
                "`size` must be a positive number or a positive (height, width). "
                f"Received: size={size}"
            )
        check_kind(kind)
        check_border(border)
        self.size = (int(sides[0]), int(sides[1]))
        self.kind = kind
        self.border = border

    def build(self, input_shape: Any) -> None:
        _check_shapes(input_shape, self.kind)
        height, width = self.size
        xs = (2 * np.arange(width, dtype=np.float32) + 1) / width - 1
        ys = (2 * np.arange(height, dtype=np.float32) + 1) / height - 1
        if self.kind == "scaling":
            self._grid = [xs[None], ys[None]]
        else:
            self._grid = [side.reshape(1, -1) for side in np.meshgrid(xs, ys)]
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        images, theta = inputs
        rows, columns, channels = ops.shape(images)[1:]
        x, y = map_coordinates(ops.cast(theta, "float32"), *self._grid, self.kind)
        # From [−1, 1] to pixels, written out: sizes may be unknown when the graph is made.
        x = (x + 1.0) * (0.5 * ops.cast(columns, "float32"))
        y = (y + 1.0) * (0.5 * ops.cast(rows, "float32"))
        if self.kind == "scaling":
            values = sample_grid(images, x, y, self.border)
        else:
            values = sample_coordinates(images, x, y, self.border)
            values = ops.reshape(values, (-1, *self.size, channels))
        return ops.cast(values, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        images, _ = _check_shapes(input_shape, self.kind)
        return (images[0], *self.size, images[3])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": list(self.size),
            "kind": self.kind,
            "border": self.border,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SpatialTransformer:
        """Makes the layer from its configuration; 0.1's has ``output_size``, (width, height)."""
        if "output_size" in config:
            config = dict(config)
            config["size"] = config.pop("output_size")[::-1]
        return cls(**config)


def _check_shapes(input_shape: Any, kind: str) -> tuple[Any, Any]:
    """Returns the two input shapes, or raises ``ValueError`` saying what they must be."""
    good = (
        isinstance(input_shape, (list, tuple))
        and len(input_shape) == 2
        and all(isinstance(shape, (list, tuple)) for shape in input_shape)
        and len(input_shape[0]) == 4
        and input_shape[0][3] is not None
        and len(input_shape[1]) == 2
        and input_shape[1][1] == PARAMETERS[kind]
    )
    if not good:
        raise ValueError(
            f"SpatialTransformer takes [images (batch, H, W, C), theta (batch, {PARAMETERS[kind]})]"
            f" with C known, for kind={kind!r}. Received: input_shape={input_shape}"
        )
    return input_shape[0], input_shape[1]
