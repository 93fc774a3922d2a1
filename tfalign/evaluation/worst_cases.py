"""Keeping the pictures of the worst faces while a data set passes by."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfalign import geometry
from tfalign.data.sample import Sample
from tfalign.evaluation.boxes import dividing_box
from tfalign.evaluation.protocols import Floats, Protocol
from tfalign.inference.crops import cut_crop

PICTURE_SIZE = 224
MARGIN = 0.25


@dataclass(frozen=True, eq=False)
class Case:
    """One face to look at.

    Attributes:
        name: The sample's name.
        error: Its NME, a fraction.
        image: (224, 224, 3) uint8, the face with a margin.
        predicted, truth: (n, 2) landmarks in that picture's pixels.
    """

    name: str
    error: float
    image: NDArray[np.uint8]
    predicted: Floats
    truth: Floats


class WorstCases:
    """A bounded collection of the faces with the largest NME.

    Args:
        count: How many to keep; 0 keeps none.
        protocol: Decides the error. Protocols that divide by a box rank by the same quotient.
    """

    def __init__(self, count: int, protocol: Protocol) -> None:
        if count < 0:
            raise ValueError(f"`worst` must not be negative. Received: worst={count}")
        self._count = count
        self._protocol = protocol
        self._heap: list[tuple[float, int, Case]] = []
        self._seen = 0

    def offer(self, sample: Sample, predicted: Any) -> None:
        """Considers one face; ``predicted`` is (n, 2) in image pixels, NaN for missing points."""
        self._seen += 1
        if self._count == 0:
            return
        predicted = np.asarray(predicted, np.float64)
        truth = np.where(sample.annotated[:, None], sample.landmarks.astype(np.float64), np.nan)
        counted = np.isfinite(predicted).all(axis=-1) & sample.annotated
        if self._protocol.visible_only:
            counted &= sample.visible
        distances = np.linalg.norm(predicted - truth, axis=-1)[counted]
        own = dividing_box(sample, self._protocol)
        boxes = np.asarray(sample.box if own is None else own, np.float64)[None]
        error = float(distances.mean() / self._protocol.normalizers(truth[None], boxes)[0])
        if len(self._heap) == self._count and error <= self._heap[0][0]:
            return
        entry = (error, -self._seen, self._picture(sample, predicted, truth, error))
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases, the worst first."""
        return tuple(case for _, _, case in sorted(self._heap, key=lambda item: -item[0]))

    def _picture(self, sample: Sample, predicted: Floats, truth: Floats, error: float) -> Case:
        box = geometry.box_from_landmarks(truth[sample.annotated])
        region = geometry.square_box(geometry.pad_box(box, (MARGIN,) * 4))
        matrix = np.asarray(geometry.crop_from_image(region, (PICTURE_SIZE, PICTURE_SIZE)))
        size = (PICTURE_SIZE, PICTURE_SIZE)
        picture = np.asarray(cut_crop(sample.image, matrix, size, border="zero"), np.uint8)
        return Case(
            sample.name,
            error,
            picture,
            np.asarray(geometry.transform_points(matrix, predicted), np.float64),
            np.asarray(geometry.transform_points(matrix, truth), np.float64),
        )
