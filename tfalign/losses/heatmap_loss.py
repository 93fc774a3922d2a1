"""The loss of a heatmap against annotated landmarks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfalign.geometry.heatmaps import gaussian_heatmaps
from tfalign.losses.point_loss import PointLoss, points_and_weights, reduced

_POINT_REDUCTIONS = ("sum", "mean")


@keras.saving.register_keras_serializable(package="tfalign")
class HeatmapLoss(PointLoss):
    """Squared difference from Gaussians that are drawn here, on the device, from the landmarks.

    The loss of one face is the sum over cells of ``(1 + foreground * G) * (H - G)^2``, summed or
    averaged over points, where G is `tfalign.geometry.heatmaps.gaussian_heatmaps` of the annotated
    landmarks. Keras then averages over the faces of the batch.

    Args:
        sigma: Standard deviation of the Gaussians in cells.
        foreground: Extra weight of the cells under a Gaussian. About one cell in a hundred of a
            32×32 map is such a cell; without extra weight a network first learns to answer zero.
        point_reduction: ``"sum"`` or ``"mean"`` over the points of a face.
        name: Name of the loss in logs.
        **kwargs: ``reduction`` and ``dtype`` of `keras.losses.Loss`.

    Input shape:
        ``y_true`` (batch, n, 2) in [0, 1]; ``y_pred`` (batch, rows, columns, n).

    Reference:
        Mahpod et al., "Facial Landmark Point Localization using Coarse-to-Fine Deep Recurrent
        Neural Network", 2018, sections 3.2 and 4: σ = 1.3 on 64×64 cells, an "L2 loss".

    Reading: the defaults are the paper's loss, read as the squared norm of the difference, summed
    over cells and points: a mean over 64·64·68 numbers would leave its learning rate of 1e-5
    without effect.

    Raises:
        ValueError: For an argument outside these rules, and when called with other shapes.
    """

    def __init__(
        self,
        sigma: float = 1.3,
        foreground: float = 0.0,
        point_reduction: str = "sum",
        name: str = "heatmap",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not sigma > 0.0 or foreground < 0.0:
            raise ValueError(
                "`sigma` must be positive and `foreground` at least 0. Received: "
                f"sigma={sigma}, foreground={foreground}"
            )
        if point_reduction not in _POINT_REDUCTIONS:
            raise ValueError(
                f"`point_reduction` must be one of {_POINT_REDUCTIONS}. "
                f"Received: point_reduction={point_reduction!r}"
            )
        self.sigma, self.foreground = float(sigma), float(foreground)
        self.point_reduction = point_reduction

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss (batch,) of each face."""
        y_true, weights = points_and_weights(y_true)
        true_shape, shape = tuple(y_true.shape), tuple(y_pred.shape)
        if len(true_shape) != 3 or len(shape) != 4 or true_shape[1:] != (shape[3], 2):
            raise ValueError(
                "HeatmapLoss takes y_true (batch, n, 2) and y_pred (batch, rows, columns, n). "
                f"Received: y_true.shape={true_shape}, y_pred.shape={shape}"
            )
        target = gaussian_heatmaps(y_true, shape[1:3], self.sigma)
        cost = ops.square(y_pred - target)
        if self.foreground:
            cost = cost * (1.0 + self.foreground * target)
        return reduced(ops.sum(cost, axis=(1, 2)), weights, self.point_reduction)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument as plain data."""
        return {
            **super().get_config(),
            "sigma": self.sigma,
            "foreground": self.foreground,
            "point_reduction": self.point_reduction,
        }
