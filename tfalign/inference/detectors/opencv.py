"""Detectors that OpenCV brings along: Viola–Jones, and YuNet for its model file."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tfalign.inference.detectors.boxes import BoxRule
from tfalign.inference.detectors.search import FaceDetector, ViewSearch
from tfalign.inference.per_thread import PerThread


class HaarDetector(FaceDetector):
    """OpenCV's Viola–Jones cascade for frontal faces, which ships inside the OpenCV wheel.

    A cascade's square reaches from above the brows to below the lips and does not bound the
    landmarks; ``RULE`` makes it an estimate of their tight box. About that, a box's centre lies off
    the landmarks' by a tenth of its size across: ``Aligner`` cuts its crops twice for that reason.

    Args:
        smallest: Smallest face as a share of the image's shorter side.
        neighbors: Overlapping raw detections that make one face.

    Raises:
        ValueError: If an argument is outside its range.
    """

    name = "haar"
    rule = BoxRule(
        padding=(-0.068, -0.228, -0.068, 0.072),
        faces=334,
        center_spread=(0.10, 0.05),
        size_spread=0.09,
        fitted_on="Helen's training part (300-W); the spreads: AFW and Helen's first 750 names",
    )
    CASCADE = "haarcascade_frontalface_alt2.xml"
    WINDOW = 20  # the side in pixels that the cascade was trained at
    ENOUGH = 60  # a larger picture is reduced until its smallest face has this side

    def __init__(self, smallest: float = 0.1, neighbors: int = 3) -> None:
        if not 0 < smallest <= 1 or neighbors < 0:
            raise ValueError(
                "`smallest` must be in (0, 1] and `neighbors` not negative. Received: "
                f"smallest={smallest}, neighbors={neighbors}"
            )
        self.smallest = smallest
        self.neighbors = neighbors
        # The stubs of OpenCV do not know its data folder.
        folder = Path(cv2.data.haarcascades)  # type: ignore[attr-defined]
        self._cascades = PerThread(
            functools.partial(cv2.CascadeClassifier, str(folder / self.CASCADE))
        )

    def raw(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        # A cascade gains nothing from more pixels, and a photograph of 24 megapixels costs seconds.
        factor = max(1.0, self.smallest * min(grey.shape) / self.ENOUGH)
        if factor > 1:
            height, width = (max(1, round(length / factor)) for length in grey.shape)
            grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
        if min(grey.shape) < self.WINDOW:
            return np.zeros((0, 4), np.float32)
        side = max(self.WINDOW, round(self.smallest * min(grey.shape)))
        found: Any = self._cascades.get().detectMultiScale(
            grey, scaleFactor=1.1, minNeighbors=self.neighbors, minSize=(side, side)
        )
        reduced = np.array([image.shape[1] / grey.shape[1], image.shape[0] / grey.shape[0]])
        squares = np.asarray(found, np.float32).reshape(-1, 4) * np.tile(reduced, 2)
        return np.concatenate([squares[:, :2], squares[:, :2] + squares[:, 2:]], axis=1)


class YuNetDetector(ViewSearch):
    """YuNet, a small convolutional detector that OpenCV runs from its ONNX file.

    Args:
        path: The model file, ``face_detection_yunet_2023mar.onnx`` of OpenCV's model zoo (MIT).
            Neither OpenCV's wheel nor this package contains it.
        smallest, score: See ``ViewSearch``.

    Reference:
        Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research
        2023.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If OpenCV cannot run it, or an argument is outside its range.
    """

    name = "yunet"
    # Not fitted, for want of the model file: YuNet's boxes are those of its training set, WIDER
    # FACE, from the forehead to the chin; the second pass of ``Aligner`` mends what is left.
    rule = BoxRule((0.0, -0.15, 0.0, 0.0), 0, None, None, "no faces: a reading of the paper")
    side = 640
    seen = 12

    def __init__(
        self, path: str | os.PathLike[str], smallest: float | None = None, score: float = 0.6
    ) -> None:
        super().__init__(smallest, score)
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"YuNet's model file must exist. Received: path={str(path)!r}")
        self._networks = PerThread(functools.partial(_yunet, str(path), self.side, score))
        self._networks.get()

    def detect_view(self, view: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any]]:
        # It takes BGR as OpenCV's other readers give it.
        _, found = self._networks.get().detect(cv2.cvtColor(view, cv2.COLOR_RGB2BGR))
        rows = np.zeros((0, 15)) if found is None else np.asarray(found, np.float64)
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        return boxes, rows[:, 14]


def _yunet(path: str, side: int, score: float) -> Any:
    try:
        return cv2.FaceDetectorYN.create(path, "", (side, side), score, 0.3, 5000)
    except cv2.error as error:
        raise ValueError(f"{path} is no YuNet model that OpenCV runs: {error}") from error
