"""Drawing landmarks, edges and boxes on pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tfalign import markup
from tfalign.inference.face import Face
from tfalign.inference.images import as_rgb

Image = NDArray[np.uint8]
Color = tuple[int, int, int]

BOX_COLOR: Color = (60, 140, 255)
# Told apart by their luminance as well: most people who mix up colours can use them.
TRACK_COLORS: tuple[Color, ...] = (
    (240, 228, 66),
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (213, 94, 0),
)
_SHIFT = 4  # fractional bits of the coordinates that OpenCV draws at


def draw_faces(
    image: Any,
    faces: Iterable[Face],
    boxes: bool = True,
    edges: bool = True,
    points: bool = True,
    labels: bool = False,
) -> Image:
    """Returns a copy of an image with faces drawn on it.

    Lines and points grow with the face, so that a small face stays visible under them. Faces of
    different tracks (in a still, different faces) have different colours.

    Args:
        image: As ``Aligner.align`` takes it in memory, of any size.
        faces: What to draw, in the image's pixels.
        boxes: Whether to draw the box where each search began.
        edges: Whether to join points along brows, eyes, nose, mouth and contour, where the scheme
            is known.
        points: Whether to draw the points.
        labels: Whether to write track and quality above each face.
    """
    canvas = as_rgb(image, max_pixels=None).copy()
    for number, face in enumerate(faces):
        color = TRACK_COLORS[(number if face.track is None else face.track) % len(TRACK_COLORS)]
        size = float(np.sqrt(np.prod(face.landmark_box[2:] - face.landmark_box[:2])))
        if not np.isfinite(size):
            continue  # no landmark that could be drawn
        size = min(size, float(np.sqrt(canvas.shape[0] * canvas.shape[1])))
        if boxes:
            _draw_box(canvas, face.box, BOX_COLOR, max(1, round(size / 150)))
        draw_shape(
            canvas,
            face.landmarks,
            face.scheme if edges else None,
            color,
            thickness=max(1, round(size / 200)),
            radius=max(1.0, size / 110) if points else None,
        )
        if labels:
            _write_label(canvas, face, size, color)
    return canvas


def draw_landmarks(
    image: Image,
    points: Any,
    scheme: markup.LandmarkScheme | None = None,
    color: Color = TRACK_COLORS[-1],
    box: Any = None,
) -> Image:
    """Returns a copy of an image with landmarks, the scheme's edges and a box drawn on it.

    Args:
        image: (H, W, 3) uint8, RGB.
        points: (n, 2) in image pixels; those that ``draw_shape`` cannot draw are left out.
        scheme: Gives the edges; None draws points alone.
        color: RGB.
        box: (4,) in image pixels, or None.

    Raises:
        ValueError: If ``points`` is not (n, 2) or does not have the scheme's n.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"`points` must be (n, 2). Received: points of shape {points.shape}")
    if scheme is not None and len(points) != scheme.num_points:
        raise ValueError(
            f"Scheme {scheme.name!r} has {scheme.num_points} points. Received: {len(points)}"
        )
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(min(canvas.shape[:2]) / 400))
    draw_shape(canvas, points, scheme, color, thickness, thickness + 1)
    if box is not None:
        _draw_box(canvas, box, BOX_COLOR, thickness)
    return canvas


def draw_shape(
    canvas: Image,
    shape: Any,
    scheme: markup.LandmarkScheme | None,
    color: Color,
    thickness: int,
    radius: float | None,
) -> None:
    """Draws one shape onto an RGB picture, in place.

    Args:
        canvas: (H, W, 3) uint8, contiguous.
        shape: (n, 2) in image pixels; points that are not finite, or further from the picture than
            its own size, are left out.
        scheme: Gives the edges; None draws points alone.
        color: RGB.
        thickness: Of the edges in pixels.
        radius: Of the points in pixels; None draws edges alone.
    """
    shape = np.asarray(shape, np.float64)
    size = np.array(canvas.shape[1::-1], np.float64)
    # OpenCV's fixed-point coordinates overflow far outside the picture.
    shown = np.isfinite(shape).all(axis=1) & (np.abs(shape - size / 2) < 1.5 * size).all(axis=1)
    fixed = _fixed(np.where(shown[:, None], shape, 0.0))
    for i, j in scheme.edges if scheme is not None else ():
        if shown[i] and shown[j]:
            cv2.line(
                canvas, _pair(fixed[i]), _pair(fixed[j]), color, thickness, cv2.LINE_AA, _SHIFT
            )
    if radius is not None:
        for point in fixed[shown]:
            size_fixed = round(radius * (1 << _SHIFT))
            cv2.circle(canvas, _pair(point), size_fixed, color, -1, cv2.LINE_AA, _SHIFT)


def _draw_box(canvas: Image, box: Any, color: Color, thickness: int) -> None:
    height, width = canvas.shape[:2]
    corners = np.asarray(box, np.float64).reshape(2, 2)
    # A side outside the picture is not visible: it may be drawn anywhere outside.
    fixed = _fixed(np.clip(corners, -thickness, [width + thickness, height + thickness]))
    cv2.rectangle(canvas, _pair(fixed[0]), _pair(fixed[1]), color, thickness, cv2.LINE_AA, _SHIFT)


def _write_label(canvas: Image, face: Face, size: float, color: Color) -> None:
    text = f"{face.quality:.2f}" if face.track is None else f"#{face.track} {face.quality:.2f}"
    scale = max(0.35, size / 250)
    x, y = face.landmark_box[:2]
    place = (round(max(0.0, x)), round(max(12.0 * scale + 4, y - 4)))
    for shade, thickness in (((0, 0, 0), round(3 * scale) + 2), (color, max(1, round(scale)))):
        cv2.putText(
            canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, shade, thickness, cv2.LINE_AA
        )


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Converts to OpenCV's fixed point: its pixel centres are whole numbers, ours at i + 0.5."""
    return np.rint((points - 0.5) * (1 << _SHIFT)).astype(np.int64)


def _pair(values: NDArray[Any]) -> tuple[int, int]:
    return int(values[0]), int(values[1])
