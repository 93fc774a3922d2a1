"""A vectorised painter's rasteriser for meshes of a few thousand small triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

# Neighbours overlap by this much, so that rounding leaves no hole between them.
_TOLERANCE = np.float32(1e-4)


@dataclass(frozen=True)
class Fragments:
    """The visible pixels of a rasterised mesh.

    Attributes:
        pixel: (m,) flat pixel numbers, row-major.
        triangle: (m,) the triangle seen there.
        weight: (m, 3) float32 barycentric coordinates of the pixel's centre.
    """

    pixel: np.ndarray
    triangle: np.ndarray
    weight: np.ndarray

    def interpolate(self, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Interpolates vertex values (v, c) float32 at the fragments; returns (m, c)."""
        count = len(self.pixel)
        corners = triangles[self.triangle]
        starts = np.arange(0, 3 * count + 1, 3, dtype=corners.dtype)
        mixture = csr_matrix(
            (self.weight.ravel(), corners.ravel(), starts), shape=(count, len(values)), copy=False
        )
        return mixture @ values


def rasterize(points: np.ndarray, depth: np.ndarray, triangles: np.ndarray, size: int) -> Fragments:
    """Finds which triangle is seen at each pixel of a square image.

    Triangles that face away are dropped: a triangle faces the camera where its corners run
    clockwise as seen on the screen. The rest are painted from far to near, so that a later one
    hides an earlier one. For a head, whose triangles are small against its depth, this is a depth
    buffer's result at a fraction of its cost.

    Args:
        points: (v, 2) vertices in image pixels; the centre of pixel i is at i + 0.5.
        depth: (v,) larger is nearer.
        triangles: (t, 3) int vertex numbers.
        size: Side of the image in pixels.

    Returns:
        The fragments, at most one a pixel.
    """
    points = points.astype(np.float32)
    a, b, c = (np.take(points, column, axis=0) for column in triangles.T)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    seen = np.flatnonzero(area > 1e-6)
    seen = seen[np.argsort(depth[triangles[seen]].sum(axis=1), kind="stable")]
    a, b, c, area = a[seen], b[seen], c[seen], area[seen]
    low = np.ceil(np.minimum(np.minimum(a, b), c) - 0.5).clip(0, size).astype(np.int32)
    high = np.floor(np.maximum(np.maximum(a, b), c) - 0.5).clip(-1, size - 1).astype(np.int32)
    extent = np.maximum(high - low + 1, 0)
    extent[extent[:, 0] == 0] = 0

    # The weights of corners b and c are affine in the offset from the bounding box's first pixel.
    start = low + np.float32(0.5) - a
    inverse = 1 / area
    bx, by = (c[:, 1] - a[:, 1]) * inverse, (a[:, 0] - c[:, 0]) * inverse
    cx, cy = (a[:, 1] - b[:, 1]) * inverse, (b[:, 0] - a[:, 0]) * inverse
    b0, c0 = bx * start[:, 0] + by * start[:, 1], cx * start[:, 0] + cy * start[:, 1]

    # One span of pixels per row of each triangle.
    owner, row = _expand(extent[:, 1])
    bx, by, b0, cx, cy, c0 = (np.take(term, owner) for term in (bx, by, b0, cx, cy, c0))
    wb, wc = b0 + by * row, c0 + cy * row
    left, right = (
        np.zeros(len(owner), np.float32),
        np.take((extent[:, 0] - 1).astype(np.float32), owner),
    )
    for slope, value in ((bx, wb), (cx, wc), (-bx - cx, 1 - wb - wc)):
        # Inside where value + slope * x >= 0. An edge along the row, of slope 0, counts as a
        # falling one: all of the row is inside, or none.
        crossing = -(value + _TOLERANCE) / np.where(slope == 0, np.float32(-1e-20), slope)
        rising = slope > 0
        left = np.maximum(left, np.where(rising, crossing, 0))
        right = np.minimum(right, np.where(rising, size, crossing))
    left, right = np.minimum(left, size), np.maximum(right, -1)
    first = np.ceil(left).astype(np.int32)
    length = np.maximum(np.floor(right).astype(np.int32) - first + 1, 0)
    wb, wc = wb + bx * first, wc + cx * first
    corner = np.take(low[:, 1] * size + low[:, 0], owner) + row * size + first

    span, step = _expand(length)
    buffer = np.full(size * size, -1, np.int32)
    buffer[np.take(corner, span) + step] = np.arange(
        len(span), dtype=np.int32
    )  # the last, nearest, wins
    pixel = np.flatnonzero(buffer >= 0)
    chosen = buffer[pixel]
    span, step = span[chosen], step[chosen].astype(np.float32)
    wb = np.take(wb, span) + np.take(bx, span) * step
    wc = np.take(wc, span) + np.take(cx, span) * step
    return Fragments(pixel, seen[owner[span]], np.stack([1 - wb - wc, wb, wc], axis=1))


def _expand(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the members of groups: the group of each member, and its place in the group."""
    group = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return group, np.arange(len(group)) - np.take(first, group)
