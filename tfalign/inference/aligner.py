"""From photographs to landmarks in one call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tfalign import geometry, markup
from tfalign.data.readers.image import MAX_PIXELS
from tfalign.inference.backends import Backend, load_backend
from tfalign.inference.detectors import (
    Detector,
    check_detections,
    distinct,
    resolve_detector,
)
from tfalign.inference.face import Face
from tfalign.inference.faces import Faces
from tfalign.inference.images import as_rgb, read_image
from tfalign.inference.predictor import Predictor
from tfalign.inference.quality import QualityCalibration

_MOST_BYTES = 2**28  # of images that wait for others to fill a batch

ImageLike = str | os.PathLike[str] | NDArray[Any]


class Aligner:
    """Finds faces and their landmarks.

    >>> aligner = tfalign.inference.Aligner("300w")
    >>> for face in aligner.align("photo.jpg"):
    ...     face.landmarks, face.box, face.stages, face.quality

    A detector's box is a rough estimate of where the landmarks are. The model therefore looks
    ``passes`` times: each pass but the first cuts its crop about the landmarks of the one before,
    as crops were cut in training. The last pass looks twice, at the crop and at its mirror image,
    slightly turned: the mean is the result, the difference gives its quality.

    On the last 120 names of Helen's training part (300-W, not trained on), with the shipped preset
    and Viola–Jones boxes (110 faces found), NME by the outer eye corners: one pass and one look
    4.00 %, two passes 3.76 %, three 3.73 %; two passes and two looks 3.59 %. (One pass and one
    look in the landmarks' own boxes: 3.82 % on all 120.) These names were on view while looks were
    compared; only the turn of the second look was chosen on others.

    Args:
        model: Name of a preset that ships with the package, path of a ``.keras`` or ``.tflite``
            file, a Keras model, or a ``Backend``. A ``.keras`` file is loaded in Keras's safe
            mode: it runs no code of its own.
        detector: ``"haar"`` (frontal faces, see ``HaarDetector``); a callable from an RGB image
            (H, W, 3) uint8 to (faces, 4) boxes in pixels, each an estimate of the landmarks' tight
            box; an array (faces, 4) of such boxes, for images that have their faces in the same
            places (they count as detected: of little quality, they are left out); or None, where
            boxes are always given.
        passes: How often crops are cut, at least 1.
        min_quality: Detections of less quality are taken for no face and left out. Given boxes
            are always answered.
        batch_size: Crops per call of the model.
        max_pixels: Larger images are refused, from their header.
        crop, scheme: Used where the model does not tell its own.
        box_padding: See ``Predictor``: for a model trained with boxes that are not its landmarks'.
        calibration: What turns disagreement into quality.

    Attributes:
        name: The model's.
        scheme: What its points are called, or None.
        num_landmarks: n.

    Raises:
        FileNotFoundError: If the model's file does not exist.
        ValueError: If an argument is not as above.
    """

    def __init__(
        self,
        model: str | Path | keras.Model | Backend = "300w",
        detector: str | Detector | NDArray[Any] | None = "haar",
        passes: int = 2,
        min_quality: float = 0.2,
        batch_size: int = 32,
        max_pixels: int = MAX_PIXELS,
        crop: Any = None,
        scheme: str | markup.LandmarkScheme | None = None,
        box_padding: Sequence[float] | None = None,
        calibration: QualityCalibration | None = None,
    ) -> None:
        if passes < 1 or max_pixels < 1 or not 0 <= min_quality <= 1:
            raise ValueError(
                "`passes` and `max_pixels` must be positive and `min_quality` in [0, 1]. Received: "
                f"passes={passes}, max_pixels={max_pixels}, min_quality={min_quality}"
            )
        self.detector = resolve_detector(detector)
        backend = load_backend(model, crop, scheme)
        self.predictor = Predictor(backend, batch_size, box_padding=box_padding)
        self.passes = int(passes)
        self.min_quality = float(min_quality)
        self.max_pixels = int(max_pixels)
        self.calibration = calibration or QualityCalibration()
        self.name, self.scheme = backend.name, backend.scheme
        self.num_landmarks = backend.num_landmarks

    def align(self, images: ImageLike | Sequence[ImageLike], boxes: Any = None) -> Faces:
        """Finds the landmarks of all faces.

        Args:
            images: One image, or a list or (N, H, W, 3) array of them. An image is a path (see
                ``read_image``) or an array: (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, of
                uint8, uint16, bool, or floating point in [0, 1].
            boxes: Where the faces are, (4,) or (faces, 4) in pixels, each about the landmarks'
                tight box; for several images a list with one such entry per image. None, also as
                an entry, asks the detector.

        Returns:
            The faces of all images in one flat sequence, in the images' order; ``face.image`` is
            the number of a face's image, and ``faces.by_image()`` groups them. Empty where no face
            was found, which is no error; ``faces.left_out`` tells how many detections in each image
            were taken for no face.

        Raises:
            FileNotFoundError: If a path does not exist.
            ValueError: If an image cannot be used (no picture, damaged, too large), a box has no
                area, or boxes are needed and not given.
        """
        sources, given = _listed(images, boxes)
        faces: list[Face] = []
        left_out = [0] * len(sources)
        waiting: list[_Job] = []
        for number, (source, image_boxes) in enumerate(zip(sources, given, strict=True)):
            image = self.read(source)
            found = self._boxes(image, image_boxes)
            if not len(found):
                continue
            waiting.append(_Job(number, _path(source), image, found, image_boxes is None))
            # The last pass looks twice at every face. Few large images wait, or many small ones.
            full = 2 * sum(len(job.boxes) for job in waiting) >= self.predictor.batch_size
            if full or sum(job.image.size for job in waiting) > _MOST_BYTES:
                faces += self._finish(waiting, left_out)
                waiting = []
        faces += self._finish(waiting, left_out)
        names = [_path(source) for source in sources]
        return Faces(faces, names, self.num_landmarks, left_out=left_out)

    def detect(self, image: ImageLike) -> NDArray[np.float32]:
        """Returns the detector's boxes (faces, 4) in image pixels.

        Raises:
            ValueError: If there is no detector, or it returned no boxes of that form.
        """
        if self.detector is None:
            raise ValueError(
                "Without a detector the faces' boxes must be given. Received: detector=None, "
                "boxes=None"
            )
        return check_detections(self.detector(self.read(image)))

    def read(self, image: ImageLike) -> NDArray[np.uint8]:
        """Returns an image as (H, W, 3) uint8 RGB; see ``align`` for what it may be."""
        if isinstance(image, (str, os.PathLike)):
            return read_image(image, self.max_pixels)
        return as_rgb(image, self.max_pixels)

    def shapes(
        self, images: Sequence[np.ndarray], boxes: Any, passes: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Looks at one box per image.

        Args:
            images: (H, W, 3) uint8 RGB; one may stand several times.
            boxes: (faces, 4) in image pixels.
            passes: Other than the aligner's own.

        Returns:
            (faces, stages, n, 2) in image pixels, and the disagreement (faces,) of the two looks,
            see ``tfalign.inference.quality``.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        for _ in range((self.passes if passes is None else passes) - 1):
            boxes = _next_boxes(self.predictor.once(images, boxes)[:, -1], boxes)
        return self.predictor.twice(images, boxes)

    def _boxes(self, image: np.ndarray, boxes: Any) -> NDArray[np.float32]:
        if boxes is None:
            return self.detect(image)
        return check_detections(np.atleast_2d(boxes))

    def _finish(self, jobs: Sequence[_Job], left_out: list[int]) -> Iterator[Face]:
        """Aligns the boxes of several images in common batches.

        Args:
            jobs: The images.
            left_out: Of every image of the call; receives how many detections are left out.
        """
        images = [job.image for job in jobs for _ in job.boxes]
        boxes = [box for job in jobs for box in job.boxes]
        stages, apart = self.shapes(images, boxes)
        quality = self.calibration.quality(apart)
        expected = self.calibration.expected_nme(apart)
        start = 0
        for job in jobs:
            indices = np.arange(start, start + len(job.boxes))
            start += len(job.boxes)
            if job.detected and len(indices):
                tight = np.asarray(geometry.box_from_landmarks(stages[indices, -1]))
                best = indices[distinct(tight, quality[indices])]
                indices = best[quality[best] >= self.min_quality]
                left_out[job.number] = len(best) - len(indices)
            for index in indices:
                yield Face(
                    landmarks=stages[index, -1],
                    box=np.asarray(boxes[index], np.float64),
                    stages=stages[index],
                    quality=float(quality[index]),
                    expected_nme=float(expected[index]),
                    scheme=self.scheme,
                    image=job.number,
                    source=job.source,
                )


@dataclass(frozen=True, eq=False)
class _Job:
    """An image whose faces are waiting for their landmarks."""

    number: int
    source: str | None
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    detected: bool


def _next_boxes(shapes: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Returns the tight boxes (faces, 4) of shapes (faces, n, 2).

    A shape that has collapsed, or is not finite, keeps its box.
    """
    tight = np.asarray(geometry.box_from_landmarks(shapes), np.float64)
    usable = np.isfinite(tight).all(axis=1) & (tight[:, 2:] - tight[:, :2] >= 1.0).all(axis=1)
    return np.where(usable[:, None], tight, boxes)


def _path(image: ImageLike) -> str | None:
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else None


def _listed(images: Any, boxes: Any) -> tuple[list[ImageLike], list[Any]]:
    """Returns a list of images and one of their boxes."""
    several = isinstance(images, (list, tuple)) or (
        isinstance(images, np.ndarray) and images.ndim == 4
    )
    if not several:
        return [images], [boxes]
    listed = list(images)
    if boxes is None:
        return listed, [None] * len(listed)
    if len(boxes) != len(listed):
        raise ValueError(
            "`boxes` must be a list with one entry per image. Received: "
            f"{len(boxes)} entries for {len(listed)} images"
        )
    return listed, list(boxes)
