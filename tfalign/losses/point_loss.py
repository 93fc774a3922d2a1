"""Losses of which single points may be left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class PointLoss(keras.losses.Loss):
    """Base of the losses against annotated landmarks.

    ``sample_weight`` may have one weight for each face (batch,), as in Keras, or for each point
    (batch, n): with 0 a face or a point that is not annotated counts nothing, wherever it is said
    to be. This holds in ``fit`` and in a training loop, on every back end.

    A subclass defines ``call`` and takes its ``y_true`` apart with ``points_and_weights``.
    """

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Returns the reduced loss; see the class for ``sample_weight``."""
        y_true = ops.convert_to_tensor(y_true)
        if y_true.shape[-1] == 3:
            # Below, a third column is a weight, and COCO's, 2 for a visible point, is none.
            raise ValueError(
                "`y_true` must be landmarks (batch, n, 2); which of them are annotated is told by "
                f"`sample_weight` (batch, n). Received: y_true of shape {tuple(y_true.shape)}"
            )
        if sample_weight is not None:
            weights = ops.convert_to_tensor(sample_weight)
            if len(weights.shape) == 2 and weights.shape[1] == y_true.shape[1]:
                # Not in the landmarks' type, which may be that of whole pixels.
                pair = [ops.cast(y_true, self.dtype), ops.cast(weights, self.dtype)[..., None]]
                y_true, sample_weight = ops.concatenate(pair, -1), None
            elif len(weights.shape) > 1 and weights.shape[1:] != (1,):
                raise ValueError(
                    "`sample_weight` must be (batch,) or, for points, (batch, "
                    f"{y_true.shape[1]}). Received: sample_weight of shape {tuple(weights.shape)}"
                )
            elif len(weights.shape) > 0 and len(y_true.shape) == 3:
                # 0 times NaN is NaN.
                counts = ops.reshape(ops.not_equal(weights, 0), (-1, 1, 1))
                y_true = ops.where(counts, y_true, ops.zeros_like(y_true))
        return super().__call__(y_true, y_pred, sample_weight)


def points_and_weights(y_true: Any) -> tuple[Any, Any]:
    """Returns landmarks (batch, n, 2), and the points' weights (batch, n) or None.

    Points of weight 0 lie at 0, wherever they were said to be: 0 times NaN is NaN.
    """
    if y_true.shape[-1] == 3:
        points, weights = y_true[..., :2], y_true[..., 2]
        return ops.where(weights[..., None] > 0, points, ops.zeros_like(points)), weights
    return y_true, None


def check_indices(what: str, indices: Sequence[int] | None, points: int | None) -> None:
    """Raises ``ValueError`` unless the indices are of ``points`` points, where both are known.

    JAX takes the last point, or NaN, in the place of one that does not exist.
    """
    if indices is None or points is None or all(0 <= index < points for index in indices):
        return
    raise ValueError(
        f"`{what}` must be indices of landmarks, from 0 to {points - 1}. "
        f"Received: {what}={list(indices)}"
    )


def reduced(cost: Any, weights: Any, reduction: str) -> Any:
    """Returns the sum or the mean over points.

    Args:
        cost: (…, n).
        weights: Broadcast to ``cost``, or None. The mean is the weighted one; of a face without
            any weight both are 0.
        reduction: ``"sum"`` or ``"mean"``.
    """
    if weights is None:
        return (ops.sum if reduction == "sum" else ops.mean)(cost, axis=-1)
    total = ops.sum(cost * weights, axis=-1)
    if reduction == "sum":
        return total
    weight = ops.sum(ops.zeros_like(cost) + weights, axis=-1)
    return total / ops.where(weight > 0, weight, 1.0)
