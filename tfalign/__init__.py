"""tfalign: face alignment with Keras 3 on TensorFlow and JAX.

The rooms that a model needs are imported with the package; those that bring heavier company
(pandas, Matplotlib, OpenCV, ``tf.data``) are imported when first used (PEP 562), so that
``import tfalign`` costs little more than ``import keras``. The coordinate convention is stated in
``tfalign.geometry``.

The command line is the exception: there all rooms are imported when first used, so that
``tfalign --help`` does not wait for Keras and its back end.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tfalign.version import __version__

if TYPE_CHECKING:
    from tfalign import (
        callbacks,
        data,
        evaluation,
        geometry,
        inference,
        layers,
        losses,
        macc,
        markup,
        metrics,
        models,
        training,
    )

# A program that imports tfalign may go on to load a saved model, so the rooms that register classes
# with Keras are loaded with the package, except by the command `tfalign`, which imports what each
# subcommand needs. While Python looks for the package of `python -m`, the program is called "-m".
if sys.argv[:1] != ["-m"] and Path(sys.argv[0] if sys.argv else "").stem != "tfalign":
    from tfalign import callbacks, geometry, layers, losses, markup, metrics, models

_ROOMS = frozenset(
    (
        "callbacks",
        "data",
        "evaluation",
        "geometry",
        "inference",
        "layers",
        "losses",
        "macc",
        "markup",
        "metrics",
        "models",
        "training",
    )
)

__all__ = [
    "__version__",
    "callbacks",
    "data",
    "evaluation",
    "geometry",
    "inference",
    "layers",
    "losses",
    "macc",
    "markup",
    "metrics",
    "models",
    "training",
]


def __getattr__(name: str) -> ModuleType:
    """Imports a room when it is first used; Python then keeps it as an attribute."""
    if name in _ROOMS:
        return importlib.import_module(f"tfalign.{name}")
    raise AttributeError(f"module 'tfalign' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
