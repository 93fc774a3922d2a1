"""How well faces are re-initialized: residual rotation, scale and place, and pictures of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tfalign import geometry
from tfalign.evaluation.protocols import Floats


@dataclass(frozen=True)
class Spread:
    """Spread of faces about a canonical state.

    Each face's state is the least-squares similarity from the canonical shape to its landmarks.

    Attributes:
        rotation: Standard deviation of the angle, degrees.
        scale: Standard deviation of the natural logarithm of the scale.
        centre: Root mean square distance of the landmarks' centre from its mean, as a fraction of
            the frame's side.
    """

    rotation: float
    scale: float
    centre: float

    def to_dict(self) -> dict[str, float]:
        """Returns the fields as plain data."""
        return asdict(self)


def spread(landmarks: Any, canonical_shape: Any) -> Spread:
    """Measures how differently faces lie in their frames.

    Args:
        landmarks: (faces, n, 2), [0, 1]² of the frame: the crop, or the warped image.
        canonical_shape: (n, 2), any scale.

    Raises:
        ValueError: If there are fewer than two faces, or the shapes disagree.
    """
    shapes = np.asarray(landmarks, np.float64)
    canonical = np.asarray(canonical_shape, np.float64)
    if shapes.ndim != 3 or len(shapes) < 2 or shapes.shape[1:] != canonical.shape:
        raise ValueError(
            "`landmarks` must be (faces, n, 2) with at least two faces and `canonical_shape` "
            f"(n, 2). Received: {shapes.shape} and {canonical.shape}"
        )
    maps = np.asarray(geometry.similarity_from_points(canonical[None], shapes))
    cos, sin = maps[:, 0, 0], maps[:, 1, 0]
    centres = shapes.mean(axis=1)
    return Spread(
        rotation=float(np.rad2deg(np.arctan2(sin, cos)).std()),
        scale=float(np.log(np.hypot(cos, sin)).std()),
        centre=float(np.sqrt(np.mean(np.sum((centres - centres.mean(axis=0)) ** 2, axis=1)))),
    )


def figure_3(crops: Any, faces: Any, landmarks: Any = None) -> Figure:
    """Draws crops above the faces that the global re-initialization makes of them.

    Args:
        crops: (count, H, W, 3), [0, 255].
        faces: (count, side, side, 3), [0, 255].
        landmarks: (count, n, 2) in [0, 1]² of ``faces``, drawn on them, or None.
    """
    figure = Figure(figsize=(1.2 * len(crops), 2.4), layout="tight")
    axes = figure.subplots(2, len(crops), squeeze=False)
    for column, (crop, face) in enumerate(zip(crops, faces, strict=True)):
        _show(axes[0, column], crop)
        _show(axes[1, column], face, None if landmarks is None else landmarks[column])
    return figure


def figure_5(faces: Any, patches: dict[str, Any], points: dict[str, Any], coarse: Any) -> Figure:
    """Draws each warped face with its coarse shape, and the patches of its parts.

    Args:
        faces: (count, side, side, 3), [0, 255].
        patches: Part name to (count, size, size, 3), [0, 255].
        points: Part name to (count, m, 2) refined landmarks in [0, 1]² of the patch.
        coarse: (count, n, 2) coarse landmarks in [0, 1]² of the face.
    """
    rows = 1 + len(patches)
    figure = Figure(figsize=(1.2 * len(faces), 1.2 * rows), layout="tight")
    axes = figure.subplots(rows, len(faces), squeeze=False)
    for column in range(len(faces)):
        _show(axes[0, column], faces[column], coarse[column])
        for row, (part, pictures) in enumerate(patches.items(), start=1):
            _show(axes[row, column], pictures[column], points[part][column])
            if column == 0:
                axes[row, 0].set_title(part.replace("_", " "), fontsize=6, pad=2)
    return figure


def _show(axis: Any, picture: Any, points: Floats | None = None) -> None:
    picture = np.clip(np.asarray(picture, np.float32), 0, 255).astype(np.uint8)
    height, width = picture.shape[:2]
    axis.imshow(picture, extent=(0, width, height, 0))
    if points is not None:
        axis.plot(points[:, 0] * width, points[:, 1] * height, ".", color="lime", markersize=1.5)
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    axis.axis("off")
