"""Following faces through the frames of a video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfalign.inference.aligner import Aligner
from tfalign.inference.detectors import distinct, same_face
from tfalign.inference.face import Face
from tfalign.inference.faces import Faces
from tfalign.inference.shape_filter import ShapeFilter


class Tracker:
    """Finds faces in the first frame and follows them: a detector's box only starts a face.

    In every later frame the crop is cut about the landmarks of the frame before, in the model's
    own convention, as in training; the model looks once straight and once mirrored, and a
    ``ShapeFilter`` takes the jitter out. A face whose quality falls below ``min_quality`` is lost;
    the detector then looks again in the same frame. It also looks every ``detect_every`` frames for
    faces that have come in, and in every frame while there is no face.

    Args:
        aligner: What finds faces and landmarks; it must have a detector.
        detect_every: Frames from one detection to the next.
        smooth: Whether to filter.
        min_quality: Quality below which a face is lost, and a detection no face. 0.5: the face is
            more likely wrong than right.
        max_faces: Most faces at a time, the best detections first; None for no limit.

    Attributes:
        detections: How often the detector was asked since ``reset``.
        left_out: How many detections were left out because of their quality, counted in every frame
            anew.
        seconds: The last frame's time, None before the first.

    Raises:
        ValueError: If an argument is out of range or the aligner has no detector.
    """

    def __init__(
        self,
        aligner: Aligner,
        detect_every: int = 10,
        smooth: bool = True,
        min_quality: float = 0.5,
        max_faces: int | None = None,
    ) -> None:
        few = max_faces is not None and max_faces < 1
        if detect_every < 1 or not 0 <= min_quality <= 1 or few:
            raise ValueError(
                "`detect_every` and `max_faces` must be positive and `min_quality` in [0, 1]. "
                f"Received: detect_every={detect_every}, min_quality={min_quality}, "
                f"max_faces={max_faces}"
            )
        if aligner.detector is None:
            raise ValueError("Tracking needs an Aligner with a detector. Received: detector=None")
        self.aligner = aligner
        self.detect_every = detect_every
        self.smooth = smooth
        self.min_quality = min_quality
        self.max_faces = max_faces
        self.reset()

    def reset(self) -> None:
        """Forgets all faces, for another video."""
        self.frame = 0
        self.detections = 0
        self.left_out = 0
        self._tracks: list[_Track] = []
        self._next_number = 0
        self.seconds: float | None = None

    def update(self, frame: Any, seconds: float) -> Faces:
        """Follows the faces into the next frame.

        Args:
            frame: As an image of ``Aligner.align``.
            seconds: The frame's time, later than the last one's.

        Returns:
            The frame's faces by track number; ``face.image`` is the frame's number.

        Raises:
            ValueError: If the frame cannot be used or time does not advance.
        """
        if self.seconds is not None and seconds <= self.seconds:
            raise ValueError(
                f"`seconds` must be later than the last frame's {self.seconds}. Received: "
                f"seconds={seconds}"
            )
        image = self.aligner.read(frame)
        followed = self._follow(image)
        lost = len(followed) < len(self._tracks)
        self._tracks = followed
        if lost or not followed or self.frame % self.detect_every == 0:
            self._tracks += self._arrivals(image)
        faces = [self._face(track, seconds) for track in self._tracks]
        self.seconds = seconds
        self.frame += 1
        return Faces(faces, [None], self.aligner.num_landmarks, first=self.frame - 1)

    def _follow(self, image: NDArray[np.uint8]) -> list[_Track]:
        """Looks where the faces were; returns the tracks that are still faces, of their own."""
        if not self._tracks:
            return []
        boxes = np.stack([track.face.landmark_box for track in self._tracks])
        found = self._look(image, boxes, passes=1)
        quality = np.array([face.quality for face in found])
        tight = np.stack([face.landmark_box for face in found])
        # Two tracks that have run into each other are one face.
        apart = distinct(tight, quality)
        return [
            replace(self._tracks[index], face=found[index])
            for index in apart
            if quality[index] >= self.min_quality and _has_area(tight[index])
        ]

    def _arrivals(self, image: NDArray[np.uint8]) -> list[_Track]:
        """Detects faces that are not followed yet."""
        self.detections += 1
        boxes = self.aligner.detect(image)
        for track in self._tracks:
            boxes = boxes[~same_face(boxes, track.face.landmark_box)]
        if not len(boxes):
            return []
        found = self._look(image, boxes, passes=None)
        good = [face for face in found if face.quality >= self.min_quality]
        self.left_out += len(found) - len(good)
        faces = [face for face in good if _has_area(face.landmark_box)]
        # The detector's box may have been wide of the face: compare the landmarks as well.
        known = [track.face.landmark_box for track in self._tracks]
        chosen: list[int] = []
        for index in sorted(range(len(faces)), key=lambda index: -faces[index].quality):
            others = known + [faces[other].landmark_box for other in chosen]
            if self.max_faces is not None and len(others) >= self.max_faces:
                break
            if not others or not same_face(np.stack(others), faces[index].landmark_box).any():
                chosen.append(index)
        # Numbered in the detector's order, which does not change with a hair's breadth of quality.
        first = self._next_number
        self._next_number += len(chosen)
        return [
            _Track(first + number, faces[index], ShapeFilter())
            for number, index in enumerate(sorted(chosen))
        ]

    def _look(
        self, image: NDArray[np.uint8], boxes: NDArray[Any], passes: int | None
    ) -> Sequence[Face]:
        """Aligns boxes; the faces' landmarks are the model's, unfiltered."""
        stages, apart = self.aligner.shapes([image] * len(boxes), boxes, passes)
        quality = self.aligner.calibration.quality(apart)
        expected = self.aligner.calibration.expected_nme(apart)
        return [
            Face(
                landmarks=stages[index, -1],
                box=np.asarray(box, np.float64),
                stages=stages[index],
                quality=float(quality[index]),
                expected_nme=float(expected[index]),
                scheme=self.aligner.scheme,
            )
            for index, box in enumerate(boxes)
        ]

    def _face(self, track: _Track, seconds: float) -> Face:
        face = track.face
        landmarks = track.filter(face.landmarks, seconds) if self.smooth else face.landmarks
        return replace(
            face, landmarks=landmarks, image=self.frame, track=track.number, seconds=seconds
        )


@dataclass(frozen=True, eq=False)
class _Track:
    """One person: the face where it was last seen, unfiltered, and the filter of its landmarks."""

    number: int
    face: Face
    filter: ShapeFilter = field(repr=False)


def _has_area(box: NDArray[Any]) -> bool:
    return bool(np.isfinite(box).all() and (box[2:] - box[:2] >= 1.0).all())
