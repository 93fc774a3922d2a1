"""Looking at faces: boxes to shapes of every stage, once quickly or twice with a second opinion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfalign import geometry
from tfalign.geometry import CROP_PRESETS
from tfalign.inference.backends import Backend, KerasBackend
from tfalign.inference.crops import cut_crops
from tfalign.inference.predictor import image_points
from tfalign.inference.quality import disagreement

# WFLW's boxes are not their landmarks' boxes. Its published crop (GRegLRef, section 4.3) is taken
# to leave 10 % of the landmarks' own box free on each side, as the other sets' crops do: then a box
# of that set reaches this far beyond the landmarks.
_WFLW_BOX = (0.0, 0.255, 0.0, 0.003)

# The mirrored crop is also turned: a model that sees nothing answers with the mean shape, which is
# its own mirror image, but which the turn carries along.
_TURN = np.radians(8.0)


class Looker:
    """Cuts crops by the model's convention, runs the model and maps its shapes back.

    All boxes are tight boxes of the landmarks, or estimates of them.

    Args:
        backend: What maps crops to landmarks.
        batch_size: Crops per call of the model.
        box_padding: (left, top, right, bottom), fractions by which the kind of box that the model
            was trained with reaches beyond the landmarks' tight box. None: not at all, but for a
            model with WFLW's crop and points as far as that set's boxes do.
    """

    def __init__(
        self,
        backend: Backend,
        batch_size: int = 32,
        box_padding: Sequence[float] | None = None,
    ) -> None:
        self.backend = backend
        self.batch_size = batch_size
        if box_padding is None:
            of_wflw = backend.crop == CROP_PRESETS["wflw"] and backend.num_landmarks == 98
            box_padding = _WFLW_BOX if of_wflw else (0.0,) * 4
        geometry.pad_box([0.0, 0.0, 1.0, 1.0], box_padding)  # raises where it is unusable
        self.box_padding = tuple(float(value) for value in box_padding)
        self._stage_model = _stage_model(backend)

    def once(self, images: Sequence[np.ndarray], boxes: Any) -> np.ndarray:
        """Returns the shapes (faces, stages, n, 2) in image pixels for one box per image."""
        return self._look(images, boxes, mirrored=np.zeros(len(images), bool))

    def twice(self, images: Sequence[np.ndarray], boxes: Any) -> tuple[np.ndarray, np.ndarray]:
        """Looks at the crop and at its mirror image turned by 8 degrees.

        Where the model's scheme, and with it the mirror image of a point, is unknown, the second
        crop is turned only.

        Args:
            images: One per face, (H, W, 3) uint8 RGB.
            boxes: (faces, 4) in image pixels.

        Returns:
            (faces, stages, n, 2) mean of both shapes in image pixels, and their ``disagreement``
            (faces,).
        """
        count = len(images)
        boxes = np.asarray(boxes, np.float64).reshape(count, 4)
        second = np.repeat([False, True], count)
        both = self._look([*images, *images], np.concatenate([boxes, boxes]), second)
        upright, mirrored = both[:count], both[count:]
        return 0.5 * (upright + mirrored), disagreement(upright[:, -1], mirrored[:, -1])

    def _look(self, images: Sequence[np.ndarray], boxes: Any, mirrored: np.ndarray) -> np.ndarray:
        """Finds shapes; ``mirrored`` (faces,) tells which crops are turned and mirrored."""
        if not len(images):
            stages = 1 if self._stage_model is None else self._stage_model.output_shape[1]
            return np.zeros((0, stages, self.backend.num_landmarks, 2))
        boxes = np.asarray(geometry.pad_box(np.asarray(boxes, np.float64), self.box_padding))
        shapes = []
        for start in range(0, len(images), self.batch_size):
            part = slice(start, start + self.batch_size)
            shapes.append(self._look_at_batch(images[part], boxes[part], mirrored[part]))
        return np.concatenate(shapes)

    def _look_at_batch(
        self, images: Sequence[np.ndarray], boxes: np.ndarray, mirrored: np.ndarray
    ) -> np.ndarray:
        backend = self.backend
        angles = np.where(mirrored, _TURN, 0.0)
        crops, maps = cut_crops(images, boxes, backend.crop, backend.image_size, angles)
        flip_map = None if backend.scheme is None else backend.scheme.flip_map
        flips = mirrored if flip_map is not None else np.zeros_like(mirrored)
        crops[flips] = crops[flips, :, ::-1]
        unit = self._stages(crops)
        if flip_map is not None:
            flipped = unit[flips][:, :, list(flip_map)]
            flipped[..., 0] = 1.0 - flipped[..., 0]
            unit[flips] = flipped
        faces, stages, n, _ = unit.shape
        found = image_points(unit.reshape(faces, stages * n, 2), maps, backend.image_size)
        return found.reshape(faces, stages, n, 2)

    def _stages(self, crops: np.ndarray) -> np.ndarray:
        """Runs the model: (faces, stages, n, 2) in [0, 1]² of the crops."""
        if self._stage_model is None:
            return np.array(self.backend(crops)[:, None], np.float64)
        # Filled up to a power of two: as many compiled graphs as there are such sizes.
        count = len(crops)
        filling = (1 << (count - 1).bit_length()) - count
        crops = np.pad(crops, [(0, filling), (0, 0), (0, 0), (0, 0)])
        return np.array(self._stage_model.predict_on_batch(crops)[:count], np.float64)


def _stage_model(backend: Backend) -> keras.Model | None:
    """Returns a model that gives the shape of every stage, or None where only the last is known."""
    model = backend.model if isinstance(backend, KerasBackend) else None
    if not hasattr(model, "training_model"):
        return None
    return keras.Model(model.inputs, model.training_model.output["stages"])
