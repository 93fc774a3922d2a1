"""tfalign: face alignment with Keras 3 on TensorFlow and JAX.

The rooms that a model needs are imported with the package and register their classes with Keras, so
that a program which imports ``tfalign`` can load saved models. Those that bring heavier company
(pandas, Matplotlib, OpenCV, ``tf.data``) are imported when first used (PEP 562): ``import tfalign``
costs little more than ``import keras``. The coordinate convention is stated in
``tfalign.geometry``.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from tfalign import callbacks, geometry, layers, losses, markup, metrics, models
from tfalign.version import __version__

if TYPE_CHECKING:
    from tfalign import data, evaluation, inference, macc, training

_LAZY_ROOMS = frozenset(("data", "evaluation", "inference", "macc", "training"))

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
    if name in _LAZY_ROOMS:
        return importlib.import_module(f"tfalign.{name}")
    raise AttributeError(f"module 'tfalign' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
