"""From images and boxes to landmarks in image pixels: crops, one or two looks, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign import geometry
from tfalign.geometry import CROP_PRESETS, Border, CropConvention
from tfalign.inference.backends import Backend, load_backend
from tfalign.inference.crops import check_boxes, cut_crops
from tfalign.inference.quality import disagreement

# WFLW's boxes are not their landmarks' boxes. Its published crop (GRegLRef, section 4.3) is taken
# to leave 10 % of the landmarks' own box free on each side, as the other sets' crops do: then a box
# of that set reaches this far beyond the landmarks.
_WFLW_BOX = (0.0, 0.255, 0.0, 0.003)

# The mirrored crop is also turned: a model that sees nothing answers with the mean shape, which is
# its own mirror image, but which the turn carries along.
_TURN = np.radians(8.0)


def usual_box_padding(
    crop: CropConvention | None, num_landmarks: int
) -> dict[str, list[float]] | None:
    """Returns the ``box_padding`` of a model that stores none: WFLW's, or None for no padding.

    A face's box is taken for that of the points: a model that stores nothing has not measured it.
    """
    if crop != CROP_PRESETS["wflw"] or num_landmarks != 98:
        return None
    return {"points": list(_WFLW_BOX), "face": [0.0] * 4}


class Predictor:
    """Cuts crops by the model's own convention, runs the model and maps its shapes back.

    A call takes boxes of the kind that the model was trained with, as an evaluation has them. The
    looks of ``once`` and ``twice`` take estimates of the landmarks' tight boxes, as detectors and
    trackers have them.

    Args:
        backend: What maps crops to landmarks.
        batch_size: Crops per call of the backend.
        border: What lies outside an image.
        box_padding: (left, top, right, bottom), fractions by which the kind of box that the model
            was trained with reaches beyond the landmarks' tight box. None: as the model says, or
            not at all, but for a model with WFLW's crop and points as far as that set's boxes do.

    Raises:
        ValueError: If ``batch_size`` is not positive, or ``box_padding`` leaves no box.
    """

    def __init__(
        self,
        backend: Backend,
        batch_size: int = 32,
        border: Border = "clamp",
        box_padding: Sequence[float] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")
        self.backend = backend
        self.batch_size = batch_size
        self.border: Border = border
        if box_padding is None:
            stored = backend.box_padding or usual_box_padding(backend.crop, backend.num_landmarks)
            box_padding = (0.0,) * 4 if stored is None else stored["points"]
        geometry.pad_box([0.0, 0.0, 1.0, 1.0], box_padding)  # raises where it is unusable
        self.box_padding = tuple(float(value) for value in box_padding)
        self._flip_map = None if backend.scheme is None else backend.scheme.flip_map

    def __call__(self, images: Sequence[np.ndarray], boxes: Any, angles: Any = None) -> np.ndarray:
        """Finds the landmarks of one face per image.

        Args:
            images: (H, W, 3) uint8 RGB images of any sizes; one image may stand several times.
            boxes: (faces, 4) boxes in image pixels, of the kind that the model was trained with.
            angles: (faces,) radians by which each crop is turned about its centre, or None.

        Returns:
            (faces, n, 2) float64 landmarks in image pixels.

        Raises:
            ValueError: If an image or a box is unusable, or the counts differ.
        """
        boxes = check_boxes(boxes, len(images))
        turns = np.zeros(len(images)) if angles is None else np.asarray(angles, np.float64)
        return self._shapes(images, boxes, turns, np.zeros(len(images), bool))[:, -1]

    def once(self, images: Sequence[np.ndarray], boxes: Any) -> np.ndarray:
        """Returns the shapes (faces, stages, n, 2) in image pixels for one tight box per image."""
        upright = np.zeros(len(images), bool)
        return self._shapes(images, self._trained(boxes), np.zeros(len(images)), upright)

    def twice(self, images: Sequence[np.ndarray], boxes: Any) -> tuple[np.ndarray, np.ndarray]:
        """Looks at the crop and at its mirror image turned by 8 degrees.

        Where the model's scheme, or in it the mirror image of a point, is unknown, the second crop
        is turned only.

        Args:
            images: One per face, (H, W, 3) uint8 RGB.
            boxes: (faces, 4) tight boxes in image pixels.

        Returns:
            (faces, stages, n, 2) mean of both shapes in image pixels, and their ``disagreement``
            (faces,).
        """
        count = len(images)
        second = np.repeat([False, True], count)
        both = self._shapes(
            [*images, *images],
            np.tile(self._trained(boxes), (2, 1)),
            np.where(second, _TURN, 0.0),
            second & (self._flip_map is not None),
        )
        upright, mirrored = both[:count], both[count:]
        return 0.5 * (upright + mirrored), disagreement(upright[:, -1], mirrored[:, -1])

    def crops(self, images: Sequence[np.ndarray], boxes: Any) -> np.ndarray:
        """Returns the crops (faces, height, width, 3) uint8 that the model sees of tight boxes."""
        backend, trained = self.backend, self._trained(boxes)
        return cut_crops(images, trained, backend.crop, backend.image_size, None, self.border)[0]

    def _trained(self, boxes: Any) -> np.ndarray:
        """Turns tight boxes into boxes of the kind that the model was trained with."""
        tight = np.asarray(boxes, np.float64).reshape(-1, 4)
        return np.asarray(geometry.pad_box(tight, self.box_padding))

    def _shapes(
        self, images: Sequence[np.ndarray], boxes: Any, angles: np.ndarray, mirrored: np.ndarray
    ) -> np.ndarray:
        """Finds (faces, stages, n, 2) in image pixels, a batch at a time.

        Args:
            images: One per face.
            boxes: (faces, 4), of the kind that the model was trained with.
            angles: (faces,) radians by which crops are turned.
            mirrored: (faces,), which crops are mirrored.
        """
        batches = []
        for start in range(0, max(len(images), 1), self.batch_size):  # one, empty, for no face
            part = slice(start, start + self.batch_size)
            batches.append(self._batch(images[part], boxes[part], angles[part], mirrored[part]))
        return np.concatenate(batches)

    def _batch(
        self, images: Sequence[np.ndarray], boxes: Any, angles: np.ndarray, mirrored: np.ndarray
    ) -> np.ndarray:
        backend = self.backend
        crops, maps = cut_crops(
            images, boxes, backend.crop, backend.image_size, angles, self.border
        )
        crops[mirrored] = crops[mirrored, :, ::-1]
        unit = np.array(backend.stages(crops), np.float64)
        if self._flip_map is not None:
            flipped = unit[mirrored][:, :, list(self._flip_map)]
            flipped[..., 0] = 1.0 - flipped[..., 0]
            unit[mirrored] = flipped
        return geometry.image_from_unit(unit, maps[:, None], backend.image_size)


def load_predictor(
    model: str | Path | keras.Model | Backend,
    crop: Any = None,
    scheme: Any = None,
    batch_size: int = 32,
) -> Predictor:
    """Makes a predictor of whatever ``tfalign.inference.load_backend`` takes."""
    return Predictor(load_backend(model, crop, scheme), batch_size)
