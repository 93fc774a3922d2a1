"""Shape-indexed feature collection (SIFC)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign.layers.fixed_map import fixed_linear_map


@keras.saving.register_keras_serializable(package="tfalign")
class ShapeIndexedCrop(keras.layers.Layer):
    """Crops a small patch of a feature map around each landmark, at sub-pixel precision.

    All samples of one patch share the same fractional offset. The crop is therefore one integer
    gather of (h + 1)×(w + 1) cells per landmark, followed by one separable blend (first along x,
    then along y), instead of four gathers of h×w: a single GATHER in an exported model.

    Outside the map the nearest border cell is read (``clamp``): a landmark at the image's edge
    sees the edge's features, and a landmark far outside sees a constant patch.

    With ``gathers = False``, an attribute for exporting, the same patch is two products of the map
    with weights that are 0 but for the cells about each sample: many more multiplications, but
    operators that every accelerator has.

    The layer is differentiable in the feature map and in the positions. The position gradient is
    that of the bilinear surface; the paper needs only the feature gradient, and
    ``tfalign.models.GRegLRef`` stops the other.

    Args:
        size: Patch size in cells: an integer, or (height, width).
        stop_position_gradient: Whether to treat the positions as constants.

    Call arguments:
        inputs: ``[features, landmarks]``.

    Input shape:
        ``features`` (batch, H, W, C); ``landmarks`` (batch, n, 2), (x, y) in [0, 1]² of the map.

    Output shape:
        (batch, n, height · width · C), row by row, channels last.

    Reference:
        Su et al., "Efficient and Accurate Face Alignment by Global Regression and Cascaded Local
        Refinement", CVPRW 2019, section 3.3 and Figure 4.

    Reading:
        The rescaled landmark p = landmark · (W, H) is the patch's centre in the convention of
        ``tfalign.geometry`` (cell ``i`` has its centre at ``i + 0.5``); the paper does not state
        one. The border rule is ours as well.

    Raises:
        ValueError: If ``size`` is not positive, or the inputs are not two tensors of rank 4 and 3.
    """

    def __init__(
        self, size: int | Sequence[int] = 5, stop_position_gradient: bool = False, **kwargs: Any
    ) -> None:
        # Keras would cast both inputs to the compute dtype: half precision places a landmark on a
        # 112-cell map within a fifth of a cell only. Positions stay in float32, features are cast
        # in `call`.
        super().__init__(**{**kwargs, "autocast": False})
        height, width = (size, size) if isinstance(size, int) else tuple(size)
        if height < 1 or width < 1:
            raise ValueError(f"`size` must be positive. Received: size={size}")
        self.size = (int(height), int(width))
        self.stop_position_gradient = bool(stop_position_gradient)
        self.gathers = True

    def build(self, input_shape: Any) -> None:
        _check_shapes(input_shape)
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        features, landmarks = inputs
        height, width = self.size
        batch, rows, columns, channels = ops.shape(features)
        n = landmarks.shape[1]
        if self.stop_position_gradient:
            landmarks = ops.stop_gradient(landmarks)
        features = ops.cast(features, self.compute_dtype)
        landmarks = ops.cast(landmarks, "float32")
        if not self.gathers:
            return self._product(features, landmarks)
        # Index coordinates (cell centres at integers) of the patch's top-left sample.
        x = landmarks[..., 0] * columns - (0.5 + (width - 1) / 2)
        y = landmarks[..., 1] * rows - (0.5 + (height - 1) / 2)
        # Far outside nothing changes any more; the clip keeps the cast to integers defined.
        x = ops.clip(x, -float(width) - 1.0, ops.cast(columns, "float32") + 1.0)
        y = ops.clip(y, -float(height) - 1.0, ops.cast(rows, "float32") + 1.0)
        x_floor, y_floor = ops.floor(x), ops.floor(y)
        fraction_x = ops.reshape(ops.cast(x - x_floor, features.dtype), (-1, 1, 1))
        fraction_y = ops.reshape(ops.cast(y - y_floor, features.dtype), (-1, 1, 1))

        xs = ops.cast(x_floor, "int32")[..., None] + np.arange(width + 1, dtype="int32")
        ys = ops.cast(y_floor, "int32")[..., None] + np.arange(height + 1, dtype="int32")
        xs = ops.clip(xs, 0, columns - 1)
        ys = ops.clip(ys, 0, rows - 1) * columns
        index = ys[..., :, None] + xs[..., None, :]
        if features.shape[0] != 1:
            offset = ops.arange(batch, dtype="int32") * (rows * columns)
            index = index + ops.reshape(offset, (-1, 1, 1, 1))
        # One flat list of indices keeps the gather two-dimensional, which every runtime does well.
        patch = ops.take(ops.reshape(features, (-1, channels)), ops.reshape(index, (-1,)), axis=0)
        # Three dimensions with whole rows of samples innermost: the neighbour to the right is C
        # numbers further on, so both blends run over long contiguous rows. (`slice`, because the
        # gradient of `[...]` is several times slower on TensorFlow.)
        patch = ops.reshape(patch, (-1, height + 1, (width + 1) * channels))
        count = ops.shape(patch)[0]
        left = ops.slice(patch, (0, 0, 0), (count, height + 1, width * channels))
        right = ops.slice(patch, (0, 0, channels), (count, height + 1, width * channels))
        patch = left + fraction_x * (right - left)
        top = ops.slice(patch, (0, 0, 0), (count, height, width * channels))
        bottom = ops.slice(patch, (0, 1, 0), (count, height, width * channels))
        patch = top + fraction_y * (bottom - top)
        return ops.reshape(patch, (-1, n, height * width * channels))

    def _product(self, features: Any, landmarks: Any) -> Any:
        """Returns the patches as weights along y times the map times weights along x."""
        height, width = self.size
        rows, columns, channels = features.shape[1:]
        n = landmarks.shape[1]

        def weights(position: Any, samples: int, cells: int) -> Any:
            """(batch, n, samples, cells): each sample's share of every cell."""
            steps = np.arange(samples, dtype="float32") - (samples - 1) / 2
            place = ops.clip(position * cells - 0.5 + steps, 0.0, cells - 1.0)
            distance = ops.absolute(place[..., None] - np.arange(cells, dtype="float32"))
            return ops.cast(ops.relu(1.0 - distance), features.dtype)

        across = weights(landmarks[..., 0:1], width, columns)
        down = weights(landmarks[..., 1:2], height, rows)
        with fixed_linear_map():
            flat = ops.reshape(features, (-1, rows, columns * channels))
            strips = ops.matmul(ops.reshape(down, (-1, n * height, rows)), flat)
            strips = ops.reshape(strips, (-1, height, columns, channels))
            strips = ops.reshape(
                ops.transpose(strips, (0, 2, 1, 3)), (-1, columns, height * channels)
            )
            patch = ops.matmul(ops.reshape(across, (-1, width, columns)), strips)
        patch = ops.reshape(patch, (-1, width, height, channels))
        patch = ops.transpose(patch, (0, 2, 1, 3))
        return ops.reshape(patch, (-1, n, height * width * channels))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        features, landmarks = _check_shapes(input_shape)
        return (features[0], landmarks[1], self.size[0] * self.size[1] * features[3])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": list(self.size),
            "stop_position_gradient": self.stop_position_gradient,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ShapeIndexedCrop:
        """Makes the layer from its configuration; 0.1's has ``stop_gradient``."""
        if "stop_gradient" in config:
            config = dict(config)
            config["stop_position_gradient"] = config.pop("stop_gradient")
        return cls(**config)


def _check_shapes(input_shape: Any) -> tuple[Any, Any]:
    """Returns the two input shapes, or raises ``ValueError`` saying what they must be."""
    good = (
        isinstance(input_shape, (list, tuple))
        and len(input_shape) == 2
        and all(isinstance(shape, (list, tuple)) for shape in input_shape)
        and len(input_shape[0]) == 4
        and len(input_shape[1]) == 3
        and input_shape[0][3] is not None
        and input_shape[1][1] is not None
        and input_shape[1][2] == 2
    )
    if not good:
        raise ValueError(
            "ShapeIndexedCrop takes [features (batch, H, W, C), landmarks (batch, n, 2)] with C "
            f"and n known. Received: input_shape={input_shape}"
        )
    return input_shape[0], input_shape[1]
