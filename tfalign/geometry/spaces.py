"""Conversions between pixel, unit and signed coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfalign.geometry.namespace import Array, as_float, namespace


def _extent(xp: Any, size: Sequence[float] | Array) -> Array:
    """Returns (width, height), the extent in x and y, of ``size`` in the namespace ``xp``."""
    if isinstance(size, Sequence) and len(size) != 2:
        raise ValueError(f"`size` must be (height, width). Received: size={tuple(size)}")
    return xp.flip(as_float(size, xp), axis=-1)


def unit_from_pixel(points: Array, size: Sequence[float] | Array) -> Array:
    """Divides pixel coordinates (…, 2) by ``size``, (height, width): (…, 2) in [0, 1]²."""
    xp = namespace(points, size)
    points = as_float(points, xp)
    return points / _extent(xp, size)


def pixel_from_unit(points: Array, size: Sequence[float] | Array) -> Array:
    """Multiplies unit coordinates (…, 2) by ``size``, (height, width): (…, 2) in pixels."""
    xp = namespace(points, size)
    points = as_float(points, xp)
    return points * _extent(xp, size)


def signed_from_unit(points: Array) -> Array:
    """Maps [0, 1]² to [−1, 1]²: ``2p − 1``. Shape kept."""
    return 2.0 * as_float(points, namespace(points)) - 1.0


def unit_from_signed(points: Array) -> Array:
    """Maps [−1, 1]² to [0, 1]²: ``(p + 1) / 2``. Shape kept."""
    return (as_float(points, namespace(points)) + 1.0) * 0.5
