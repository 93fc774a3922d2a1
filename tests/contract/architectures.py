"""Every architecture of ``tfalign.models`` at a small size, one line each, for tests of all.

A new architecture adds its line. ``size`` is (height, width); ``heads`` are the layers that make
coordinates or increments of them, in the order of the cascade, each with the spread that its
outputs shall have over pictures (as a share of the picture) so that it looks trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tfalign import models

PLAIN = ("float32", "float16", "dynamic", "int8")
TUNED = ("int8_qat", "pruned", "clustered")


@dataclass(frozen=True)
class Architecture:
    """A small model of one architecture.

    Attributes:
        make: Its class; called with ``(points, input_shape, **arguments)``.
        size: (height, width) of its input.
        arguments: Further constructor arguments.
        heads: Layer name → spread of its outputs.
        kinds: Kinds of export that apply.
        points: Number of landmarks.
        peaks: Whether landmarks are the largest entries of maps. An untrained map has many that are
            nearly the largest, so that rounding may move a point by cells.
    """

    make: Callable[..., Any]
    size: tuple[int, int]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    heads: Mapping[str, float] = field(default_factory=lambda: {"fc": 0.04})
    kinds: tuple[str, ...] = (*PLAIN, *TUNED)
    points: int = 12
    peaks: bool = False

    def __call__(self) -> Any:
        """Makes the model."""
        return self.make(self.points, (*self.size, 3), crop="300w", **self.arguments)


_PARTS = ("left_eye", "right_eye", "nose", "mouth")
_PATCHES = {"width": 0.05, "patch": 10, "kernel": 3, "centers": 6}
_CASCADE = {"global": 0.04, "local_1": 0.01, "local_2": 0.01}
_TWO_STAGE = {"theta_global": 0.01, "face_landmarks": 0.02}
_TWO_STAGE |= {f"{what}_{part}": 0.005 for what in ("theta", "increment") for part in _PARTS}
_VIEWS = {"scheme": "ibug68", "width": 0.125, "trunk": "resnet18", "face_size": 64}

ARCHITECTURES: dict[str, Architecture] = {
    "GRegNet": Architecture(
        models.GRegNet, (48, 48), {"width": 0.125}, kinds=(*PLAIN, "int8_full", *TUNED)
    ),
    "GRegLRef": Architecture(models.GRegLRef, (48, 48), {"width": 0.125}),
    "GRegLRef mobile": Architecture(
        models.GRegLRef, (48, 48), {"width": 0.5, "trunk": "mobile"}, {"fc": 0.03}
    ),
    "DeepReg": Architecture(
        models.DeepReg, (64, 72), {"local_layers": 2, "patches": (16, 8)}, _CASCADE
    ),
    "TwoStage": Architecture(models.TwoStage, (60, 60), _VIEWS, _TWO_STAGE, points=68),
    "DirectRegression": Architecture(
        models.DirectRegression, (64, 64), {"width": 0.125}, {"face_landmarks": 0.04}
    ),
    "DSSD": Architecture(models.DSSD, (48, 48), _PATCHES, {"structure_2": 0.05}),
    "RDSSD": Architecture(
        models.RDSSD, (48, 48), _PATCHES, {"coarse_1": 0.02, "coarse_2": 0.01, "structure_2": 0.05}
    ),
    # Rounded weights move the maxima of untrained maps by cells: "dynamic" and "int8" are tested on
    # one that is fitted to a few pictures, in tests/mobile_export/test_ccnn.py.
    "CCNN": Architecture(
        models.CCNN,
        (48, 48),
        {"units": 1, "width": 0.125},
        {},
        kinds=("float32", "float16", *TUNED),
        peaks=True,
    ),
}
