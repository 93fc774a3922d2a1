"""Published schedules as data, one file per paper, with ours beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tfalign.models.architectures import Architecture
from tfalign.training.phase import Schedule
from tfalign.training.schedules import ccnn, deepreg, dssd, general, greglref, two_stage
from tfalign.training.schedules.budget import Budget

Maker = Callable[[Any, Budget], Schedule]

_GREGLREF: dict[str, Maker] = {
    "published": greglref.published_for,
    "cpu": greglref.cpu_budget_for,
}
_DSSD: dict[str, Maker] = {"published": dssd.published_for, "cpu": dssd.cpu_budget_for}
_TSR: dict[str, Maker] = {"published": two_stage.published_for, "cpu": two_stage.cpu_budget_for}
_TWO_STAGE: dict[str, Maker] = {
    **_TSR,
    "unsupervised": two_stage.unsupervised_for,
    "reinit": two_stage.reinit_for,
    "regression": two_stage.regression_for,
}

# Section 3.3: batches of 128, boxes spread as a detector's are, and nothing else.
_TSR_SETTINGS = {"augment": "tsr_published", "batch_size": 128}

# Section IV-A names the augmentation of ESR, many initial shapes; a network makes ours. So: ours.
_DSSD_SETTINGS = {"augment": "light"}

# The faces' boxes that a paper trains on where its set has several.
PUBLISHED_BOXES = {
    name: {"300w": "detector"}
    for name in ("ccnn", "dssd", "rdssd", "rdssd_star", "tsr_baseline1", "tsr_baseline2",
                 "two_stage", "two_stage_global")
}  # fmt: skip

OUR_PARTS = frozenset(
    {*greglref.RATE_FACTORS, *dssd.RATE_FACTORS, *two_stage.END_FACTORS, *two_stage.REINIT_FACTORS}
)
"""The parts of variables' paths in these schedules' ``rate_factors``. They are those of every form
of an architecture, of which some have no such layer."""

# Of the papers' architectures: their schedules, and the settings of their published training.
_PAPERS: dict[str, tuple[Mapping[str, Maker], Mapping[str, Any]]] = {
    "ccnn": (
        {"published": ccnn.published_for, "cpu": ccnn.cpu_budget_for},
        {"augment": "ccnn"},
    ),
    "deepreg": (
        {
            "published": deepreg.published_for,
            "sequential": deepreg.sequential_for,
            "cpu": deepreg.closed_form_for,
        },
        # Section 4: batches of 100, every face and its mirror image.
        {"augment": "none", "mirror": True, "batch_size": 100},
    ),
    "dssd": (_DSSD, _DSSD_SETTINGS),
    "rdssd": (_DSSD, _DSSD_SETTINGS),
    "rdssd_star": (_DSSD, _DSSD_SETTINGS),
    "greglref": (_GREGLREF, {}),
    "gregnet": (_GREGLREF, {}),
    "tsr_baseline1": (_TSR, _TSR_SETTINGS),
    "tsr_baseline2": (_TSR, _TSR_SETTINGS),
    "two_stage": ({**_TWO_STAGE, "local": two_stage.local_for}, _TSR_SETTINGS),
    "two_stage_global": (_TWO_STAGE, _TSR_SETTINGS),
}


def schedules_of(architecture: Architecture) -> Mapping[str, Maker]:
    """Returns an architecture's schedules by name; one that brings none has `general`'s "cpu"."""
    papers, _ = _PAPERS.get(architecture.name, ({}, {}))
    return {**papers, **architecture.schedules} or {"cpu": general.cpu_budget_for}


def published_settings(architecture: Architecture, dataset: str = "") -> Mapping[str, Any]:
    """Returns the fields of `tfalign.training.Settings` that go with the published schedule.

    Args:
        architecture: The architecture.
        dataset: Name of the set that is trained on: GRegLRef's paper balances poses on 300-W alone.
    """
    _, papers = _PAPERS.get(architecture.name, ({}, {}))
    balanced = architecture.name in ("greglref", "gregnet") and dataset == "300w"
    return {**papers, **({"balance": True} if balanced else {}), **architecture.settings}


__all__ = [
    "OUR_PARTS",
    "PUBLISHED_BOXES",
    "Budget",
    "ccnn",
    "deepreg",
    "dssd",
    "general",
    "greglref",
    "published_settings",
    "schedules_of",
    "two_stage",
]
