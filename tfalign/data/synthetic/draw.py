"""Anti-aliased drawing in the project's pixel convention (centre of pixel i at i + 0.5).

A picture under construction is planar, (3, s, s) float32, 0-255: NumPy then multiplies an opacity
into it at full speed, which it does not along a last axis of three.
"""

from __future__ import annotations

import cv2
import numpy as np

_SHIFT = 4
Color = tuple[float, float, float] | np.ndarray


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Converts pixel coordinates (n, 2) to OpenCV's fixed-point vertices."""
    limit = 1 << 14
    return np.clip(np.rint((points - 0.5) * (1 << _SHIFT)), -limit, limit).astype(np.int32)


def polygon(image: np.ndarray, points: np.ndarray, color: Color | float) -> None:
    """Fills a polygon (n, 2) in place."""
    value = color if isinstance(color, (int, float)) else tuple(float(c) for c in color)
    cv2.fillPoly(image, [fixed_point(points)], value, cv2.LINE_AA, _SHIFT)


def line(
    image: np.ndarray, points: np.ndarray, color: Color | float, width: float, closed: bool = False
) -> None:
    """Draws a polyline (n, 2) in place, ``width`` in pixels (at least one)."""
    value = color if isinstance(color, (int, float)) else tuple(float(c) for c in color)
    cv2.polylines(
        image,
        [fixed_point(points)],
        closed,
        value,
        max(1, round(float(width))),
        cv2.LINE_AA,
        _SHIFT,
    )


def ellipse(center: np.ndarray, axes: tuple[float, float], angle: float, n: int = 24) -> np.ndarray:
    """Gives n points of an ellipse; ``angle`` in radians."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    p = np.stack([axes[0] * np.cos(t), axes[1] * np.sin(t)], axis=1)
    return p @ np.array([[c, s], [-s, c]]) + center


def bounds(points: np.ndarray, margin: float, size: int) -> tuple[slice, slice] | None:
    """Gives the (rows, columns) of the image that points touch; None if outside."""
    low = np.floor(points.min(0) - margin).clip(0, size).astype(int)
    high = np.ceil(points.max(0) + margin).clip(0, size).astype(int)
    if (high - low).min() <= 1:
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def blend(image: np.ndarray, layer: np.ndarray, alpha: np.ndarray) -> None:
    """Lays ``layer``, (3, h, w) or a colour (3, 1, 1), over ``image`` (3, h, w) in place.

    ``alpha`` is the layer's opacity, (h, w), 0 to 1.
    """
    difference = layer - image
    difference *= alpha
    image += difference


def _soften(mask: np.ndarray, sigma: float) -> np.ndarray:
    """Blurs; wide blurs by two box filters, whose cost does not grow with their width."""
    if sigma < 1.5:
        return cv2.GaussianBlur(mask, (0, 0), sigma)
    side = 2 * round(1.2 * sigma) + 1
    return cv2.blur(cv2.blur(mask, (side, side)), (side, side))


def stroked(
    image: np.ndarray,
    points: np.ndarray,
    color: np.ndarray,
    width: float,
    opacity: float = 1.0,
    closed: bool = False,
) -> None:
    """Draws an anti-aliased polyline (n, 2) on a float image in place; see ``filled``."""
    where = bounds(points, 1 + width, image.shape[-1])
    if where is None:
        return
    rows, columns = where
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    line(mask, points - [columns.start, rows.start], 255, width, closed)
    ink = np.asarray(color, np.float32)[:, None, None]
    blend(image[:, rows, columns], ink, mask * np.float32(opacity / 255))


def filled(
    image: np.ndarray,
    points: np.ndarray,
    color: np.ndarray,
    opacity: float = 1.0,
    soft: float = 0.0,
    grain: np.ndarray | None = None,
) -> None:
    """Fills a polygon of a square float image in place.

    Args:
        image: (3, s, s) float32.
        points: (n, 2) image pixels.
        color: (3,) RGB, or a layer (3, s, s).
        opacity: 0 to 1.
        soft: Standard deviation in pixels of the blur of the polygon's edge.
        grain: (s, s), multiplies the colour.
    """
    where = bounds(points, 1 + 2 * soft, image.shape[-1])
    if where is None:
        return
    rows, columns = where
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    polygon(mask, points - [columns.start, rows.start], 255)
    if soft > 0:
        mask = _soften(mask, soft)
    source = color.astype(np.float32)[:, None, None] if color.ndim == 1 else color[:, rows, columns]
    if grain is not None:
        source = grain[rows, columns] * source
    blend(image[:, rows, columns], source, mask * np.float32(opacity / 255))
