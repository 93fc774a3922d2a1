"""Failure rate as a streaming metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tfalign.metrics.point_error import FaceMetric


@keras.saving.register_keras_serializable(package="tfalign")
class FailureRate(FaceMetric):
    """Share of faces whose normalised mean error is above a threshold.

    Args:
        protocol: See ``NME``.
        threshold: Fraction; an error equal to it is no failure. None takes the protocol's.
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
        protocol: Any,
        threshold: float | None = None,
        image_size: Sequence[int] | None = None,
        name: str = "failure_rate",
        dtype: Any = None,
    ) -> None:
        super().__init__(protocol, image_size, name, dtype)
        if threshold is not None:
            if not threshold > 0:
                raise ValueError(f"`threshold` must be positive. Received: threshold={threshold}")
            self.threshold = float(threshold)

    def face_value(self, error: Any) -> Any:
        # Written as "not at most", so that NaN is a failure.
        return 1.0 - ops.cast(error <= self.threshold, "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}
