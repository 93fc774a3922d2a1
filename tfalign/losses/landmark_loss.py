"""What every landmark loss shares: stages, units and the sum over points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from tfalign.losses.point_loss import PointLoss, check_indices, points_and_weights, reduced

_POINT_REDUCTIONS = ("sum", "mean")
_SMALLEST_NORMALIZER = 1e-6


class LandmarkLoss(PointLoss):
    """Base class of losses between predicted and annotated landmarks.

    A subclass says what one point's error costs (`point_cost`); this class brings the error into
    the wanted unit, sums over points and weighs the stages of a cascade. The loss of one face is

        sum over stages s of  stage_weights[s] * R over points i of  point_cost(scale * e[s, i] / d)

    with ``e = predicted - annotated`` in [0, 1], ``R`` the sum or the mean, and ``d`` the distance
    between two annotated landmarks where ``normalizer`` names them, else 1. Keras then averages
    over the faces of the batch. Points that are not annotated have weight 0 in ``sample_weight``
    (batch, n); a face whose normaliser is not annotated counts nothing.

    Args:
        stage_weights: One factor per stage; a stage with 0 is not trained by this loss. None gives
            each stage 1.
        scale: Turns [0, 1] into the loss's unit: a number, or one number each for x and y. The
            image's size in pixels gives pixels.
        normalizer: Indices of two landmarks, for instance the outer eye corners, whose annotated
            distance divides the error. None divides by nothing.
        point_reduction: ``"sum"`` or ``"mean"`` over the points of a face.
        name: Name of the loss in logs.
        **kwargs: ``reduction`` and ``dtype`` of `keras.losses.Loss`.

    Input shape:
        ``y_true`` (batch, n, 2); ``y_pred`` (batch, n, 2) or (batch, stages, n, 2), both in [0, 1].

    Raises:
        ValueError: For an argument outside these rules, and when called with other shapes.
    """

    def __init__(
        self,
        stage_weights: Sequence[float] | None = None,
        scale: float | Sequence[float] = 1.0,
        normalizer: Sequence[int] | None = None,
        point_reduction: str = "sum",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if point_reduction not in _POINT_REDUCTIONS:
            raise ValueError(
                f"`point_reduction` must be one of {_POINT_REDUCTIONS}. "
                f"Received: point_reduction={point_reduction!r}"
            )
        scales = [float(scale)] * 2 if isinstance(scale, int | float) else [float(s) for s in scale]
        if len(scales) != 2 or min(scales) <= 0.0:
            raise ValueError(
                "`scale` must be a positive number or two positive numbers (for x and y). "
                f"Received: scale={scale}"
            )
        if normalizer is not None and (
            len(normalizer) != 2 or normalizer[0] == normalizer[1] or min(normalizer) < 0
        ):
            raise ValueError(
                "`normalizer` must be None or two different landmark indices. "
                f"Received: normalizer={normalizer}"
            )
        if stage_weights is not None and (len(stage_weights) == 0 or min(stage_weights) < 0.0):
            raise ValueError(
                "`stage_weights` must be None or hold one number >= 0 per stage. "
                f"Received: stage_weights={stage_weights}"
            )
        self.stage_weights = None if stage_weights is None else [float(w) for w in stage_weights]
        self.scale = scales
        self.normalizer = None if normalizer is None else [int(i) for i in normalizer]
        self.point_reduction = point_reduction

    def point_cost(self, error: Any) -> Any:
        """Returns the cost (…,) of the errors (…, 2), given in the loss's unit."""
        raise NotImplementedError(f"{type(self).__name__} must define `point_cost`.")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss (batch,) of each face."""
        y_true, weights = points_and_weights(y_true)
        true_shape, shape = tuple(y_true.shape), tuple(y_pred.shape)
        if len(true_shape) != 3 or len(shape) not in (3, 4) or shape[-2:] != true_shape[-2:]:
            raise ValueError(
                "A landmark loss takes y_true (batch, n, 2) and y_pred (batch, n, 2) or "
                f"(batch, stages, n, 2). Received: y_true.shape={true_shape}, y_pred.shape={shape}"
            )
        check_indices("normalizer", self.normalizer, true_shape[1])
        if len(shape) == 3:
            y_pred = ops.expand_dims(y_pred, 1)
        scale = ops.convert_to_tensor(self.scale, dtype=y_pred.dtype)
        error = (y_pred - ops.expand_dims(y_true, 1)) * scale
        if weights is not None:
            # Not left to the weight: 0 times an infinite cost or slope is NaN.
            error = ops.where(weights[:, None, :, None] > 0, error, 0.0)
        if self.normalizer is not None:
            first, second = self.normalizer
            if weights is not None:
                known = (weights[:, first] > 0) & (weights[:, second] > 0)
                weights = weights * ops.cast(known, weights.dtype)[:, None]
            span = (y_true[:, first] - y_true[:, second]) * scale
            squared = ops.maximum(ops.sum(ops.square(span), axis=-1), _SMALLEST_NORMALIZER**2)
            error = error / ops.reshape(ops.sqrt(squared), (-1, 1, 1, 1))
        weights = None if weights is None else weights[:, None]
        stages = reduced(self.point_cost(error), weights, self.point_reduction)
        if self.stage_weights is None:
            return ops.sum(stages, axis=1)
        if stages.shape[1] is not None and stages.shape[1] != len(self.stage_weights):
            raise ValueError(
                f"`stage_weights` must hold one weight for each of the {stages.shape[1]} predicted "
                f"stages. Received: stage_weights={self.stage_weights}"
            )
        return ops.sum(stages * ops.convert_to_tensor(self.stage_weights, stages.dtype), axis=1)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument as plain data."""
        return {
            **super().get_config(),
            "stage_weights": self.stage_weights,
            "scale": self.scale,
            "normalizer": self.normalizer,
            "point_reduction": self.point_reduction,
        }
