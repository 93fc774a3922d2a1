"""Keras callbacks whose state survives an interruption.

A callback with ``get_state()`` (a flat mapping of names to numbers, strings, None or NumPy arrays)
and ``set_state(state)`` is saved in every training checkpoint and restored by `tfalign.training`.
"""

from __future__ import annotations

from tfalign.callbacks.early_stopping import EarlyStopping
from tfalign.callbacks.plateau import ReduceLROnPlateau
from tfalign.callbacks.proximal_update import ProximalUpdate
from tfalign.callbacks.scalar_log import ScalarLog

__all__ = ["EarlyStopping", "ProximalUpdate", "ReduceLROnPlateau", "ScalarLog"]
