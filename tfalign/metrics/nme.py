"""Normalised mean error as a streaming metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfalign.metrics.normalizers import anchor_distance
from tfalign.metrics.point_error import normalized_mean_error


@keras.saving.register_keras_serializable(package="tfalign")
class NME(keras.metrics.MeanMetricWrapper):
    """Mean over faces of the mean point-to-point distance divided by the protocol's normaliser.

    Works wherever a Keras metric does (``compile``, a training loop, under ``jit``). During
    training, truth and prediction live in the [0, 1]² space of the crop; the reported number equals
    the error in image pixels where the crop keeps the aspect ratio (``CropConvention(square=True)``
    and a square input, or ``image_size``). Published numbers come from ``tfalign.evaluation``,
    which maps back to the image.

    Args:
        protocol: Name of an eye-distance protocol, e.g. ``"wflw_inter_ocular"`` (see
            ``tfalign.metrics.NORMALIZERS``).
        image_size: (height, width) of the crop in pixels, needed for [0, 1]² coordinates of a crop
            that is not square.
        name: Metric name.
        dtype: Accumulator type.

    Input shape:
        ``y_true`` (batch, n, 2); ``y_pred`` (batch, n, 2) in the same space, or
        (batch, stages, n, 2), of which the last stage counts. ``sample_weight`` (batch,).

    Returns:
        A fraction: 0.03 is 3 %. A face whose normaliser is zero gives infinity or NaN and so cannot
        go unnoticed.

    Raises:
        ValueError: If the protocol is unknown or needs a box, or the number of points is not that
            of the protocol's scheme.
    """

    def __init__(
        self,
        protocol: str,
        image_size: Sequence[int] | None = None,
        name: str = "nme",
        dtype: Any = None,
    ) -> None:
        normalizer = anchor_distance(protocol)
        self.protocol = protocol
        self.image_size = None if image_size is None else tuple(int(side) for side in image_size)
        super().__init__(
            lambda y_true, y_pred: normalized_mean_error(
                y_true, y_pred, normalizer, self.image_size
            ),
            name=name,
            dtype=dtype,
        )
        self._direction = "down"  # what Keras callbacks in mode "auto" ask a metric

    def get_config(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "image_size": self.image_size,
            "name": self.name,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NME:
        return cls(**config)
