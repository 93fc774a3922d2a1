"""Deforms, poses and projects a head: vertices, normals and the 98 landmarks in pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from tfalign.data.synthetic import layout
from tfalign.data.synthetic.expression import expression_modes
from tfalign.data.synthetic.identity import identity_modes
from tfalign.data.synthetic.mesh import head_mesh
from tfalign.data.synthetic.parameters import HeadParameters

_ROTATION_CENTER = np.array([0.0, 0.35, -0.75])


@dataclass(frozen=True)
class Camera:
    """A perspective camera with the head placed in an image of ``size`` pixels.

    A head-space point X is at ``focal * (R (X - c)).xy / (distance - (R (X - c)).z) + center``.
    """

    rotation: np.ndarray
    distance: float
    focal: float
    center: np.ndarray

    def rotate(self, points: np.ndarray) -> np.ndarray:
        """Head space (n, 3) to camera space (n, 3), z towards the camera."""
        return ((points - _ROTATION_CENTER) @ self.rotation.T).astype(np.float32)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Head space (n, 3) to image pixels (n, 2)."""
        turned = self.rotate(points)
        depth = self.distance - turned[:, 2:]
        return self.focal * turned[:, :2] / depth + self.center


@dataclass(frozen=True)
class Head:
    """A posed head.

    Attributes:
        vertices: (v, 3) in head space; ``turned`` the same in camera space.
        normals: (v, 3) unit, camera space.
        pixels: (v, 2) in image pixels.
        landmarks: (98, 2) in image pixels.
        iris: (2, 3) iris centres and ``iris_axis`` (2, 3) gaze directions, head space.
    """

    parameters: HeadParameters
    camera: Camera
    vertices: np.ndarray
    turned: np.ndarray
    normals: np.ndarray
    pixels: np.ndarray
    landmarks: np.ndarray
    iris: np.ndarray
    iris_axis: np.ndarray

    def moved(self, scale: float, center: np.ndarray) -> Head:
        """The same head with its picture scaled about its camera's centre and put at ``center``."""
        camera = replace(
            self.camera, focal=self.camera.focal * scale, center=np.asarray(center, float)
        )
        pixels, landmarks = (
            (points - self.camera.center) * scale + camera.center
            for points in (self.pixels, self.landmarks)
        )
        return replace(self, camera=camera, pixels=pixels, landmarks=landmarks)


def rotation_matrix(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation from head to camera space for angles in degrees: roll after pitch after yaw."""
    a, b, c = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    nod = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    tilt = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return tilt @ nod @ turn


@lru_cache(maxsize=1)
def _all_modes() -> tuple[tuple[str, ...], np.ndarray]:
    names, expression = expression_modes()
    _, identity = identity_modes()
    modes = np.concatenate([identity, expression])
    return names, modes.reshape(len(modes), -1).astype(np.float32)


def deform(parameters: HeadParameters) -> np.ndarray:
    """Gives the head's vertices (v, 3) float64 in head space, before pose."""
    names, modes = _all_modes()
    strength = [1.0 if n == "close" else parameters.expression.get(n, 0.0) for n in names]
    coefficients = np.concatenate([parameters.identity, strength]).astype(np.float32)
    vertices = head_mesh().vertices + (coefficients @ modes).reshape(-1, 3)
    return _keep_apart(vertices)


def _keep_apart(vertices: np.ndarray) -> np.ndarray:
    """Keeps the lower lid below the upper lid and the lower lip below the upper lip."""
    mesh = head_mesh()
    for ring, half in (
        (mesh.eye_vertices[0], 16),
        (mesh.eye_vertices[1], 16),
        (mesh.lip_inner_vertices, 16),
    ):
        upper = ring[1:half]
        lower = ring[:half:-1]
        crossing = np.maximum(0.0, vertices[upper, 1] - vertices[lower, 1] + 0.002)
        vertices[upper, 1] -= crossing / 2
        vertices[lower, 1] += crossing / 2
    return vertices


def _vertex_normals(points: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (v, 3) of the head mesh with vertices at ``points`` (v, 3)."""
    mesh = head_mesh()
    a, b, c = (points[mesh.triangles[:, k]] for k in range(3))
    u, v = b - a, c - a
    faces = np.stack([
        u[:, 1] * v[:, 2] - u[:, 2] * v[:, 1],
        u[:, 2] * v[:, 0] - u[:, 0] * v[:, 2],
        u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0],
    ], axis=1)  # fmt: skip
    normals = mesh.incidence @ faces
    return (normals / (np.sqrt((normals**2).sum(1, keepdims=True)) + 1e-12)).astype(np.float32)


def _visible_contour(turned: np.ndarray, normals: np.ndarray, distance: float) -> np.ndarray:
    """Finds the contour as it is annotated: the jaw's edge, or where the cheek hides it.

    On each line from a contour point into the face the landmark is the first point whose surface
    faces the camera. Seen from the front this is the jaw's edge itself; when the head turns, the
    far side slides to the cheek's silhouette.

    Returns:
        (33, 3) points in camera space.
    """
    mesh = head_mesh()
    weight = mesh.contour_weight[..., None].astype(np.float32)
    points = (turned[mesh.contour_index] * weight).sum(2)
    normal = (normals[mesh.contour_index] * weight).sum(2)
    ray = np.array([0, 0, distance], np.float32) - points
    facing = (normal * ray).sum(-1)
    first = np.argmax(facing > 0, axis=1)
    first[~(facing > 0).any(axis=1)] = facing.shape[1] - 1
    before = np.maximum(first - 1, 0)
    rows = np.arange(33)
    f0, f1 = facing[rows, before], facing[rows, first]
    crossing = (f0 < 0) & (f1 > 0)
    t = np.where(crossing, f0 / np.where(crossing, f0 - f1, 1.0), 0.0)[:, None]
    return points[rows, before] * (1 - t) + points[rows, first] * t


def pose_head(parameters: HeadParameters, focal: float, center: np.ndarray) -> Head:
    """Builds the head that ``parameters`` describe, seen by a camera.

    Args:
        parameters: The head.
        focal: Focal length in pixels.
        center: (2,) image pixel of the head's centre of rotation.
    """
    mesh = head_mesh()
    p = parameters
    camera = Camera(
        rotation_matrix(p.yaw, p.pitch, p.roll), p.distance, focal, np.asarray(center, float)
    )
    vertices = deform(p)
    turned = camera.rotate(vertices)
    normals = _vertex_normals(turned)

    def to_pixels(points: np.ndarray) -> np.ndarray:
        return focal * points[:, :2] / (p.distance - points[:, 2:]) + camera.center

    pixels = to_pixels(turned)
    yaw, pitch = np.radians(p.gaze)
    axis = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    base = np.array([layout.EYE_CENTER, layout.mirror(np.array(layout.EYE_CENTER))])
    # The balls follow what identity does to the corners of their eyes.
    corners = (
        vertices[mesh.landmark_vertices[[60, 64, 68, 72]]]
        - mesh.vertices[mesh.landmark_vertices[[60, 64, 68, 72]]]
    )
    balls = base + corners.reshape(2, 2, 3).mean(1)
    iris = balls + layout.EYE_RADIUS * axis
    landmarks = np.empty((98, 2))
    landmarks[:96] = pixels[mesh.landmark_vertices]
    landmarks[:33] = to_pixels(_visible_contour(turned, normals, p.distance))
    landmarks[96:] = camera.project(iris)
    return Head(
        p, camera, vertices, turned, normals, pixels, landmarks, iris, np.stack([axis, axis])
    )
