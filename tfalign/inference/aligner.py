"""From photographs to landmarks in one call."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfalign import geometry, markup
from tfalign.data.readers.image import MAX_PIXELS
from tfalign.inference.backends import Backend, load_backend
from tfalign.inference.detectors import (
    Detector,
    FaceDetector,
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

ImageLike = str | os.PathLike[str] | NDArray[Any] | Image.Image
OnError = Literal["raise", "skip"]


class Aligner:
    """Finds faces and their landmarks.

    >>> aligner = tfalign.inference.Aligner("300w")
    >>> for face in aligner.align("photo.jpg"):
    ...     face.landmarks, face.box, face.stages, face.quality

    A detector's box is a rough estimate of where the landmarks are. The model therefore looks
    ``passes`` times: each pass but the first cuts its crop about the landmarks of the one before,
    as crops were cut in training. The last pass looks twice, at the crop and at its mirror image,
    slightly turned: the mean is the result, the difference gives its quality.

    What this finds, how exactly and in which time stands in ``docs/results/photographs.md``.

    One aligner may be shared by threads: each has its own detector and interpreter, and a Keras
    model is asked by one at a time. An aligner can be pickled, for processes that are spawned. In
    a forked process a ``.tflite`` file works, and a Keras model says that it cannot.

    Args:
        model: Name of a preset that ships with the package, path of a ``.keras`` or ``.tflite``
            file, a Keras model, or a ``Backend``. A ``.keras`` file is loaded in Keras's safe
            mode: it runs no code of its own.
        detector: Whatever ``tfalign.inference.detectors.resolve_detector`` takes: a name
            (``"auto"`` is BlazeFace where the extra ``detector`` is installed, else Viola–Jones);
            a callable from an RGB image (H, W, 3) uint8 to (faces, 4) boxes in pixels, each an
            estimate of the landmarks' tight box; an array (faces, 4) of such boxes, for images
            that have their faces in the same places (they count as detected: of little quality,
            they are left out); or None, where boxes are always given.
        passes: How often crops are cut, at least 1.
        min_quality: Detections of less quality are taken for no face and left out. Given boxes are
            always answered.
        batch_size: Crops per call of the model.
        max_pixels: Larger images are refused, from their header.
        crop, scheme: Used where the model does not tell its own.
        box_padding: See ``Predictor``: for a model trained with boxes that are not its landmarks'.
        calibration: What turns disagreement into quality; None takes the preset's, for other models
            that of ``"300w"``.
        smallest: Smallest face to look for, as a share of the image's shorter side; None takes the
            detector's own value.
        rotations: Whether to search each image in its four quarter turns, for pictures that lie
            on their side and whose file does not tell.
        threads: CPU threads of a ``.tflite`` model and of the detector, for each caller.
        backend: For a preset, ``"tflite"`` runs its int8 file instead of the Keras model: less
            time on a CPU, nearly the same landmarks, no ``stages`` but the last (figures in
            ``docs/results/photographs.md``). For other models None, or what they run on.

    Attributes:
        name: The model's.
        detector: The detector, or None.
        scheme: What its points are called, or None.
        num_landmarks: n.

    Raises:
        FileNotFoundError: If the model's file does not exist.
        ValueError: If an argument is not as above.
    """

    def __init__(
        self,
        model: str | Path | keras.Model | Backend = "300w",
        detector: str | os.PathLike[str] | Detector | NDArray[Any] | None = "auto",
        passes: int = 2,
        min_quality: float = 0.2,
        batch_size: int = 32,
        max_pixels: int = MAX_PIXELS,
        crop: Any = None,
        scheme: str | markup.LandmarkScheme | None = None,
        box_padding: Sequence[float] | None = None,
        calibration: QualityCalibration | None = None,
        smallest: float | None = None,
        rotations: bool = False,
        threads: int = 1,
        backend: Literal["keras", "tflite"] | None = None,
    ) -> None:
        if passes < 1 or max_pixels < 1 or not 0 <= min_quality <= 1:
            raise ValueError(
                "`passes` and `max_pixels` must be positive and `min_quality` in [0, 1]. Received: "
                f"passes={passes}, max_pixels={max_pixels}, min_quality={min_quality}"
            )
        self.detector = resolve_detector(detector, smallest, threads)
        runs = load_backend(model, crop, scheme, threads, backend)
        self.predictor = Predictor(runs, batch_size, box_padding=box_padding)
        self.passes = int(passes)
        self.min_quality = float(min_quality)
        self.max_pixels = int(max_pixels)
        self.rotations = bool(rotations)
        self.calibration = calibration or runs.calibration or QualityCalibration.of_preset()
        self.name, self.scheme = runs.name, runs.scheme
        self.num_landmarks = runs.num_landmarks

    def align(
        self,
        images: ImageLike | Iterable[ImageLike],
        boxes: Any = None,
        on_error: OnError = "raise",
    ) -> Faces:
        """Finds the landmarks of all faces.

        Args:
            images: One image, or any iterable or (N, H, W, 3) array of them. An image is a path
                (see ``read_image``), or whatever ``as_rgb`` takes: a Pillow picture, or an array
                or tensor (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA of uint8, uint16,
                bool, or floating point in [0, 1].
            boxes: Where the faces are, (4,) or (faces, 4) in pixels, each about the landmarks'
                tight box; for several images an iterable with one such entry per image. None, also
                as an entry, asks the detector.
            on_error: ``"raise"``, or ``"skip"``: an image that cannot be used has no faces, and
                ``faces.errors`` tells why.

        Returns:
            The faces of all images in one flat sequence, in the images' order; ``face.image`` is
            the number of a face's image, and ``faces.by_image()`` groups them. Empty where no face
            was found, which is no error; ``faces.left_out`` tells how many detections in each image
            were taken for no face.

        Raises:
            FileNotFoundError: If a path does not exist.
            ValueError: If an image cannot be used (no picture, damaged, too large), a box has no
                area or does not lie in its image, or boxes are needed and not given.
        """
        if _is_one(images):
            images, boxes = [images], [boxes]  # type: ignore[list-item]
        return Faces.joined(self.align_stream(images, boxes, on_error), self.num_landmarks)

    def align_stream(
        self,
        images: Iterable[ImageLike],
        boxes: Iterable[Any] | None = None,
        on_error: OnError = "raise",
    ) -> Iterator[Faces]:
        """Yields the faces of one image after the other, reading a few images ahead.

        Args:
            images: Any iterable of images, also an endless one; see ``align``. An array may be
                filled anew for the next image, as cameras do it: what waits is copied.
            boxes: One entry per image, see ``align``.
            on_error: See ``align``.

        Yields:
            One ``Faces`` per image, in order; ``first`` is the image's number.

        Raises:
            ValueError, FileNotFoundError: As ``align``; what was read before has been yielded.
        """
        if on_error not in ("raise", "skip"):
            raise ValueError(f"`on_error` must be 'raise' or 'skip'. Received: {on_error!r}")
        if boxes is not None and hasattr(boxes, "__len__") and hasattr(images, "__len__"):
            _check_counts(len(boxes), len(images))
        waiting: list[_Job] = []
        for number, (source, given) in enumerate(_paired(images, boxes)):
            try:
                waiting.append(self._job(number, source, given))
            except (ValueError, OSError) as error:
                if on_error == "raise":
                    yield from self._finish(waiting)
                    raise
                waiting.append(_Job(number, _path(source), error=_told(error)))
            # The last pass looks twice at every face. Few large images wait, or many small ones.
            full = 2 * sum(len(job.boxes) for job in waiting) >= self.predictor.batch_size
            size = sum(job.views[0].size for job in waiting if job.views)
            if full or size > _MOST_BYTES or len(waiting) >= self.predictor.batch_size:
                yield from self._finish(waiting)
                waiting = []
        yield from self._finish(waiting)

    def detect(self, image: ImageLike) -> NDArray[np.float32]:
        """Returns estimates of the landmarks' tight boxes (faces, 4) in image pixels.

        They are the detector's boxes. Where the model's points do not lie on the whole face, those
        of a built-in detector are fitted to them, by the rule that training has left in the model.

        Raises:
            ValueError: If there is no detector, or it returned no boxes of that form.

        Warns:
            UserWarning: If it is not known where in a face the model's points lie.
        """
        if self.detector is None:
            raise ValueError(
                "Without a detector the faces' boxes must be given. Received: detector=None, "
                "boxes=None"
            )
        found = check_detections(self.detector(self.read(image)))
        padding = self.predictor.backend.box_padding
        # The library's detectors find whole faces, whatever the model's points lie on.
        if padding is None or not isinstance(self.detector, FaceDetector):
            return found
        if padding["face"] is None:
            warnings.warn(
                "Training found too few of its faces with a detector to know how this model's "
                "points lie in a detected face: give boxes, or a detector of your own that returns "
                "the tight boxes of these points.",
                stacklevel=2,
            )
            return found
        return np.asarray(geometry.pad_box(found, padding["face"]), np.float32)

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

    def _job(self, number: int, source: ImageLike, given: Any) -> _Job:
        """Reads an image and finds where to look in it."""
        image = self.read(source)
        # It waits for others while its owner may fill the array with the next picture. What nobody
        # can write stays as it is.
        if image.base is not None or (image is source and image.flags.writeable):
            image = image.copy()
        if given is not None:
            boxes = _check_given(check_detections(np.array(given, np.float32, ndmin=2)), image)
            return _Job(number, _path(source), (image,), boxes, np.zeros(len(boxes), int), False)
        views = [image]
        if self.rotations:
            views += [np.ascontiguousarray(np.rot90(image, turn)) for turn in (1, 2, 3)]
        found = [self.detect(view) for view in views]
        turns = np.repeat(np.arange(len(views)), [len(boxes) for boxes in found])
        return _Job(number, _path(source), tuple(views), np.concatenate(found), turns, True)

    def _finish(self, jobs: Sequence[_Job]) -> Iterator[Faces]:
        """Aligns the boxes of several images in common batches."""
        images = [job.views[turn] for job in jobs for turn in job.turns]
        boxes = np.array([box for job in jobs for box in job.boxes], np.float64).reshape(-1, 4)
        stages, apart = self.shapes(images, boxes) if len(images) else (boxes, boxes)
        quality = self.calibration.quality(apart)
        expected = self.calibration.expected_nme(apart)
        start = 0
        for job in jobs:
            indices = np.arange(start, start + len(job.boxes))
            start += len(job.boxes)
            shapes = [job.upright(stages[i], job.turns[k]) for k, i in enumerate(indices)]
            starts = [job.upright_box(boxes[i], job.turns[k]) for k, i in enumerate(indices)]
            kept, left_out = np.arange(len(indices)), 0
            if job.detected and len(indices):
                tight = np.stack([geometry.box_from_landmarks(shape[-1]) for shape in shapes])
                best = distinct(np.asarray(tight, np.float64), quality[indices])
                kept = best[quality[indices[best]] >= self.min_quality]
                left_out = len(best) - len(kept)
            faces = [
                Face(
                    landmarks=shapes[k][-1],
                    box=starts[k],
                    stages=shapes[k],
                    quality=float(quality[indices[k]]),
                    expected_nme=float(expected[indices[k]]),
                    scheme=self.scheme,
                    image=job.number,
                    source=job.source,
                )
                for k in kept
            ]
            if not job.detected:
                self._hint(job, faces)
            height, width = job.views[0].shape[:2] if job.views else (0, 0)
            yield Faces(
                faces,
                [job.source],
                self.num_landmarks,
                job.number,
                [left_out],
                [job.error],
                [(height, width) if job.views else None],
            )

    def _hint(self, job: _Job, faces: Sequence[Face]) -> None:
        """Warns where given boxes show no face but would, read as (x, y, width, height)."""
        height, width = job.views[0].shape[:2]
        for face in faces:
            x, y, w, h = face.box
            if face.quality >= self.min_quality or x + w > width or y + h > height or w * h <= 0:
                continue
            _, apart = self.shapes([job.views[0]], [[x, y, x + w, y + h]])
            if self.calibration.quality(apart)[0] >= 0.5:
                warnings.warn(
                    f"The box {face.box.tolist()} shows no face, but would as (x, y, width, "
                    "height): boxes are (x0, y0, x1, y1).",
                    stacklevel=4,
                )


@dataclass(frozen=True, eq=False)
class _Job:
    """An image whose faces are waiting for their landmarks.

    Attributes:
        number, source: The image's.
        views: The image, and its quarter turns (``np.rot90``) where these are searched.
        boxes: (faces, 4), each in the pixels of its view.
        turns: (faces,) numbers of the views.
        detected: Whether a detector found the boxes.
        error: Why the image cannot be used.
    """

    number: int
    source: str | None
    views: tuple[NDArray[np.uint8], ...] = ()
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    turns: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    detected: bool = True
    error: str | None = None

    def upright(self, points: NDArray[np.float64], turn: int) -> NDArray[np.float64]:
        """Maps points (…, 2) from a view's pixels to the image's."""
        for _ in range(turn):
            # Back by a quarter turn; ``turn`` of them began from a picture whose width is this.
            width = self.views[0].shape[1] if turn % 2 else self.views[0].shape[0]
            points, turn = np.stack([width - points[..., 1], points[..., 0]], axis=-1), turn - 1
        return points

    def upright_box(self, box: NDArray[np.float64], turn: int) -> NDArray[np.float64]:
        """Maps a box (4,) likewise."""
        corners = self.upright(box.reshape(2, 2), turn)
        return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def _next_boxes(shapes: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Returns the tight boxes (faces, 4) of shapes (faces, n, 2).

    A shape that has collapsed, or is not finite, keeps its box.
    """
    tight = np.asarray(geometry.box_from_landmarks(shapes), np.float64)
    usable = np.isfinite(tight).all(axis=1) & (tight[:, 2:] - tight[:, :2] >= 1.0).all(axis=1)
    return np.where(usable[:, None], tight, boxes)


def _check_given(boxes: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns given boxes; raises ``ValueError`` if one cannot be meant in the image's pixels."""
    height, width = image.shape[:2]
    for box in boxes:
        outside = box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0
        if outside or (box[2:] <= 1).all():
            raise ValueError(
                "A box must lie in its image: (x0, y0, x1, y1) in pixels, no shares of its size. "
                f"Received: {box.tolist()} in an image of {width}×{height} pixels"
            )
    return boxes


def _path(image: ImageLike) -> str | None:
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else None


def _told(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _is_one(images: Any) -> bool:
    """Whether this is an image and no iterable of images."""
    if hasattr(images, "__array__"):
        # Tensors of all libraries iterate over their rows, as arrays do. Four dimensions are a
        # batch; one is no picture but a column of them, such as a table's paths.
        return np.ndim(images) not in (1, 4)
    return isinstance(images, (str, os.PathLike, Image.Image)) or not isinstance(images, Iterable)


def _check_counts(boxes: int | str, images: int | str) -> None:
    if boxes != images:
        raise ValueError(
            f"`boxes` must have one entry per image. Received: {boxes} entries for {images} images"
        )


def _paired(images: Iterable[Any], boxes: Iterable[Any] | None) -> Iterator[tuple[Any, Any]]:
    """Yields images with their boxes; raises ``ValueError`` where one of them ends first."""
    if boxes is None:
        yield from ((image, None) for image in images)
        return
    nothing = object()
    for count, (image, box) in enumerate(itertools.zip_longest(images, boxes, fillvalue=nothing)):
        if image is nothing or box is nothing:
            one = f"only {count}"
            _check_counts(*((one, "more") if box is nothing else ("more", one)))
        yield image, box
