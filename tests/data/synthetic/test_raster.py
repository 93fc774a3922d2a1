"""The rasteriser against a depth buffer that tests every pixel against every triangle."""

from __future__ import annotations

import numpy as np

from tfalign.data.synthetic.raster import rasterize


def _depth_buffer(
    points: np.ndarray, depth: np.ndarray, triangles: np.ndarray, size: int
) -> np.ndarray:
    """Which triangle is nearest at each pixel's centre; -1 for none."""
    nearest = np.full((size, size), -np.inf)
    owner = np.full((size, size), -1)
    y, x = np.mgrid[:size, :size] + 0.5
    for number, (i, j, k) in enumerate(triangles):
        system = np.array([[*points[i], 1], [*points[j], 1], [*points[k], 1]]).T
        if np.linalg.det(system) <= 0:
            continue
        weights = np.einsum("ij,jyx->iyx", np.linalg.inv(system), np.stack([x, y, np.ones_like(x)]))
        z = np.tensordot(depth[[i, j, k]], weights, axes=1)
        better = (weights.min(0) >= 0) & (z > nearest)
        nearest[better], owner[better] = z[better], number
    return owner


def _sphere(n: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A ball with a smaller ball before it, as triangles that face outwards."""
    t, p = np.meshgrid(np.linspace(0.05, np.pi - 0.05, n), np.linspace(0, 2 * np.pi, n))
    ball = np.stack([np.sin(t) * np.cos(p), np.cos(t), np.sin(t) * np.sin(p)], -1).reshape(-1, 3)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (q.ravel() for q in (i[:-1, :-1], i[1:, :-1], i[:-1, 1:], i[1:, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    normal = np.cross(ball[faces[:, 1]] - ball[faces[:, 0]], ball[faces[:, 2]] - ball[faces[:, 0]])
    inwards = (normal * ball[faces].mean(1)).sum(1) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    small = 0.4 * ball + [0.35, -0.2, 1.1]
    return np.concatenate([ball, small]), np.concatenate([faces, faces + len(ball)])


def test_agrees_with_a_depth_buffer() -> None:
    vertices, triangles = _sphere()
    size = 64
    points = vertices[:, :2] * 24.3 + 31.7
    seen = rasterize(points, vertices[:, 2], triangles, size)
    ours = np.full(size * size, -1)
    ours[seen.pixel] = seen.triangle
    expected = _depth_buffer(points, vertices[:, 2], triangles, size).ravel()
    # Pixels on an edge may go to either neighbour.
    assert np.mean(ours == expected) > 0.995
    assert np.mean((ours >= 0) != (expected >= 0)) < 0.001


def test_interpolates_affine_functions_exactly() -> None:
    vertices, triangles = _sphere()
    points = (vertices[:, :2] * 20 + 32).astype(np.float32)
    seen = rasterize(points, vertices[:, 2], triangles, 64)
    values = seen.interpolate(triangles, points)
    centers = np.stack([seen.pixel % 64, seen.pixel // 64], 1) + 0.5
    np.testing.assert_allclose(values, centers, atol=2e-3)


def test_clips_to_the_image_and_drops_what_faces_away() -> None:
    big = np.array([[-50.0, -50.0], [200.0, -50.0], [-50.0, 200.0]])
    facing = rasterize(big, np.zeros(3), np.array([[0, 1, 2]]), 16)
    assert sorted(facing.pixel) == list(range(256))
    assert len(rasterize(big, np.zeros(3), np.array([[0, 2, 1]]), 16).pixel) == 0
    outside = rasterize(big + 500, np.zeros(3), np.array([[0, 1, 2]]), 16)
    assert len(outside.pixel) == 0
