"""Failure rate as a streaming metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfalign.metrics.normalizers import anchor_distance
from tfalign.metrics.point_error import normalized_mean_error


@keras.saving.register_keras_serializable(package="tfalign")
class FailureRate(keras.metrics.MeanMetricWrapper):
    """Share of faces whose normalised mean error is above a threshold.

    Args:
        protocol: Name of an eye-distance protocol, see ``NME``.
        threshold: Fraction; an error equal to it is no failure. Tables of WFLW and 300-W use 0.10,
            CCNN's 0.08.
        image_size: (height, width) of the crop in pixels, see ``NME``.
        name: Metric name.
        dtype: Accumulator type.

    Input shape:
        As ``NME``.

    Returns:
        A fraction. A face whose error is NaN counts as a failure.

    Raises:
        ValueError: If the protocol is unknown or needs a box, the threshold is not positive, or the
            number of points is not that of the protocol's scheme.
    """

    def __init__(
        self,
        protocol: str,
        threshold: float = 0.1,
        image_size: Sequence[int] | None = None,
        name: str = "failure_rate",
        dtype: Any = None,
    ) -> None:
        if not threshold > 0:
            raise ValueError(f"`threshold` must be positive. Received: threshold={threshold}")
        normalizer = anchor_distance(protocol)
        self.protocol = protocol
        self.threshold = float(threshold)
        self.image_size = None if image_size is None else tuple(int(side) for side in image_size)

        def failed(y_true: Any, y_pred: Any) -> Any:
            error = normalized_mean_error(y_true, y_pred, normalizer, self.image_size)
            # Written as "not at most", so that NaN is a failure.
            return 1.0 - ops.cast(error <= self.threshold, "float32")

        super().__init__(failed, name=name, dtype=dtype)
        self._direction = "down"  # what Keras callbacks in mode "auto" ask a metric

    def get_config(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "threshold": self.threshold,
            "image_size": self.image_size,
            "name": self.name,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FailureRate:
        return cls(**config)
