"""Draws what lies in the openings of the face: eyeballs with iris and lashes, teeth and tongue."""

from __future__ import annotations

import cv2
import numpy as np

from tfalign.data.synthetic import draw, layout
from tfalign.data.synthetic.head import Head
from tfalign.data.synthetic.mesh import EYE, MOUTH, head_mesh
from tfalign.data.synthetic.skin import Appearance

_OVERSAMPLE = 2


class _Patch:
    """A supersampled square of the picture that is drawn on and laid back through a mask."""

    def __init__(
        self, image: np.ndarray, labels: np.ndarray, label: int, opening: np.ndarray
    ) -> None:
        self.where = draw.bounds(opening, 2, image.shape[-1])
        if self.where is None:
            return
        rows, columns = self.where
        self.origin = np.array([columns.start, rows.start], float)
        self.height, self.width = rows.stop - rows.start, columns.stop - columns.start
        shape = (self.height * _OVERSAMPLE, self.width * _OVERSAMPLE)
        self.canvas = np.zeros((*shape, 3), np.uint8)
        mask = np.zeros(shape, np.uint8)
        draw.polygon(mask, self.local(opening), 255)
        mask = cv2.resize(mask, (self.width, self.height), interpolation=cv2.INTER_AREA)
        # What the nose or a cheek hides on the mesh stays hidden.
        seen = cv2.dilate(
            (labels[rows, columns] == label).astype(np.uint8), np.ones((3, 3), np.uint8)
        )
        self.alpha = mask.astype(np.float32) * seen / np.float32(255)

    def local(self, points: np.ndarray) -> np.ndarray:
        """Image pixels to the canvas's pixels."""
        return (points - self.origin) * _OVERSAMPLE

    def lay(self, image: np.ndarray, shade: np.ndarray) -> None:
        """Blends the canvas, times a colour of light (3,), into the image in place."""
        small = cv2.resize(self.canvas, (self.width, self.height), interpolation=cv2.INTER_AREA)
        layer = np.moveaxis(small, -1, 0) * shade.astype(np.float32)[:, None, None]
        draw.blend(image[:, *self.where], layer, self.alpha)


