"""The mean head as a triangle mesh whose vertices include every landmark."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.sparse import csr_matrix
from scipy.spatial import Delaunay, cKDTree

from tfalign.data.synthetic import layout

SKIN, EYE, MOUTH = 0, 1, 2
EYE_CURVES = (tuple(range(60, 68)), tuple(range(68, 76)))
BROW_CURVES = (tuple(range(33, 42)), tuple(range(42, 51)))
LIP_OUTER, LIP_INNER = tuple(range(76, 88)), tuple(range(88, 96))
SUBDIVISION = 4
_RINGS = 8
_CRANIUM_CENTER = np.array([0.0, -0.25, -0.85])
_CRANIUM_RADII = np.array([0.92, 1.12, 1.12])
LAYOUT_CENTER = np.array([0.0, 0.1])


@dataclass(frozen=True)
class HeadMesh:
    """A mesh and its fixed relations to the landmarks.

    Attributes:
        vertices: (v, 3) mean head, head space.
        layout: (v, 2) position of each vertex in the texture plane.
        triangles: (t, 3) intp, wound so that the normal points outwards.
        labels: (t,) uint8, ``SKIN``, ``EYE`` or ``MOUTH``.
        landmark_vertices: (96,) vertex of each landmark but the pupils.
        eye_vertices: For each eye, the vertices round its lids, outer corner first.
        lip_inner_vertices, lip_outer_vertices: The vertices round the lips, left corner first.
        outline_vertices: (92,) vertices round the face; the first is landmark 0.
        ring_start: Number of the first vertex behind the outline.
        contour_index: (33, s, 3) and contour_weight: (33, s, 3): barycentric coordinates of s
            points on the line that runs from each contour landmark into the face.
        incidence: (v, t) sparse matrix of which triangles meet at each vertex.
    """

    vertices: np.ndarray
    layout: np.ndarray
    triangles: np.ndarray
    labels: np.ndarray
    landmark_vertices: np.ndarray
    eye_vertices: tuple[np.ndarray, np.ndarray]
    lip_inner_vertices: np.ndarray
    lip_outer_vertices: np.ndarray
    outline_vertices: np.ndarray
    ring_start: int
    contour_index: np.ndarray
    contour_weight: np.ndarray
    incidence: csr_matrix


def polygon_mask(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Tells which points (n, 2) lie inside a polygon (m, 2); even-odd rule."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    above = (a[None, :, 1] > points[:, None, 1]) != (b[None, :, 1] > points[:, None, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = (b[:, 0] - a[:, 0]) * (points[:, None, 1] - a[:, 1]) / (b[:, 1] - a[:, 1]) + a[:, 0]
    return (np.count_nonzero(above & (points[:, None, 0] < cross), axis=1) % 2).astype(bool)


def closed_curve(points: np.ndarray, subdivision: int) -> np.ndarray:
    """Samples a closed spline through points (n, d): (n * subdivision, d), originals included."""
    parameters = np.arange(len(points) * subdivision) / subdivision
    return layout.spline_weights(len(points), parameters, closed=True) @ points


def cornered_curve(points: np.ndarray, subdivision: int, corner: int) -> np.ndarray:
    """Samples two open splines that meet at points 0 and ``corner`` (eyes, outer lips)."""
    upper = points[: corner + 1]
    lower = np.concatenate([points[corner:], points[:1]])
    parts = []
    for part in (upper, lower):
        parameters = np.arange((len(part) - 1) * subdivision) / subdivision
        parts.append(layout.spline_weights(len(part), parameters, closed=False) @ part)
    return np.concatenate(parts)


def _surface(points: np.ndarray) -> np.ndarray:
    """Gives the mean face's depth at layout points (n, 2)."""
    known = np.concatenate([layout.landmarks()[33:96], layout.relief(), layout.outline()])
    spline = RBFInterpolator(known[:, :2], known[:, 2], kernel="thin_plate_spline", smoothing=2e-4)
    return spline(points)


