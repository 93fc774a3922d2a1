"""Losses between predicted and annotated landmarks, one class per file.

All take annotated landmarks (batch, n, 2) and predicted ones (batch, n, 2) or, for a cascade,
(batch, stages, n, 2), both in [0, 1]; `LandmarkLoss` states units and weights.
"""

from __future__ import annotations

from typing import Any

import keras

from tfalign.losses.adaptive_wing import AdaptiveWingLoss
from tfalign.losses.heatmap_loss import HeatmapLoss
from tfalign.losses.l2 import L2Loss
from tfalign.losses.landmark_loss import LandmarkLoss
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


def get(name: str, **arguments: Any) -> keras.losses.Loss:
    """Makes a loss from its name.

    Args:
        name: A key of ``BY_NAME``, or the registered name of any Keras loss class
            (``"tfalign>SomeLoss"``), which is how a model's own losses enter a schedule.
        **arguments: The constructor's arguments.

    Returns:
        The loss.

    Raises:
        ValueError: If no loss has that name.
    """
    loss_class = BY_NAME.get(name) or keras.saving.get_registered_object(name)
    if not (isinstance(loss_class, type) and issubclass(loss_class, keras.losses.Loss)):
        raise ValueError(
            f"A loss is named by one of {sorted(BY_NAME)} or by the registered name of a Keras "
            f"loss class. Received: name={name!r}"
        )
    return loss_class(**arguments)


__all__ = [
    "BY_NAME",
    "AdaptiveWingLoss",
    "HeatmapLoss",
    "L2Loss",
    "LandmarkLoss",
    "ReinitializedLoss",
    "SmoothL1Loss",
    "ThetaLoss",
    "WingLoss",
    "get",
]
