"""Normalised mean error as a streaming metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfalign.metrics.point_error import FaceMetric


@keras.saving.register_keras_serializable(package="tfalign")
class NME(FaceMetric):
    """Mean over faces of the mean point-to-point distance divided by the protocol's normaliser.

    Works wherever a Keras metric does (``compile``, a training loop, under ``jit``). During
    training, truth and prediction live in the [0, 1]² space of the crop; the reported number equals
    the error in image pixels where the crop keeps the aspect ratio (``CropConvention(square=True)``
    and a square input, or ``image_size``). Published numbers come from ``tfalign.evaluation``,
    which maps back to the image.

    Points that are not annotated have weight 0 in ``sample_weight`` (batch, n) and count nothing;
    nor does a face whose normaliser is not annotated. Models of ``tfalign`` hand the weights in
    ``fit``'s data to this metric in ``metrics`` as in ``weighted_metrics``; for any other model
    Keras does so in ``weighted_metrics`` only.

    Args:
        protocol: Name of an eye-distance protocol, e.g. ``"wflw_inter_ocular"`` (see
            ``tfalign.metrics.NORMALIZERS``), a protocol of ``tfalign.evaluation``, or an
            ``AnchorDistance`` for points of one's own.
        image_size: (height, width) of the crop in pixels, needed for [0, 1]² coordinates of a crop
            that is not square.
        name: Metric name.
        dtype: Accumulator type.

    Input shape:
        ``y_true`` (batch, n, 2); ``y_pred`` (batch, n, 2) in the same space, or
        (batch, stages, n, 2), of which the last stage counts. ``sample_weight`` (batch,) or
        (batch, n).

    Returns:
        A fraction: 0.03 is 3 %. A face whose normaliser is zero gives infinity or NaN and so cannot
        go unnoticed.

    Raises:
        ValueError: If the protocol is unknown or needs a box, or the number of points is not that
            of the protocol's scheme.
    """

    def __init__(
        self,
        protocol: Any,
        image_size: Sequence[int] | None = None,
        name: str = "nme",
        dtype: Any = None,
    ) -> None:
        super().__init__(protocol, image_size, name, dtype)
