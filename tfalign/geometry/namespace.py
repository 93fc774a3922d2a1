"""Choosing NumPy or ``keras.ops`` by what a function was given.

Data preparation works on single NumPy arrays, where a round trip through the back end would cost
more than the arithmetic; models work on tensors. One implementation serves both, so a box padded
while reading a data set and a box padded inside a model cannot differ.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

Array = Any
"""A NumPy array, a tensor of the Keras back end, a variable, or a symbolic ``KerasTensor``."""

# Asking Keras about each of these would take longer than the arithmetic.
_NO_TENSOR = (np.ndarray, np.generic, float, int, list, tuple)


def namespace(*arrays: Any) -> Any:
    """Returns ``numpy`` if no argument is a tensor, else ``keras.ops``."""
    for array in arrays:
        if isinstance(array, _NO_TENSOR):
            continue
        # On JAX a variable is no tensor; NumPy could not read one that is being traced.
        symbol = isinstance(array, keras.KerasTensor | keras.Variable)
        if symbol or keras.ops.is_tensor(array):
            return keras.ops
    return np


def as_float(array: Any, xp: Any) -> Any:
    """Returns ``array`` in namespace ``xp``, floating point (float32 unless it already is)."""
    if xp is np:
        array = np.asarray(array)
        return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float32)
    if not isinstance(array, keras.KerasTensor):
        array = xp.convert_to_tensor(array)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(array.dtype)):
        return array
    return xp.cast(array, "float32")
