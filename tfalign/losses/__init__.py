"""Losses between predicted and annotated landmarks, one class per file.

All take annotated landmarks (batch, n, 2) and predicted ones (batch, n, 2) or, for a cascade,
(batch, stages, n, 2), both in [0, 1]; `LandmarkLoss` states units and weights. Points that are not
annotated are left out by ``sample_weight`` (batch, n), see `PointLoss`.
"""

from __future__ import annotations

from typing import Any

import keras

from tfalign.losses.adaptive_wing import AdaptiveWingLoss
from tfalign.losses.heatmap_loss import HeatmapLoss
from tfalign.losses.l2 import L2Loss
from tfalign.losses.landmark_loss import LandmarkLoss
from tfalign.losses.point_loss import PointLoss
from tfalign.losses.reinitialized_loss import ReinitializedLoss
from tfalign.losses.smooth_l1 import SmoothL1Loss
from tfalign.losses.theta_loss import ThetaLoss
from tfalign.losses.wing import WingLoss

BY_NAME: dict[str, type[LandmarkLoss]] = {
    "l2": L2Loss,
    "wing": WingLoss,
    "adaptive_wing": AdaptiveWingLoss,
    "smooth_l1": SmoothL1Loss,
}


def get(name: str | keras.losses.Loss, **arguments: Any) -> keras.losses.Loss:
    """Returns a loss from its name, or a loss that is given as it is.

    Args:
        name: A key of ``BY_NAME``, the registered name of any Keras loss class
            (``"tfalign>SomeLoss"``), which is how a model's own losses enter a schedule, or a loss.
        **arguments: The constructor's arguments; none with a loss that is made.

    Returns:
        The loss.

    Raises:
        ValueError: If no loss has that name, or arguments are given for a loss that is made.
    """
    if isinstance(name, keras.losses.Loss):
        if arguments:
            raise ValueError(
                f"A loss that is given has its arguments. Received: {name!r} and {arguments}"
            )
        return name
    loss_class = BY_NAME.get(name) or keras.saving.get_registered_object(name)
    if not (isinstance(loss_class, type) and issubclass(loss_class, keras.losses.Loss)):
        raise ValueError(
            f"A loss is named by one of {sorted(BY_NAME)} or by the registered name of a Keras "
            f"loss class, or is a loss. Received: name={name!r}"
        )
    return loss_class(**arguments)


__all__ = [
    "BY_NAME",
    "AdaptiveWingLoss",
    "HeatmapLoss",
    "L2Loss",
    "LandmarkLoss",
    "PointLoss",
    "ReinitializedLoss",
    "SmoothL1Loss",
    "ThetaLoss",
    "WingLoss",
    "get",
]
