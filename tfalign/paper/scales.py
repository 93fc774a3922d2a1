"""How large an experiment is run: to the letter, on two cores, or in seconds for a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Scale:
    """A size for every architecture.

    Attributes:
        name: What users type.
        schedule: Which schedules are followed.
        options: Architecture to its arguments; ``""`` has those of all others.
        settings: Fields of ``tfalign.training.Settings``; a training's own replace them.
        forced: The same, which nothing replaces.
        says: What the output says of it.
    """

    name: str
    schedule: str
    says: str
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    forced: Mapping[str, Any] = field(default_factory=dict)

    def of(self, model: str) -> dict[str, Any]:
        """Returns the arguments of an architecture."""
        return dict(self.options.get(model, self.options.get("", {})))


def _square(side: int, **more: Any) -> dict[str, Any]:
    return {"input_shape": (side, side, 3), **more}


_TSR = {"two_stage": 0.15, "two_stage_global": 0.15, "tsr_baseline2": 0.15}

SCALES: dict[str, Scale] = {
    "published": Scale(
        "published", "published", "the paper to the letter, with our readings of it"
    ),
    # About 60 million multiply-accumulates per image each.
    "small": Scale(
        "small",
        "cpu",
        "our sizes and schedules for two CPU cores",
        {
            "": _square(112),
            "deepreg": _square(128),
            # One width: all rows of DSSD's tables start from one network for the initial shape.
            **dict.fromkeys(("dssd", "rdssd", "rdssd_star"), _square(100, width=0.5)),
            "ccnn": _square(120, width=0.1875),
            "tsr_baseline1": _square(56, width=0.25),
            **{name: _square(104, width=width) for name, width in _TSR.items()},
        },
        {"steps": 1000, "validation": 80},
    ),
    "tiny": Scale(
        "tiny",
        "cpu",
        "a trial of the program: its numbers mean nothing",
        {
            "": _square(32, width=0.125),
            "deepreg": _square(64),
            "dssd": _square(64, width=0.0625, centers=2, features=8, neighbors=2),
            "rdssd": _square(64, width=0.0625, centers=2, features=8, neighbors=2, pairs=20),
            "rdssd_star": _square(64, width=0.0625, centers=2, features=8, neighbors=2, pairs=20),
            "ccnn": _square(64, width=0.0625),
            **{name: _square(64, width=0.0625) for name in (*_TSR, "tsr_baseline1")},
        },
        # XLA's compilation takes longer than these trainings.
        forced={"steps": 2, "batch_size": 2, "validation": 2, "jit": "off"},
    ),
}
"""Every scale by its name."""
