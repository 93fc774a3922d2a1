"""What the streaming metrics accumulate: each face's error, and whether the face has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfalign import markup
from tfalign.geometry import pixel_from_unit
from tfalign.metrics.normalizers import AnchorDistance, protocol_config, streaming


class FaceMetric(keras.metrics.Mean):
    """Base of ``NME`` and ``FailureRate``: the mean over faces of a number per face.

    A subclass says in ``face_value`` what becomes of a face's normalised error. Where no face
    counts the mean is NaN.
    """

    # `LandmarkModel.compile` gives the weights in `fit`'s data to metrics that say so.
    takes_point_weights = True

    def __init__(
        self, protocol: Any, image_size: Sequence[int] | None, name: str, dtype: Any
    ) -> None:
        self.normalizer, self.threshold = streaming(protocol)
        self.protocol = protocol_config(protocol)
        self.image_size = None if image_size is None else tuple(int(side) for side in image_size)
        super().__init__(name=name, dtype=dtype)
        self._direction = "down"  # what Keras callbacks in mode "auto" ask a metric

    def face_value(self, error: Any) -> Any:
        """Returns what is averaged (batch,) for normalised errors (batch,)."""
        return error

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Adds faces.

        Args:
            y_true: (batch, n, 2) true landmarks.
            y_pred: (batch, n, 2), or (batch, stages, n, 2), of which the last stage counts.
            sample_weight: Of faces (batch,), or of points (batch, n): 0 where not annotated.

        Raises:
            ValueError: If the points are not those of the protocol, or the weights of another
                shape.
        """
        points = None
        if sample_weight is not None:
            sample_weight = ops.cast(ops.convert_to_tensor(sample_weight), "float32")
            if len(sample_weight.shape) == 2 and sample_weight.shape[1] == y_true.shape[1]:
                points = sample_weight
                sample_weight = self._annotated(points)
            elif len(sample_weight.shape) > 1 and sample_weight.shape[1:] != (1,):
                raise ValueError(
                    "`sample_weight` must be (batch,) or, for points, (batch, "
                    f"{y_true.shape[1]}). Received: sample_weight of shape "
                    f"{tuple(sample_weight.shape)}"
                )
            elif len(sample_weight.shape) == 2:
                sample_weight = ops.squeeze(sample_weight, 1)
        error = normalized_mean_error(y_true, y_pred, self.normalizer, self.image_size, points)
        if sample_weight is not None:
            # A face that has no error must not make one of 0 times NaN.
            error = ops.where(sample_weight > 0, error, 0.0)
        return super().update_state(self.face_value(error), sample_weight)

    def result(self) -> Any:
        """Returns the mean over the faces that count; of none it is NaN, since 0 is perfect."""
        return ops.where(self.count > 0, super().result(), float("nan"))

    def _annotated(self, points: Any) -> Any:
        """Returns (batch,) 1 where the normaliser and some point are annotated, else 0."""
        known = ops.any(points > 0, axis=1)
        if isinstance(self.normalizer, AnchorDistance):
            anchors = [*self.normalizer.first, *self.normalizer.second]
            known = known & ops.all(ops.take(points, anchors, axis=1) > 0, axis=1)
        return ops.cast(known, "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "image_size": self.image_size,
            "name": self.name,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Makes the metric from its configuration; 0.1's has ``size``, (width, height)."""
        config = dict(config)
        if "size" in config:
            size = config.pop("size")
            config["image_size"] = None if size is None else size[::-1]
        return cls(**config)


def normalized_mean_error(
    y_true: Any,
    y_pred: Any,
    normalizer: AnchorDistance,
    image_size: Sequence[int] | None = None,
    weights: Any = None,
) -> Any:
    """Returns each face's mean point-to-point distance divided by its normaliser.

    Args:
        y_true: (batch, n, 2) true landmarks.
        y_pred: (batch, n, 2) predictions in the same space, or (batch, stages, n, 2), of which the
            last stage counts.
        normalizer: Computed on ``y_true``.
        image_size: (height, width) in pixels of the crop that [0, 1]² coordinates belong to; needed
            where the crop is not square, because there a unit of x is not a unit of y.
        weights: (batch, n) of points in the mean, 0 where not annotated; None for equal ones.

    Returns:
        (batch,) float32 fractions.

    Raises:
        ValueError: If either array has another number of points than the protocol's scheme.
    """
    y_true = ops.cast(ops.convert_to_tensor(y_true), "float32")
    y_pred = ops.cast(ops.convert_to_tensor(y_pred), "float32")
    if len(y_pred.shape) == 4:
        y_pred = y_pred[:, -1]
    scheme = markup.get(normalizer.scheme)
    expected = scheme.num_points
    for name, value in (("y_true", y_true), ("y_pred", y_pred)):
        if len(value.shape) != 3 or tuple(value.shape[-2:]) != (expected, 2):
            raise ValueError(
                f"`{name}` must be (batch, {expected}, 2) for the scheme {scheme.name!r} of "
                f"this protocol; convert other schemes with `tfalign.markup.convert`. Received: "
                f"{name} of shape {tuple(value.shape)}"
            )
    if image_size is not None:
        y_true, y_pred = pixel_from_unit(y_true, image_size), pixel_from_unit(y_pred, image_size)
    distance = ops.sqrt(ops.sum(ops.square(y_pred - y_true), axis=-1))
    if weights is None:
        return ops.mean(distance, axis=-1) / normalizer(y_true)
    distance = ops.where(weights > 0, distance, 0.0)
    mean = ops.sum(distance * weights, axis=-1) / ops.sum(weights, axis=-1)
    return mean / normalizer(y_true)
