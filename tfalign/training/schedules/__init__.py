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
from tfalign.training.schedules import deepreg, greglref
from tfalign.training.schedules.budget import Budget


@dataclass(frozen=True)
class Trainable:
    """A model that recipes offer.

    Attributes:
        make: Its constructor.
        schedules: Name to a function of the model and a `Budget`.
    """

    make: Callable[..., Any]
    schedules: Mapping[str, Callable[[Any, Budget], Schedule]]


_DEEPREG = {
    "published": deepreg.published_for,
    "sequential": deepreg.sequential_for,
    "cpu": deepreg.closed_form_for,
}
_GREGLREF = {"published": greglref.published_for, "cpu": greglref.cpu_budget_for}

MODELS: dict[str, Trainable] = {
    "deepreg": Trainable(deepreg.make, _DEEPREG),
    "greglref": Trainable(models.GRegLRef, _GREGLREF),
    "gregnet": Trainable(models.GRegNet, _GREGLREF),
}

__all__ = ["MODELS", "Budget", "Trainable", "deepreg", "greglref"]
