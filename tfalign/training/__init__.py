"""Training: phases are data, and one runner executes any of them.

`train` is the call for a model and faces; its `Settings` are the options of ``tfalign train``.
Below it, a `Schedule` is a tuple of `Phase`s; `fit` runs it on a landmark model, one feed of
batches and one validation set, and continues exactly where a killed run was. Schedules of the
papers are in `tfalign.training.schedules`.
"""

from __future__ import annotations

from tfalign.training import schedules
from tfalign.training.compiling import Execution
from tfalign.training.distribution import Distribution, connect
from tfalign.training.feed import ArrayFeed, CacheFeed, Feed
from tfalign.training.phase import (
    CallbackSpec,
    LearningRateSpec,
    LossTerm,
    OptimizerSpec,
    Phase,
    Schedule,
)
from tfalign.training.runner import TrainingResult, fit
from tfalign.training.schedules import Budget
from tfalign.training.settings import Settings
from tfalign.training.train import TrainResult, make_model, make_schedule, train
from tfalign.training.validation import Validation

__all__ = [
    "ArrayFeed",
    "Budget",
    "CacheFeed",
    "CallbackSpec",
    "Distribution",
    "Execution",
    "Feed",
    "LearningRateSpec",
    "LossTerm",
    "OptimizerSpec",
    "Phase",
    "Schedule",
    "Settings",
    "TrainResult",
    "TrainingResult",
    "Validation",
    "connect",
    "fit",
    "make_model",
    "make_schedule",
    "schedules",
    "train",
]
