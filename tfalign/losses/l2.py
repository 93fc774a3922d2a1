"""The published loss of GRegLRef, and the distance that NME averages."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfalign.losses.landmark_loss import LandmarkLoss

# Below this squared distance the square root's slope is cut to zero: it has no finite value at 0.
_SMALLEST_SQUARE = 1e-16


@keras.saving.register_keras_serializable(package="tfalign")
class L2Loss(LandmarkLoss):
    """Squared Euclidean distance of each point, or the distance itself.

    With the defaults the loss of a stage is ``||S - S*||^2`` over the 2n coordinates in [0, 1].
    With ``squared=False``, ``point_reduction="mean"`` and the outer eye corners as ``normalizer``
    it is the normalised mean error of the face.

    Args:
        squared: Whether the distance of a point is squared.
        **kwargs: See `LandmarkLoss`.

    Reference:
        Su et al., "Efficient and Accurate Face Alignment by Global Regression and Cascaded Local
        Refinement", CVPRW 2019, Equations 6 to 8.

    Reading: the paper says "l2 loss" without a formula. Read as the squared norm of the difference
    vector, summed over coordinates: in [0, 1] the mean over 2n coordinates would leave the
    published learning rate of 0.01 with almost no effect.
    """

    def __init__(self, squared: bool = True, name: str = "l2", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.squared = bool(squared)

    def point_cost(self, error: Any) -> Any:
        """Returns the squared or plain distance (…,) of the errors (…, 2)."""
        if self.squared:
            return ops.sum(ops.square(error), axis=-1)
        dtype = error.dtype
        if keras.backend.standardize_dtype(dtype) == "float16":
            # There the smallest square would be 0, and its root's slope not finite.
            error = ops.cast(error, "float32")
        square = ops.sum(ops.square(error), axis=-1)
        return ops.cast(ops.sqrt(ops.maximum(square, _SMALLEST_SQUARE)), dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns every constructor argument as plain data."""
        return {**super().get_config(), "squared": self.squared}
