"""The per-face error that the streaming metrics accumulate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from tfalign import markup
from tfalign.geometry import pixel_from_unit
from tfalign.metrics.normalizers import AnchorDistance


def normalized_mean_error(
    y_true: Any, y_pred: Any, normalizer: AnchorDistance, size: Sequence[int] | None = None
) -> Any:
    """Returns each face's mean point-to-point distance divided by its normaliser.

    Args:
        y_true: (batch, n, 2) true landmarks.
        y_pred: (batch, n, 2) predictions in the same space, or (batch, stages, n, 2), of which the
            last stage counts.
        normalizer: Computed on ``y_true``.
        size: (height, width) in pixels of the crop that [0, 1]² coordinates belong to; needed where
            the crop is not square, because there a unit of x is not a unit of y.

    Returns:
        (batch,) float32 fractions.

    Raises:
        ValueError: If either array has another number of points than the protocol's scheme.
    """
    y_true = ops.cast(ops.convert_to_tensor(y_true), "float32")
    y_pred = ops.cast(ops.convert_to_tensor(y_pred), "float32")
    if len(y_pred.shape) == 4:
        y_pred = y_pred[:, -1]
    expected = markup.get(normalizer.scheme).num_points
    for name, value in (("y_true", y_true), ("y_pred", y_pred)):
        if len(value.shape) != 3 or tuple(value.shape[-2:]) != (expected, 2):
            raise ValueError(
                f"`{name}` must be (batch, {expected}, 2) for the scheme {normalizer.scheme!r} of "
                f"this protocol; convert other schemes with `tfalign.markup.convert`. Received: "
                f"{name} of shape {tuple(value.shape)}"
            )
    if size is not None:
        y_true, y_pred = pixel_from_unit(y_true, size), pixel_from_unit(y_pred, size)
    distance = ops.sqrt(ops.sum(ops.square(y_pred - y_true), axis=-1))
    return ops.mean(distance, axis=-1) / normalizer(y_true)