def _rings(outline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Continues the outline (n, 3) round the back of the head; returns space and layout points."""
    start = (outline - _CRANIUM_CENTER) / _CRANIUM_RADII
    radius = np.linalg.norm(start, axis=1, keepdims=True)
    start = start / radius
    back = np.array([0.0, 0.0, -1.0])
    angle = np.arccos(np.clip(start @ back, -1, 1))[:, None]
    space, plane = [], []
    for k in range(1, _RINGS + 1):
        s = 0.92 * (k / _RINGS) ** 1.25
        direction = np.sin((1 - s) * angle) * start + np.sin(s * angle) * back
        direction = direction / np.sin(angle)
        scale = 1 + (radius - 1) * np.clip(1 - 1.6 * s, 0, 1) ** 1.5
        space.append(_CRANIUM_CENTER + direction * scale * _CRANIUM_RADII)
        stretch = 1 + 0.36 * k / _RINGS
        plane.append(LAYOUT_CENTER + (outline[:, :2] - LAYOUT_CENTER) * stretch)
    return np.concatenate(space), np.concatenate(plane)


def _fill(spacing: float, polygon: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Gives hexagonal grid points inside a polygon, away from points already taken."""
    xs = spacing * np.arange(-14, 15)  # symmetric about 0, with the shift below as well
    ys = np.arange(-1.4, 1.4, spacing * 0.87)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1)
    grid[1::2, :, 0] += spacing / 2
    grid = grid.reshape(-1, 2)
    grid = grid[polygon_mask(grid, polygon)]
    distance, _ = cKDTree(taken).query(grid)
    return grid[distance > 0.6 * spacing]


def _ring_triangles(columns: np.ndarray) -> np.ndarray:
    """Joins successive rings; ``columns`` (rings + 1, n) are their vertex numbers."""
    triangles = []
    for inner, outer in pairwise(columns):
        a, b = inner, np.roll(inner, -1)
        c, d = outer, np.roll(outer, -1)
        triangles += [np.stack([a, b, c], 1), np.stack([b, d, c], 1)]
    return np.concatenate(triangles)


