"""From images and boxes to landmarks in image pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign import geometry
from tfalign.geometry import Border
from tfalign.inference.backends import Backend, KerasBackend, TFLiteBackend
from tfalign.inference.crops import check_boxes, cut_crops

# Importing the models also registers the layers that a .keras file names.
from tfalign.models import from_preset, shipped_presets
from tfalign.models.saved import load_model


@dataclass
class Predictor:
    """Cuts crops by the model's own convention, runs the model, maps its points back.

    Attributes:
        backend: What maps crops to landmarks.
        batch_size: Crops per call of the backend.
        border: What lies outside an image.
    """

    backend: Backend
    batch_size: int = 32
    border: Border = "clamp"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(
                f"`batch_size` must be positive. Received: batch_size={self.batch_size}"
            )

    def __call__(self, images: Sequence[np.ndarray], boxes: Any, angles: Any = None) -> np.ndarray:
        """Finds the landmarks of one face per image.

        Args:
            images: (H, W, 3) uint8 RGB images of any sizes; one image may stand several times.
            boxes: (faces, 4) boxes in image pixels, unpadded.
            angles: (faces,) radians by which each crop is turned about its centre, or None.

        Returns:
            (faces, n, 2) float64 landmarks in image pixels.

        Raises:
            ValueError: If an image or a box is unusable, or the counts differ.
        """
        backend = self.backend
        boxes = check_boxes(boxes, len(images))
        found = np.empty((len(images), backend.num_landmarks, 2), np.float64)
        for start in range(0, len(images), self.batch_size):
            part = slice(start, start + self.batch_size)
            crops, crop_from_image = cut_crops(
                images[part],
                boxes[part],
                backend.crop,
                backend.image_size,
                None if angles is None else np.asarray(angles)[part],
                self.border,
            )
            found[part] = image_points(backend(crops), crop_from_image, backend.image_size)
        return found


def image_points(
    unit_points: np.ndarray, crop_from_image: np.ndarray, size: Sequence[int]
) -> np.ndarray:
    """Maps model output back to the image.

    Args:
        unit_points: (faces, n, 2) in [0, 1]² of the crops.
        crop_from_image: (faces, 2, 3).
        size: (width, height) of the crops.

    Returns:
        (faces, n, 2) float64 in image pixels.
    """
    in_crop = geometry.pixel_from_unit(np.asarray(unit_points, np.float64), size)
    image_from_crop = geometry.invert(np.asarray(crop_from_image, np.float64))
    return np.asarray(geometry.transform_points(image_from_crop, in_crop))


def load_predictor(
    model: str | Path | keras.Model | Backend,
    crop: Any = None,
    scheme: Any = None,
    batch_size: int = 32,
) -> Predictor:
    """Makes a predictor from a model in memory, a file, a preset or a backend.

    Args:
        model: What to run: a Keras model, a backend, the path of a ``.keras`` or ``.tflite`` file,
            or the name of a preset that ships with the package.
        crop, scheme: Used where the model does not tell its own.
        batch_size: Crops per call.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If a path has another ending and is no preset, or the crop convention is
            unknown.
    """
    if isinstance(model, keras.Model):
        return Predictor(KerasBackend(model, crop, scheme), batch_size)
    if not isinstance(model, (str, Path)):
        return Predictor(model, batch_size)
    path = Path(model)
    if str(model) in shipped_presets():
        return Predictor(KerasBackend(from_preset(str(model)), name=f"preset {model}"), batch_size)
    if path.suffix not in (".keras", ".tflite"):
        raise ValueError(
            "A model must be a file that ends in .keras or .tflite, or one of the presets "
            f"{sorted(shipped_presets())}. Received: model={str(model)!r}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"A model file must exist. Received: model={str(model)!r}")
    if path.suffix == ".tflite":
        return Predictor(TFLiteBackend(path, crop, scheme), batch_size)
    name = "/".join(path.parts[-2:])
    return Predictor(KerasBackend(load_model(path), crop, scheme, name=name), batch_size)
