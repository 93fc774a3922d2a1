"""The one record that every data set is read into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tfalign import markup


@dataclass(frozen=True, slots=True)
class Sample:
    """One annotated face.

    Attributes:
        image: (height, width, 3) uint8, RGB.
        landmarks: (n, 2) float32, (x, y) in image pixels, 0-based, pixel ``i`` covering
            ``[i, i + 1)`` (see ``tfalign.geometry``).
        visible: (n,) bool. True where the set does not annotate visibility.
        annotated: (n,) bool. False where the set says nothing of a point: it then lies at (0, 0),
            is not visible, and counts in no loss, metric or mean shape. None: all are.
        box: (4,) float32, ``(x0, y0, x1, y1)`` in image pixels.
        name: Unique within the data set: the image's relative path, with a suffix where one
            image holds several faces.
        scheme: The landmark scheme; a name such as ``"wflw98"`` becomes the scheme that it names.
        box_source: ``"file"`` where the data set gives the box, ``"landmarks"`` where it is the
            tight box of the landmarks.
        attributes: Whatever else the set says of this face, e.g. WFLW's six flags.
        box_missed: Whether the set gives a box that misses the face: the landmarks' then takes its
            place, wherever the set's own is asked for.
    """

    image: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    box: np.ndarray
    name: str
    scheme: markup.LandmarkScheme
    box_source: Literal["file", "landmarks"] = "file"
    attributes: Mapping[str, Any] = field(default_factory=dict)
    annotated: np.ndarray = None  # type: ignore[assignment]  # Filled in when made.
    box_missed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "scheme", markup.get(self.scheme))
        if self.annotated is None:
            object.__setattr__(self, "annotated", np.ones(len(self.landmarks), bool))
        if len(self.annotated) != len(self.landmarks):
            raise ValueError(
                "`annotated` must have a flag for each landmark; with other landmarks give other "
                f"flags, or None if all are annotated. Received: {len(self.annotated)} flags, "
                f"{len(self.landmarks)} landmarks"
            )
