"""Landmark errors in the canonical frame that a spatial transformer made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign.geometry import signed_from_unit
from tfalign.geometry.parametric import map_points_back
from tfalign.losses.landmark_loss import LandmarkLoss
from tfalign.losses.point_loss import PointLoss, check_indices, points_and_weights, reduced
from tfalign.losses.theta_loss import split_thetas

_SMALLEST_NORMALIZER = 1e-3
_SMALLEST_SQUARE = 1e-12


@keras.saving.register_keras_serializable(package="tfalign")
class ReinitializedLoss(PointLoss):
    """Distance between predicted and annotated landmarks in the warped image.

    The annotated landmarks are taken through the transforms that the image went through
    (Equation 5), online and with gradient: where the transform moves, so does the target.

        R over points i of ‖e_i‖²  / d,   e in [−1, 1] space of the warped image

    with R the sum or the mean and d the inter-ocular distance of the target (Equation 4), or 1
    (Equation 6). Where the transform itself is trained by this loss, d must grow as the numerator
    does (``scale_free``): ‖e‖² / d falls in proportion when the transform zooms out, and so does
    ‖e‖², which is a descent that improves nothing.

    Args:
        indices: The landmarks of the annotation that are predicted; None for all.
        normalizer: Indices (in the annotation) of two landmarks, the outer eye corners, whose
            distance in the warped image divides the error. None divides by nothing.
        squared: Whether the distance of a point is squared; False is ours, less moved by outliers.
        scale_free: Whether the distance is divided by d before it is squared, so that the loss does
            not depend on how large the face is in the warped image. Needs ``normalizer``.
        point_reduction: ``"sum"`` or ``"mean"`` over the points.
        name: Name of the loss in logs.
        **kwargs: ``reduction`` and ``dtype`` of `keras.losses.Loss`.

    Input shape:
        ``y_true`` (batch, n, 2) in [0, 1]² of the model's image; ``y_pred`` (batch, m, 2 + 6·k):
        for each of the m landmarks (x, y) in [0, 1]² of the warped image, then the k transforms
        from the image inwards (none for a model that warps nothing), each θ of 6 numbers in
        [−1, 1] space, the same in every row of a face. A face whose normaliser is not annotated
        counts nothing.

    Reference:
        Lv et al., CVPR 2017, Equations 4 and 6.

    Reading: the increment's error ‖ΔL̂ − ΔL*‖ of Equation 6 is the error of ΔL̂ + the transformed
    coarse shape against the transformed annotation, and that is what is computed. The paper does
    not say whether the gradient passes through the target; without it a transform could not tell
    that it moves image and target alike.

    Raises:
        ValueError: For an argument outside these rules, and when called with other shapes.
    """

    def __init__(
        self,
        indices: Sequence[int] | None = None,
        normalizer: Sequence[int] | None = None,
        squared: bool = True,
        scale_free: bool = False,
        point_reduction: str = "sum",
        name: str = "reinitialized",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        # The landmark losses' own rules for these two arguments.
        checked = LandmarkLoss(normalizer=normalizer, point_reduction=point_reduction)
        self.indices = None if indices is None else [int(i) for i in indices]
        self.normalizer = checked.normalizer
        self.point_reduction = checked.point_reduction
        self.squared, self.scale_free = bool(squared), bool(scale_free)
        if scale_free and self.normalizer is None:
            raise ValueError("`scale_free` needs `normalizer`. Received: normalizer=None")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss (batch,) of each face."""
        y_true, weights = points_and_weights(y_true)
        points = y_true.shape[1] if self.indices is None else len(self.indices)
        shape = tuple(y_pred.shape)
        if len(shape) != 3 or shape[1] != points or shape[2] % 6 != 2:
            raise ValueError(
                f"`y_pred` must be (batch, {points}, 2 + 6·k): landmarks, each with every θ. "
                f"Received: y_pred.shape={shape}"
            )
        check_indices("indices", self.indices, y_true.shape[1])
        check_indices("normalizer", self.normalizer, y_true.shape[1])
        every = signed_from_unit(ops.cast(y_true, y_pred.dtype))
        for theta in split_thetas(y_pred[:, 0, 2:]):
            every = map_points_back(theta, every)
        target = every
        if self.indices is not None:
            target = ops.take(every, np.array(self.indices, "int32"), axis=1)
        error = signed_from_unit(y_pred[..., :2]) - target
        if weights is not None:
            if self.normalizer is not None:
                first, second = self.normalizer
                known = (weights[:, first] > 0) & (weights[:, second] > 0)
                weights = weights * ops.cast(known, weights.dtype)[:, None]
            if self.indices is not None:
                weights = ops.take(weights, np.array(self.indices, "int32"), axis=1)
            error = ops.where(weights[..., None] > 0, error, 0.0)
        cost = ops.sum(ops.square(error), axis=-1)
        if not self.squared:
            cost = ops.sqrt(ops.maximum(cost, _SMALLEST_SQUARE))
        cost = reduced(cost, weights, self.point_reduction)
        if self.normalizer is None:
            return cost
        first, second = self.normalizer
        square = ops.sum(ops.square(every[:, first] - every[:, second]), axis=-1)
        square = ops.maximum(square, _SMALLEST_NORMALIZER**2)
        return cost / (square if self.scale_free and self.squared else ops.sqrt(square))

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument as plain data."""
        return {
            **super().get_config(),
            "indices": self.indices,
            "normalizer": self.normalizer,
            "squared": self.squared,
            "scale_free": self.scale_free,
            "point_reduction": self.point_reduction,
        }