def _basis(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors across a unit axis that does not point up: to the right, and down."""
    x, y, z = axis
    length = np.hypot(x, z)
    return np.array([z, 0.0, -x]) / length, np.array([-x * y, length**2, -y * z]) / length


def draw_eyes(
    image: np.ndarray,
    labels: np.ndarray,
    head: Head,
    look: Appearance,
    shade: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Draws both eyes and their lashes in place.

    Args:
        image: (3, s, s) float32.
        labels: (s, s) uint8 mesh label seen at each pixel.
        head: The posed head.
        look: The person.
        shade: (v, 3) light at the head's vertices.
        rng: Decides reddening, pupil size, glints and lashes.
    """
    mesh = head_mesh()
    white = np.clip(
        np.array([236, 232, 228]) * rng.uniform(0.65, 1.0) + rng.normal(0, 5, 3), 0, 255
    )
    scale = head.camera.focal / head.parameters.distance
    pupil, iris_radius = rng.uniform(0.28, 0.6), layout.IRIS_RADIUS * rng.uniform(0.92, 1.1)
    glints = rng.random((3, 2)) * [1.0, 0.6] - [0.5, 0.7]
    count = int(rng.integers(0, 3))
    lash = rng.uniform(0.02, 0.035) if look.makeup else rng.uniform(0.008, 0.02)
    t = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    for side in range(2):
        ring = mesh.eye_vertices[side]
        opening = head.pixels[ring]
        patch = _Patch(image, labels, EYE, opening)
        if patch.where is None:
            continue
        patch.canvas[:] = white
        axis = head.iris_axis[side]
        right, down = _basis(axis)
        for radius, color in (
            (iris_radius, look.iris * 0.45),
            (iris_radius * 0.86, look.iris),
            (iris_radius * pupil, look.iris * 0.08),
        ):
            circle = radius * (np.cos(t)[:, None] * right + np.sin(t)[:, None] * down)
            draw.polygon(
                patch.canvas, patch.local(head.camera.project(head.iris[side] + circle)), color
            )
        center = head.landmarks[96 + side]
        # The upper lid and its lashes throw a shadow on the ball.
        upper = patch.local(opening[:17])
        draw.line(patch.canvas, upper, white * 0.45, 0.030 * scale * _OVERSAMPLE)
        patch.canvas = cv2.GaussianBlur(patch.canvas, (0, 0), 0.012 * scale * _OVERSAMPLE + 0.3)
        for glint in glints[:count]:
            spot = draw.ellipse(
                patch.local(center + glint * iris_radius * scale),
                (0.012 * scale * _OVERSAMPLE,) * 2,
                0,
                8,
            )
            draw.polygon(patch.canvas, spot, (250.0, 250.0, 250.0))
        patch.lay(image, np.clip(shade[ring].mean(0), 0, 1.1))
        visible = (
            labels[
                np.clip(opening[:, 1].astype(int), 0, len(labels) - 1),
                np.clip(opening[:, 0].astype(int), 0, len(labels) - 1),
            ]
            == EYE
        )
        if visible.mean() > 0.2 or head.parameters.expression.get("blink_left", 0) > 0.8:
            _lid_lines(image, opening, look, lash * scale)


def _lid_lines(image: np.ndarray, opening: np.ndarray, look: Appearance, width: float) -> None:
    """Darkens the edge of the upper lid, weakly that of the lower one."""
    where = draw.bounds(opening, 3, image.shape[-1])
    if where is None:
        return
    rows, columns = where
    origin = [columns.start, rows.start]
    for part, strength in (
        (opening[:17], 0.75),
        (np.concatenate([opening[16:], opening[:1]]), 0.25),
    ):
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        draw.line(mask, part - origin, 255, width)
        alpha = mask.astype(np.float32) * np.float32(strength * min(1.0, 0.5 + width / 3) / 255)
        draw.blend(
            image[:, rows, columns], (look.hair * 0.2).astype(np.float32)[:, None, None], alpha
        )


def draw_mouth(
    image: np.ndarray, labels: np.ndarray, head: Head, shade: np.ndarray, rng: np.random.Generator
) -> None:
    """Draws teeth, tongue and the dark of an open mouth in place; see ``draw_eyes``."""
    mesh = head_mesh()
    ring = mesh.lip_inner_vertices
    opening = head.pixels[ring]
    dark = np.array([rng.uniform(25, 75), rng.uniform(8, 25), rng.uniform(8, 28)])
    enamel = np.clip(
        np.array([238, 230, 212]) * rng.uniform(0.7, 1.08) + rng.normal(0, 4, 3), 0, 255
    )
    upper_drop, lower_rise, tongue_rise = (
        rng.uniform(0.03, 0.08),
        rng.uniform(-0.05, 0.03),
        rng.uniform(-0.02, 0.10),
    )
    bare, lower_bare = rng.random() < 0.06, rng.random() < 0.35
    patch = _Patch(image, labels, MOUTH, opening)
    if patch.where is None:
        return
    patch.canvas[:] = dark
    scale = head.camera.focal / head.parameters.distance * _OVERSAMPLE
    x = np.linspace(-0.25, 0.25, 13)
    arch = 0.26 - 2.6 * x**2

    def place(offset: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return patch.local(head.camera.project(np.stack([x, y, z], axis=1) + offset))

    skull = head.vertices[mesh.landmark_vertices[57]] - mesh.vertices[mesh.landmark_vertices[57]]
    jaw = head.vertices[mesh.landmark_vertices[16]] - mesh.vertices[mesh.landmark_vertices[16]]
    tongue = place(jaw, 0.86 - tongue_rise - 0.05 * np.cos(4 * x), arch - 0.06)
    floor = place(jaw, 1.1 + 0 * x, arch - 0.06)
    draw.polygon(
        patch.canvas,
        np.concatenate([tongue, floor[::-1]])[3:-3],
        np.array([178, 84, 86]) * rng.uniform(0.6, 1.1),
    )
    if not bare:
        rows = [(skull, 0.66 + 0 * x, 0.745 + upper_drop + 0.006 * np.abs(np.sin(25 * x)), 1.0)]
        if not lower_bare:
            rows.append(
                (jaw, 1.0 + 0 * x, 0.80 - lower_rise + 0.004 * np.abs(np.sin(25 * x)), 0.88)
            )
        for offset, root, edge, tone in rows[::-1]:
            top, bottom = place(offset, root, arch), place(offset, edge, arch)
            draw.polygon(patch.canvas, np.concatenate([top, bottom[::-1]]), enamel * tone)
            for i in range(1, 12):
                draw.line(
                    patch.canvas, np.stack([top[i], bottom[i]]), enamel * tone * 0.78, 0.006 * scale
                )
    patch.canvas = cv2.GaussianBlur(patch.canvas, (0, 0), 0.01 * scale + 0.3)
    # Corners and the roof of the mouth lie in shadow.
    u = (np.arange(patch.canvas.shape[1]) / patch.canvas.shape[1] - 0.5).astype(np.float32)
    fall = (1 - 1.6 * u**2)[None, :, None] * np.float32(rng.uniform(0.8, 1.0))
    patch.canvas = (patch.canvas * fall).astype(np.uint8)
    patch.lay(image, np.clip(shade[ring].mean(0), 0, 1.05))
