"""Which box a face is cropped by: the data set's, the landmarks' own, or a detector's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tfalign import geometry
from tfalign.data.sample import Sample
from tfalign.inference.detectors import Detector, HaarDetector, overlap

BoxSource = Literal["landmarks", "file", "detector"]
MINIMUM_OVERLAP = 0.3
"""A detection belongs to an annotated face if their intersection over union reaches this."""


def check_box_source(source: str) -> None:
    """Raises ``ValueError`` unless ``source`` is one of ``BoxSource``."""
    if source not in get_args(BoxSource):
        raise ValueError(
            f"`box` must be one of {', '.join(get_args(BoxSource))}. Received: box={source!r}"
        )


@dataclass(frozen=True, eq=False)
class ChosenBoxes:
    """Boxes for a list of faces.

    Attributes:
        boxes: (faces, 4) float32, image pixels.
        missed: (faces,) bool: the detector found no box for this face, and ``boxes`` holds the
            fallback.
    """

    boxes: NDArray[np.float32]
    missed: NDArray[np.bool_]


def choose_boxes(
    samples: Sequence[Sample], source: BoxSource, detector: Detector | None = None
) -> ChosenBoxes:
    """Returns the box of each sample's face.

    Args:
        samples: The faces.
        source: ``"landmarks"``: tight box of the true landmarks. ``"file"``: the data set's own.
            ``"detector"``: of the detections the one that overlaps the landmarks' box most, if by
            ``MINIMUM_OVERLAP``; a face that the detector misses gets the data set's box, or the
            landmarks' where there is none (as TSR's Table 1 does), and is counted.
        detector: For ``"detector"``; None uses ``HaarDetector``.

    Raises:
        ValueError: If the source is unknown, or is ``"file"`` and the data set has no box.
    """
    check_box_source(source)
    boxes = np.empty((len(samples), 4), np.float32)
    missed = np.zeros(len(samples), np.bool_)
    if source == "detector" and detector is None:
        detector = HaarDetector()
    for index, sample in enumerate(samples):
        tight = np.asarray(geometry.box_from_landmarks(sample.landmarks), np.float32)
        boxes[index] = tight
        if source == "file":
            if sample.box_source != "file":
                raise ValueError(
                    f"The data set gives no box for {sample.name!r}, so box='file' cannot be used; "
                    "use box='landmarks' or box='detector'. Received: box='file'"
                )
            boxes[index] = sample.box
        elif detector is not None and source == "detector":
            found = detector(sample.image)
            shares = overlap(found, tight) if len(found) else np.zeros(1)
            if shares.max() >= MINIMUM_OVERLAP:
                boxes[index] = found[int(shares.argmax())]
            else:
                missed[index] = True
                boxes[index] = sample.box if sample.box_source == "file" else tight
    return ChosenBoxes(boxes, missed)
