"""The supervision of a spatial transformer's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfalign import geometry
from tfalign.geometry.parametric import map_points_back
from tfalign.losses.point_loss import PointLoss, check_indices, points_and_weights

_TARGETS = ("affine", "similarity")


@keras.saving.register_keras_serializable(package="tfalign")
class ThetaLoss(PointLoss):
    """‖θ̂ − θ*‖², with θ* the map that takes the canonical shape to the annotated one.

    θ* is solved from the annotated landmarks by least squares; no gradient passes through it.
    A local transformer works on the image that the global one makes: its prediction comes with the
    outer θ, through which the annotated landmarks are taken first (Equation 5).

    Args:
        canonical_shape: (m, 2) landmarks in [0, 1]² of the warped image, where they shall lie.
        indices: The m landmarks of the annotation that these are; None for all.
        kind: ``"affine"``, or ``"similarity"`` for parts whose points may lie on a line.
        name: Name of the loss in logs.
        **kwargs: ``reduction`` and ``dtype`` of `keras.losses.Loss`.

    Input shape:
        ``y_true`` (batch, n, 2) in [0, 1]² of the model's image; ``y_pred`` (batch, 6·k): θ̂, then
        the outer θ from the image inwards, each 6 numbers in [−1, 1] space. A face of which one of
        the m landmarks is not annotated counts nothing.

    Reference:
        Lv et al., CVPR 2017, Equation 3.

    Reading: the paper speaks of "the transformed frontal shape of the ground truth" without saying
    how θ* follows from it. Read as the least-squares map from a mean frontal shape in the
    canonical square to the annotated shape.

    Raises:
        ValueError: For an argument outside these rules, and when called with other shapes.
    """

    def __init__(
        self,
        canonical_shape: Sequence[Sequence[float]],
        indices: Sequence[int] | None = None,
        kind: str = "affine",
        name: str = "theta",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        shape = np.asarray(canonical_shape, np.float32)
        if shape.ndim != 2 or shape.shape[1] != 2 or len(shape) < 3 or not np.isfinite(shape).all():
            raise ValueError(
                "`canonical_shape` must be finite, (m, 2) with m at least 3. "
                f"Received: canonical_shape of shape {shape.shape}"
            )
        if indices is not None and len(indices) != len(shape):
            raise ValueError(
                "`indices` must name one landmark for each canonical one. "
                f"Received: {len(indices)} indices, {len(shape)} canonical landmarks"
            )
        if kind not in _TARGETS:
            raise ValueError(f"`kind` must be one of {_TARGETS}. Received: kind={kind!r}")
        self.canonical_shape = [[float(v) for v in point] for point in shape]
        self.indices = None if indices is None else [int(i) for i in indices]
        self.kind = kind

    def target(self, y_true: Any, outer: Sequence[Any] = ()) -> Any:
        """Returns θ* (batch, 6) for annotated landmarks (batch, n, 2) in [0, 1]².

        Args:
            y_true: Annotated landmarks in [0, 1]² of the model's image.
            outer: θ (batch, 6) of the transformers before this one, from the image inwards.
        """
        check_indices("indices", self.indices, y_true.shape[1])
        landmarks = geometry.signed_from_unit(y_true)
        if self.indices is not None:
            landmarks = ops.take(landmarks, np.array(self.indices, "int32"), axis=1)
        for theta in outer:
            landmarks = map_points_back(theta, landmarks)
        canonical = np.asarray(self.canonical_shape, np.float32)[None] * 2.0 - 1.0
        if landmarks.shape[1] != canonical.shape[1]:
            raise ValueError(
                "`y_true` must have as many landmarks as the canonical shape. Received: "
                f"{landmarks.shape[1]} landmarks, {canonical.shape[1]} canonical ones"
            )
        source = ops.zeros_like(landmarks) + canonical
        solve = {
            "affine": geometry.affine_from_points,
            "similarity": geometry.similarity_from_points,
        }[self.kind]
        return ops.stop_gradient(ops.reshape(solve(source, landmarks), (-1, 6)))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss (batch,) of each face."""
        y_true, weights = points_and_weights(y_true)
        shape = tuple(y_pred.shape)
        if len(shape) != 2 or not shape[1] or shape[1] % 6:
            raise ValueError(
                "`y_pred` must be (batch, 6·k), one θ after the other. "
                f"Received: y_pred.shape={shape}"
            )
        thetas = split_thetas(y_pred)
        target = self.target(ops.cast(y_true, y_pred.dtype), thetas[1:])
        if weights is None:
            return ops.sum(ops.square(thetas[0] - target), axis=-1)
        if self.indices is not None:
            weights = ops.take(weights, np.array(self.indices, "int32"), axis=1)
        weight = ops.min(weights, axis=-1)
        # Not left to the weight: a map through fewer points may be infinite.
        error = ops.where(weight[:, None] > 0, thetas[0] - target, 0.0)
        return weight * ops.sum(ops.square(error), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument as plain data."""
        return {
            **super().get_config(),
            "canonical_shape": self.canonical_shape,
            "indices": self.indices,
            "kind": self.kind,
        }


def split_thetas(thetas: Any) -> list[Any]:
    """Returns the k parameter vectors (batch, 6) that (batch, 6·k) holds."""
    return [thetas[:, start : start + 6] for start in range(0, thetas.shape[1], 6)]