def _contour_lines(plane: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Locates, in the face's triangles, the lines that run from the contour into the face."""
    ends = layout.landmarks()[:33, :2]
    inner = np.stack([0.35 * ends[:, 0], ends[:, 1] - 0.28 * np.clip(ends[:, 1] - 0.2, 0, 1)], 1)
    steps = np.linspace(0, 1, 24)[None, :, None] ** 1.5
    points = (ends[:, None] * (1 - steps) + inner[:, None] * steps).reshape(-1, 2)
    points = points + 1e-7 * (LAYOUT_CENTER - points)
    a, b, c = (plane[faces[:, k]] for k in range(3))
    det = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    dx, dy = points[:, None, 0] - a[:, 0], points[:, None, 1] - a[:, 1]
    wb = (dx * (c[:, 1] - a[:, 1]) - dy * (c[:, 0] - a[:, 0])) / det
    wc = (dy * (b[:, 0] - a[:, 0]) - dx * (b[:, 1] - a[:, 1])) / det
    worst = np.minimum(np.minimum(wb, wc), 1 - wb - wc)
    best = worst.argmax(axis=1)
    rows = np.arange(len(points))
    wb, wc = wb[rows, best], wc[rows, best]
    weights = np.clip(np.stack([1 - wb - wc, wb, wc], 1), 0, 1)
    weights /= weights.sum(1, keepdims=True)
    shape = (33, -1, 3)
    return faces[best].reshape(shape).astype(np.intp), weights.reshape(shape)


@lru_cache(maxsize=1)
def head_mesh() -> HeadMesh:
    """Builds the mean head; the result is shared and must not be modified."""
    points = layout.landmarks()
    outline = closed_curve(layout.outline(), 2)
    eyes = [cornered_curve(points[list(c), :2], SUBDIVISION, 4) for c in EYE_CURVES]
    outer = cornered_curve(points[list(LIP_OUTER), :2], SUBDIVISION, 6)
    # Without corners an open mouth is round; shut, its two lines meet all the same.
    inner = closed_curve(points[list(LIP_INNER), :2], SUBDIVISION)
    brows = [closed_curve(points[list(c), :2], 2) for c in BROW_CURVES]
    curves = np.concatenate([outline[:, :2], *eyes, outer, inner, *brows, points[51:60, :2]])
    _, first = np.unique(np.round(curves, 6), axis=0, return_index=True)
    curves = curves[np.sort(first)]
    # Control points of the relief that all but touch a curve would make slivers.
    relief = layout.relief()[:, :2]
    curves = np.concatenate([curves, relief[cKDTree(curves).query(relief)[0] > 0.012]])
    # Guides one step outside the lids and lips keep creases where they belong.
    around = [(e - e.mean(0)) * [1.14, 1.5] + e.mean(0) for e in eyes]
    around += [(outer - outer.mean(0)) * [1.1, 1.22] + outer.mean(0)]
    guides = np.concatenate(around)[::2]
    guides = guides[cKDTree(curves).query(guides)[0] > 0.018]
    flat = np.concatenate([curves, guides])
    flat = np.concatenate([flat, _fill(0.078, outline[:, :2] * 0.985, flat)])

    faces = Delaunay(flat).simplices
    corners = flat[faces]
    centers = corners.mean(1)
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = edge1[:, 0] * edge2[:, 1] - edge1[:, 1] * edge2[:, 0]
    keep = polygon_mask(centers, outline[:, :2]) & (np.abs(area) > 1e-7)
    faces, centers, area = faces[keep], centers[keep], area[keep]
    faces[area < 0] = faces[area < 0][:, ::-1]
    labels = np.full(len(faces), SKIN, np.uint8)
    for curve in eyes:
        labels[polygon_mask(centers, curve)] = EYE
    labels[polygon_mask(centers, inner)] = MOUTH

    front = np.concatenate([flat, _surface(flat)[:, None]], axis=1)
    tree = cKDTree(flat)
    rim = tree.query(outline[:, :2])[1]
    front[rim, 2] = outline[:, 2]
    space, plane = _rings(outline)
    start = len(front)
    columns = np.concatenate([rim[None], start + np.arange(len(space)).reshape(_RINGS, -1)])
    ring_faces = _ring_triangles(columns)
    vertices = np.concatenate([front, space])
    # The outline runs counter-clockwise on screen (down the left, up the right).
    mid = vertices[ring_faces].mean(1) - _CRANIUM_CENTER
    normal = np.cross(
        vertices[ring_faces[:, 1]] - vertices[ring_faces[:, 0]],
        vertices[ring_faces[:, 2]] - vertices[ring_faces[:, 0]],
    )
    flip = (normal * mid).sum(1) < 0
    ring_faces[flip] = ring_faces[flip][:, ::-1]
    triangles = np.concatenate([faces, ring_faces]).astype(np.intp)
    incidence = csr_matrix(
        (np.ones(triangles.size), (triangles.ravel(), np.repeat(np.arange(len(triangles)), 3))),
        shape=(len(vertices), len(triangles)),
    )
    index, weight = _contour_lines(flat, faces)
    return HeadMesh(
        vertices=vertices,
        layout=np.concatenate([flat, plane]),
        triangles=triangles,
        labels=np.concatenate([labels, np.zeros(len(ring_faces), np.uint8)]),
        landmark_vertices=tree.query(points[:96, :2])[1],
        eye_vertices=(tree.query(eyes[0])[1], tree.query(eyes[1])[1]),
        lip_inner_vertices=tree.query(inner)[1],
        lip_outer_vertices=tree.query(outer)[1],
        outline_vertices=rim,
        ring_start=start,
        contour_index=index,
        contour_weight=weight,
        incidence=incidence,
    )
