"""The faces of ``hard_faces.py``: rendered at a chosen yaw, made small, blurred, partly covered."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from tfalign import geometry, markup
from tfalign.data.synthetic import sensor
from tfalign.data.synthetic.head import deform
from tfalign.data.synthetic.identity import identity_modes
from tfalign.data.synthetic.mesh import head_mesh
from tfalign.data.synthetic.parameters import HeadParameters, sample_parameters
from tfalign.data.synthetic.scene import generator, paint_scene, place
from tfalign.data.synthetic.skin import sample_appearance

SIDE = 256  # of rendered pictures, in pixels


class Face(NamedTuple):
    """A face.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        points: (68, 2) its landmarks in image pixels.
        hidden: (68,) bool, which of them were covered.
    """

    image: np.ndarray
    points: np.ndarray
    hidden: np.ndarray = np.zeros(68, bool)

    @property
    def box(self) -> np.ndarray:
        """(4,) the landmarks' tight box in image pixels."""
        return np.asarray(geometry.box_from_landmarks(self.points), np.float64)

    @property
    def side(self) -> float:
        """The longer side of the box."""
        return float((self.box[2:] - self.box[:2]).max())


def rendered(seed: int, index: int, yaw: float | None = None) -> Face:
    """Renders a face as ``tfalign.data.synthetic.render`` does, with a yaw of one's own.

    Args:
        seed, index: Name the face.
        yaw: Degrees by which the head is turned to the side that was drawn; None turns it as far
            as was drawn.
    """
    rng = generator(seed, index)
    parameters = sample_parameters(rng)
    if yaw is not None:
        parameters.yaw = math.copysign(yaw, parameters.yaw)
    head = place(parameters, SIDE, rng)
    look = sample_appearance(rng)
    image, _ = sensor.expose(paint_scene(head, look, SIDE, rng)[0], rng)
    return Face(image, markup.convert(head.landmarks, "wflw98", "ibug68"))


def estimated_yaw(points: np.ndarray) -> float:
    """Returns the yaw in degrees of a face with points (68, 2), positive to the image's right.

    An affine camera is fitted to brows, eyes, nose and mouth of the renderer's mean head; the yaw
    is that of the nearest rotation. The contour, which slides over a turned head, is left out.
    """
    numbers = markup.convert(np.repeat(np.arange(98.0)[:, None], 2, axis=1), "wflw98", "ibug68")
    mean = deform(HeadParameters(np.zeros(len(identity_modes()[0]))))
    head = mean[head_mesh().landmark_vertices][numbers[17:, 0].astype(int)]
    inner = np.asarray(points, np.float64)[17:]
    camera = np.linalg.lstsq(head - head.mean(axis=0), inner - inner.mean(axis=0), rcond=None)[0]
    left, _, right = np.linalg.svd(camera.T, full_matrices=False)
    ahead = np.cross(*(left @ right))  # the rotation's third row
    return math.degrees(math.atan2(-ahead[0], ahead[2]))


def smaller(face: Face, side: float, rng: np.random.Generator) -> Face:
    """Returns the face with a box of ``side`` pixels.

    Raises:
        ValueError: If it is smaller than that already.
    """
    factor = side / face.side
    if factor > 1:
        raise ValueError(f"A face must have {side} pixels or more. Received: {face.side:.1f}")
    image = cv2.resize(face.image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return face._replace(image=image, points=face.points * factor)


def blurred(face: Face, share: float, rng: np.random.Generator) -> Face:
    """Returns the face smoothed by a Gaussian; its deviation is a share of the box's side."""
    return face._replace(image=cv2.GaussianBlur(face.image, (0, 0), share * face.side))


def covered(face: Face, share: float, rng: np.random.Generator) -> Face:
    """Returns the face with a rectangle of noise over a share of its box's area.

    Its form (up to twice as wide or high as the box is), its place within the box and the colour
    about which the noise lies are drawn.
    """
    aspect, where, colour = 2 ** rng.uniform(-1, 1), rng.random(2), rng.integers(0, 256, 3)
    across = float(np.clip(np.sqrt(share * aspect), share, 1))
    low, size = face.box[:2], face.box[2:] - face.box[:2]
    extent = np.round(size * (across, share / across))
    first = np.round(low + where * (size - extent))
    x0, y0 = np.maximum(first, 0).astype(int)
    x1, y1 = (first + extent).astype(int)
    image = face.image.copy()
    part = image[y0:y1, x0:x1]
    part[:] = np.clip(rng.normal(colour, 30, part.shape), 0, 255)
    hidden = ((face.points >= first) & (face.points < first + extent)).all(axis=1)
    return face._replace(image=image, hidden=hidden)
