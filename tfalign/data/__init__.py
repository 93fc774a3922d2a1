"""Data: the sample record, data sets and their readers, synthetic faces, augmentation, pipeline.

The parts are imported when first used, so that reading a data set does not load what augments it,
and nothing here imports TensorFlow before tf.data is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfalign.data.sample import Sample

if TYPE_CHECKING:
    from tfalign.data import augment, balance, inspection, pipeline, readers, sets, synthetic

_MODULES = ("augment", "balance", "inspection", "pipeline", "readers", "sets", "synthetic")

__all__ = [
    "Sample",
    "augment",
    "balance",
    "inspection",
    "pipeline",
    "readers",
    "sets",
    "synthetic",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"tfalign.data.{name}")
    raise AttributeError(f"module 'tfalign.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
