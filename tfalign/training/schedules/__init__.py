"""Published schedules as data, one file per paper, with ours beside them.

``MODELS`` is the one place that lists what a recipe can train: the model's name, how it is made,
and its schedules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tfalign import models
from tfalign.training.phase import Schedule
from tfalign.training.schedules import ccnn, deepreg, dssd, greglref, two_stage, two_stage_models
from tfalign.training.schedules.budget import Budget


@dataclass(frozen=True)
class Trainable:
    """A model that recipes offer.

    Attributes:
        make: Its constructor.
        schedules: Name to a function of the model and a `Budget`.
        augment: Preset of `tfalign.data.augment` that goes with the published schedule; GRegLRef's
            for papers that describe none.
    """

    make: Callable[..., Any]
    schedules: Mapping[str, Callable[[Any, Budget], Schedule]]
    augment: str = "greglref"


_Schedules = Mapping[str, Callable[[Any, Budget], Schedule]]

_CCNN = {"published": ccnn.published_for, "cpu": ccnn.cpu_budget_for}
_DEEPREG = {
    "published": deepreg.published_for,
    "sequential": deepreg.sequential_for,
    "cpu": deepreg.closed_form_for,
}
_DSSD: _Schedules = {"published": dssd.published_for, "cpu": dssd.cpu_budget_for}
_GREGLREF = {"published": greglref.published_for, "cpu": greglref.cpu_budget_for}
_TSR: _Schedules = {"published": two_stage.published_for, "cpu": two_stage.cpu_budget_for}
_TWO_STAGE: _Schedules = {
    **_TSR,
    "unsupervised": two_stage.unsupervised_for,
    "reinit": two_stage.reinit_for,
    "regression": two_stage.regression_for,
}

MODELS: dict[str, Trainable] = {
    "ccnn": Trainable(ccnn.make, _CCNN, "ccnn"),
    "deepreg": Trainable(deepreg.make, _DEEPREG, "deepreg"),
    "dssd": Trainable(dssd.make, _DSSD),
    "greglref": Trainable(models.GRegLRef, _GREGLREF),
    "gregnet": Trainable(models.GRegNet, _GREGLREF),
    "tsr_baseline1": Trainable(two_stage_models.make_baseline1, _TSR, "tsr"),
    "tsr_baseline2": Trainable(two_stage_models.make_baseline2, _TSR, "tsr"),
    "two_stage": Trainable(
        two_stage_models.make, {**_TWO_STAGE, "local": two_stage.local_for}, "tsr"
    ),
    "two_stage_global": Trainable(two_stage_models.make_global, _TWO_STAGE, "tsr"),
    "rdssd": Trainable(dssd.make_recurrent, _DSSD),
    "rdssd_star": Trainable(dssd.make_recurrent_star, _DSSD),
}

__all__ = ["MODELS", "Budget", "Trainable", "ccnn", "deepreg", "dssd", "greglref", "two_stage"]
