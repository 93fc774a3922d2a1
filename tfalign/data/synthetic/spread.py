"""Continues movements of landmarks smoothly over the whole head."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu

from tfalign.data.synthetic.layout import spline_weights
from tfalign.data.synthetic.mesh import (
    EYE_CURVES,
    LIP_INNER,
    LIP_OUTER,
    SUBDIVISION,
    closed_curve,
    cornered_curve,
    head_mesh,
)

Displacement = Mapping[int, tuple[float, float, float]]


def _led_vertices() -> tuple[np.ndarray, np.ndarray]:
    """Gives the vertices (n,) on the drawn curves, and the weights (n, 96) by which the landmarks
    lead them: the same splines that placed them, so that a moved curve stays smooth."""
    mesh = head_mesh()
    vertices, weights = [mesh.landmark_vertices], [np.eye(96)]

    def add(numbers: np.ndarray, landmarks: tuple[int, ...], local: np.ndarray) -> None:
        rows = np.zeros((len(numbers), 96))
        rows[:, list(landmarks)] = local
        vertices.append(numbers)
        weights.append(rows)

    for ring, landmarks, corner in (
        (mesh.eye_vertices[0], EYE_CURVES[0], 4),
        (mesh.eye_vertices[1], EYE_CURVES[1], 4),
        (mesh.lip_outer_vertices, LIP_OUTER, 6),
    ):
        add(ring, landmarks, cornered_curve(np.eye(len(landmarks)), SUBDIVISION, corner))
    add(mesh.lip_inner_vertices, LIP_INNER, closed_curve(np.eye(len(LIP_INNER)), SUBDIVISION))
    contour = spline_weights(33, np.arange(65) / 2, closed=False)
    add(mesh.outline_vertices[:65], tuple(range(33)), contour)
    numbers, rows = np.concatenate(vertices), np.concatenate(weights)
    _, first = np.unique(numbers, return_index=True)
    return numbers[first], rows[first]


def spreader() -> Callable[[Displacement], np.ndarray]:
    """Gives a function that continues displacements of landmarks smoothly over the head.

    Landmarks that a movement does not name stay where they are. The field is biharmonic on the
    mesh's graph and zero on the forehead and the back of the head.
    """
    mesh = head_mesh()
    count = len(mesh.vertices)
    a, b = mesh.triangles[:, [0, 1, 2]].ravel(), mesh.triangles[:, [1, 2, 0]].ravel()
    adjacency = coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count)).tocsr()
    adjacency = ((adjacency + adjacency.T) > 0).astype(float)
    degree = np.asarray(adjacency.sum(1)).ravel()
    laplacian = diags(1 / degree) @ adjacency - diags(np.ones(count))
    bilaplacian = (laplacian.T @ laplacian).tocsc()
    ring = mesh.ring_start + len(mesh.outline_vertices) * 4
    high = np.flatnonzero(mesh.layout[:, 1] < -0.62)
    still = np.unique(np.concatenate([np.arange(ring, count), high]))
    led, weights = _led_vertices()
    free = np.setdiff1d(np.arange(count), np.concatenate([led, still]))
    solver = splu(bilaplacian[free][:, free].tocsc())
    coupling = bilaplacian[free][:, led]

    def spread(displacement: Displacement) -> np.ndarray:
        known = np.zeros((96, 3))
        for index, vector in displacement.items():
            known[index] = vector
        field = np.zeros((count, 3))
        field[led] = weights @ known
        field[free] = -solver.solve(coupling @ field[led])
        return field

    return spread
