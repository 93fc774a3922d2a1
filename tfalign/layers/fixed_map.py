"""Marking matrix products that interpolate, so that they can be told from learned ones."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager

import keras

SCOPE = "fixed_linear_map"
"""Name scope of products with a matrix that is part of a layer's definition."""

_PART = re.compile(rf"{SCOPE}(_\d+)?")  # A graph numbers scopes that occur again.


def fixed_linear_map() -> AbstractContextManager[object]:
    """Returns a context in which matrix products are fixed linear maps.

    Averaging over areas, blurring, integrating and binning are linear in the image, and a constant
    matrix on each axis is the quickest way to do them. They are interpolation, not learned layers:
    they count as resampling, no weight of theirs is a parameter, and rounding them to int8 saves
    nothing worth having. A converted file shows a product with a stored matrix either way, so the
    layer says which it is: every operation made in this context has ``SCOPE`` in its path, and
    converters keep paths as names of tensors.

        with fixed_linear_map():
            averaged = ops.matmul(matrix, images)
    """
    context: AbstractContextManager[object] = keras.name_scope(SCOPE)
    return context


def is_fixed_linear_map(name: str) -> bool:
    """Whether the operation that a tensor is named after was made in ``fixed_linear_map``.

    Args:
        name: Name of a tensor in a graph or ``.tflite`` file. Where a converter merged operations,
            it joins their paths by semicolons; the product's comes first.
    """
    return any(_PART.fullmatch(part) for part in name.split(";")[0].split("/"))
