"""Landmarks drawn as heatmaps, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfalign.geometry.heatmaps import gaussian_heatmaps


@keras.saving.register_keras_serializable(package="tfalign")
class GaussianHeatmaps(keras.layers.Layer):
    """Draws one Gaussian of height 1 per landmark: the target of a heatmap network.

    ``HeatmapArgmax`` is its inverse, within half a cell (plain) or exactly (soft). Landmarks
    outside the image are drawn at the nearest point of its border; see
    ``tfalign.geometry.heatmaps``.

    Args:
        size: Map size in cells: an integer, or (rows, columns).
        sigma: Standard deviation in cells; the paper's is 1.3 on 64×64 cells.

    Input shape:
        (batch, n, 2), (x, y) in [0, 1]².

    Output shape:
        (batch, rows, columns, n).

    Reference:
        Mahpod, Das, Maiorana, Keller, Campisi, "Facial Landmark Point Localization using
        Coarse-to-Fine Deep Recurrent Neural Network", 2018, sections 3.2 and 4.

    Raises:
        ValueError: If an argument is not positive, or the input is not (batch, n, 2).
    """

    def __init__(self, size: int | Sequence[int] = 64, sigma: float = 1.3, **kwargs: Any) -> None:
        # Keras would cast the input to the compute dtype: half precision places a landmark within
        # a fifth of a cell only.
        super().__init__(**{**kwargs, "autocast": False})
        rows, columns = (size, size) if isinstance(size, int) else tuple(size)
        if min(rows, columns) < 1 or not sigma > 0.0:
            raise ValueError(
                f"`size` and `sigma` must be positive. Received: size={size}, sigma={sigma}"
            )
        self.size = (int(rows), int(columns))
        self.sigma = float(sigma)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 3 or input_shape[2] != 2:
            raise ValueError(
                "GaussianHeatmaps takes landmarks (batch, n, 2). Received: "
                f"input_shape={tuple(input_shape)}"
            )
        self.built = True

    def call(self, landmarks: Any) -> Any:
        maps = gaussian_heatmaps(ops.cast(landmarks, "float32"), self.size, self.sigma)
        return ops.cast(maps, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], *self.size, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": list(self.size), "sigma": self.sigma}
