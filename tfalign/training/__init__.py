"""Training: phases are data, and one runner executes any of them.

A `Schedule` is a tuple of `Phase`s; `fit` runs it on a landmark model, one feed of batches and one
validation set, and continues exactly where a killed run was. Schedules of the papers are in
`tfalign.training.schedules`.
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
from tfalign.training.validation import Validation
from tfalign.training.warm_start import warm_start

__all__ = [
    "ArrayFeed",
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
    "TrainingResult",
    "Validation",
    "connect",
    "fit",
    "schedules",
    "warm_start",
]
