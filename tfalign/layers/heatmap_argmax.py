"""From heatmaps back to landmarks."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

# Two cells to each side: the other axis of the window is summed before the logarithm is taken.
_RADIUS = 2
_SMALLEST_PEAK = 1e-6


@keras.saving.register_keras_serializable(package="tfalign")
class HeatmapArgmax(keras.layers.Layer):
    """The place of each map's maximum: the centre of the largest cell, or a point within that cell.

    The soft form takes the 5×5 cells about the maximum, sums them along one axis, and finds the
    vertex of the parabola through the logarithms of the three middle sums; the same for the other
    axis. For a Gaussian between 0.71 and 1.41 times as wide as ``sigma`` that is its centre, for
    others it is near (0.1 cells at 1.5 times). Cells below 0 count as 0. The result stays within
    the largest cell.

    No gradient passes in either form (CCNN, Equation 1: ΔP̂ is learned for the P̂ there is).

    Args:
        soft: Whether positions are sub-cell; the paper's are not.
        sigma: Standard deviation in cells of the Gaussians the maps were trained on. The soft form
            uses it where a map alone does not show its width: a maximum in a border cell has one
            neighbour, and the curvature of an odd map is kept between half and twice a Gaussian's.

    Input shape:
        (batch, rows, columns, n). Plain maxima take any unit; the soft form takes heights of about
        1: below 1e-6 nothing counts, and a background that is not 0 draws the result to the cell's
        centre.

    Output shape:
        (batch, n, 2), (x, y) in [0, 1]² of the map, float32. Of several equal cells the first,
        row by row, counts.

    Reference:
        Mahpod, Das, Maiorana, Keller, Campisi, "Facial Landmark Point Localization using
        Coarse-to-Fine Deep Recurrent Neural Network", 2018, section 3 ("the locations of the
        maxima of H_k"). The parabola through logarithms is that of Zhang et al., "Distribution-
        Aware Coordinate Representation for Human Pose Estimation", CVPR 2020, section 3.2.

    Raises:
        ValueError: If ``sigma`` is not positive, or the input is not of rank 4.
    """

    def __init__(self, soft: bool = False, sigma: float = 1.3, **kwargs: Any) -> None:
        # Maps of half precision are taken as they are; positions are computed in float32.
        super().__init__(**{**kwargs, "autocast": False})
        if not sigma > 0.0:
            raise ValueError(f"`sigma` must be positive. Received: sigma={sigma}")
        self.soft = bool(soft)
        self.sigma = float(sigma)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 4 or None in tuple(input_shape)[1:]:
            raise ValueError(
                "HeatmapArgmax takes maps (batch, rows, columns, n) of known size. Received: "
                f"input_shape={tuple(input_shape)}"
            )
        self.built = True

    def call(self, heatmaps: Any) -> Any:
        heatmaps = ops.stop_gradient(heatmaps)
        rows, columns, n = heatmaps.shape[1:]
        flat = ops.reshape(heatmaps, (-1, rows * columns, n))
        # Not argmax: for the sign of zeros, Keras gives it an operator that no phone has.
        index = ops.top_k(ops.transpose(flat, (0, 2, 1)), k=1)[1]
        index = ops.cast(ops.squeeze(index, -1), "int32")
        row = ops.floor_divide(index, columns)
        column = index - row * columns
        x, y = ops.cast(column, "float32") + 0.5, ops.cast(row, "float32") + 0.5
        if self.soft:
            along_x, along_y = self._sums(heatmaps, row, column)
            x = x + self._vertex(along_x, column, columns)
            y = y + self._vertex(along_y, row, rows)
        return ops.stack([x * (1.0 / columns), y * (1.0 / rows)], axis=-1)

    def _sums(self, heatmaps: Any, row: Any, column: Any) -> tuple[Any, Any]:
        """Returns the window's sums (batch, n, 3) for the cell before, at and after the maximum."""
        rows, columns, n = heatmaps.shape[1:]
        window = np.arange(-_RADIUS, _RADIUS + 1, dtype="int32")
        # Beyond the border its cells are read again. On the summed axis that leaves a Gaussian's
        # proportions as they are; on the other `_vertex` replaces them.
        xs = ops.clip(column[..., None] + window, 0, columns - 1)
        ys = ops.clip(row[..., None] + window, 0, rows - 1) * columns
        cell = (ys[..., :, None] + xs[..., None, :]) * n
        index = cell + np.arange(n, dtype="int32")[:, None, None]
        if heatmaps.shape[0] != 1:
            offset = ops.arange(ops.shape(heatmaps)[0], dtype="int32") * (rows * columns * n)
            index = index + ops.reshape(offset, (-1, 1, 1, 1))
        # One flat gather, which every runtime does well.
        values = ops.take(ops.reshape(heatmaps, (-1,)), ops.reshape(index, (-1,)), axis=0)
        side = 2 * _RADIUS + 1
        values = ops.cast(ops.reshape(values, (-1, n, side, side)), "float32")
        values = ops.maximum(values, 0.0)
        middle = slice(_RADIUS - 1, _RADIUS + 2)
        return ops.sum(values, axis=2)[:, :, middle], ops.sum(values, axis=3)[:, :, middle]

    def _vertex(self, sums: Any, position: Any, cells: int) -> Any:
        """Returns the offset (batch, n), within ±0.5 cells, of the parabola's vertex."""
        curvature = 1.0 / self.sigma**2
        peak = ops.maximum(sums[..., 1:2], _SMALLEST_PEAK)
        # A neighbour's share of the peak is exp(−1/σ²) where the true centre is on the edge
        # between two cells: less than its square is no Gaussian's, and zero has no logarithm.
        sums = ops.maximum(sums, math.exp(-2.0 * curvature) * peak)
        before, at, after = (ops.log(ops.maximum(sums[..., i], _SMALLEST_PEAK)) for i in range(3))
        # In a border cell the missing neighbour follows from the known curvature.
        first = ops.cast(ops.equal(position, 0), "float32")
        last = ops.cast(ops.equal(position, cells - 1), "float32")
        before, after = (
            before + first * (2.0 * at - after - curvature - before),
            after + last * (2.0 * at - before - curvature - after),
        )
        bend = ops.clip(2.0 * at - before - after, 0.5 * curvature, 2.0 * curvature)
        return ops.clip(0.5 * (after - before) / bend, -0.5, 0.5)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[3], 2)

    def compute_output_spec(self, heatmaps: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(heatmaps.shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "soft": self.soft, "sigma": self.sigma}
