"""Which box a face is cropped by: the data set's, the landmarks' own, a detector's, or one of these
spoiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from tfalign import geometry, markup
from tfalign.data import sets
from tfalign.data.sample import Sample
from tfalign.evaluation.protocols import Floats, Protocol, listed
from tfalign.inference.detectors import (
    Detector,
    HaarDetector,
    blazeface,
    fit_box_rule,
    overlap,
    resolve_detector,
)

BoxSource = Literal["landmarks", "file", "detector"]
MINIMUM_OVERLAP = 0.3
"""A detection belongs to an annotated face if their intersection over union reaches this."""


def check_box_source(source: str) -> None:
    """Raises ``ValueError`` unless ``source`` is one of ``BoxSource``."""
    if source not in get_args(BoxSource):
        raise ValueError(
            f"`box` must be one of {', '.join(get_args(BoxSource))}. Received: box={source!r}"
        )


def box_of(faces: Any) -> BoxSource:
    """Returns where the boxes of faces come from: ``"file"`` if all are the data set's own.

    Faces that their own box misses do not count (``Sample.box_missed``): one wrong line of a list
    would make WFLW's boxes those of the landmarks.

    Args:
        faces: A reader or a list of samples. Of anything else, e.g. a generator, nothing is known
            before it is read, and the answer is ``"landmarks"``.
    """
    known = getattr(faces, "records", faces if isinstance(faces, Sequence) else ())
    found = {f.box_source for f in known if not f.box_missed}
    return "file" if found == {"file"} else "landmarks"


def trained_box(parts: Sequence[Any]) -> BoxSource | None:
    """Returns the box source of faces that a model is trained on; None where they have several.

    Args:
        parts: Readers; of anything else, e.g. crops, it is not known.
    """
    found = {box_of(part) if hasattr(part, "records") else None for part in parts}
    return found.pop() if len(found) == 1 else None


RULE_FACES = 48
"""Photographs in which a detector looks for the faces of a training."""


def fit_box_padding(
    parts: Sequence[Any], scheme: markup.LandmarkScheme | None, detector: Detector | None = None
) -> dict[str, list[float] | None] | None:
    """Learns from training faces how other boxes become the boxes that a model is trained with.

    `Aligner` starts at a detector's box, an estimate of the tight box of 68 points of the whole
    face, and goes on from the tight box of the points that it found. The box of five inner points,
    or one that an annotation tool has drawn, is neither.

    Args:
        parts: Readers; of anything else, e.g. crops, nothing is known.
        scheme: Of the model.
        detector: Finds faces; None is BlazeFace where it is installed, else Viola–Jones.

    Returns:
        None where both are the same, else

        - ``"points"``: (left, top, right, bottom), the median by which the training box reaches
          beyond the tight box of its points, in fractions of that;
        - ``"face"``: likewise, the tight box of the points beyond a face's; None where no face was
          found in ``RULE_FACES`` photographs.
    """
    records = [
        (part, record)
        for part in parts
        for record in getattr(part, "records", ())
        if np.all(record.annotated)
    ]
    whole_face = scheme in (markup.IBUG68, markup.WFLW98)
    if not records or (whole_face and trained_box(parts) == "landmarks"):
        return None
    tight = np.array([geometry.box_from_landmarks(record.landmarks) for _, record in records])
    boxes = np.array([record.box for _, record in records])
    usable = np.asarray((tight[:, 2:] > tight[:, :2]).all(axis=1))
    if not usable.any():
        return None
    points = fit_box_rule(tight[usable], boxes[usable], "the training faces").padding
    face = (0.0,) * 4 if whole_face else _face_padding(records, tight, usable, detector)
    return {"points": list(points), "face": None if face is None else list(face)}


def _face_padding(
    records: Sequence[tuple[Any, Any]],
    tight: NDArray[Any],
    usable: NDArray[Any],
    detector: Detector | None,
) -> tuple[float, float, float, float] | None:
    """Fits the tight box of the points to detected faces; None where fewer than five were found."""
    # Not "auto", whose advice on what to install belongs to the search for faces.
    detector = detector or resolve_detector("blazeface" if blazeface.is_available() else "haar")
    assert detector is not None
    chosen = np.flatnonzero(usable)
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, RULE_FACES).round().astype(int))]
    found, belongs = [], []
    for index in chosen:
        try:
            picture = records[index][1].image.load()
        except (ValueError, OSError):
            continue  # Cropping will name it, or leave it out as it was told to.
        detected = np.asarray(detector(picture), np.float64).reshape(-1, 4)
        middle = (tight[index, :2] + tight[index, 2:]) / 2
        holds = ((detected[:, :2] < middle) & (middle < detected[:, 2:])).all(axis=1)
        if holds.sum() == 1:
            found.append(detected[holds][0])
            belongs.append(tight[index])
    if len(found) < 5:
        return None
    return fit_box_rule(found, belongs, "the training faces").padding


def usual_box(model: Any, faces: Any) -> BoxSource:
    """Returns the box source that a model is evaluated with where nobody says another.

    Args:
        model: A backend or a model. One that stores what it was trained with (``box``) decides.
            For others, e.g. files of version 0.1, it is what training takes by default: the data
            set's own box, except for sets whose usual box is the landmarks' (300-W).
        faces: See ``box_of``.

    Raises:
        ValueError: If the model was trained with the boxes of a detector that is not built in.
    """
    stored = getattr(model, "box", None)
    if stored is None:
        dataset = getattr(faces, "dataset", None)
        usual = {**sets.SETS, "w300": sets.get("300w")}.get(str(dataset))
        tight = usual is not None and usual.boxes[0] != "file"
        return "landmarks" if tight else box_of(faces)
    if stored not in get_args(BoxSource):
        raise ValueError(
            f"The model was trained on the boxes of the detector {stored!r}: give `box`, one of "
            f"{', '.join(get_args(BoxSource))}, and with 'detector' the `detector`. Received: "
            "box=None"
        )
    return cast(BoxSource, stored)


def landmarks_box(face: Any) -> NDArray[np.float32]:
    """Returns the box around a face's landmarks that models are trained with, (4,) image pixels.

    It is the tight box of the points that are annotated, unless the face's box is already one of
    its landmarks; where points are missing, that may hold their likely places, too (see
    `tfalign.data.readers.union`).

    Args:
        face: A sample or a record.
    """
    if face.box_source == "landmarks":
        return np.asarray(face.box, np.float32)
    return np.asarray(geometry.box_from_landmarks(face.landmarks[face.annotated]), np.float32)


def divides_by_its_box(face: Any, protocol: Protocol) -> bool:
    """Whether a face's error may be divided by its box, where the protocol does that.

    A published set's protocol divides by the set's own box alone; points of one's own by the box
    that there is: the file's, or else the points' tight one.

    Args:
        face: A sample or a record.
        protocol: How it is scored.
    """
    return bool(face.box_source == "file" or not protocol.dataset)


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


def fits_faces(padding: Mapping[str, Any] | None) -> bool:
    """Whether a model with this ``box_padding`` takes detectors' boxes as they are.

    It does if its points lie on the whole face, as the 68 do that detectors' rules are fitted to.
    """
    return padding is None or padding["face"] is None or not any(padding["face"])


def choose_boxes(
    samples: Sequence[Sample],
    source: BoxSource,
    detector: Detector | None = None,
    padding: Mapping[str, Any] | None = None,
) -> ChosenBoxes:
    """Returns the box of each sample's face.

    Args:
        samples: The faces.
        source: ``"landmarks"``: `landmarks_box`. ``"file"``: the data set's own, or the
            landmarks' where that misses the face.
            ``"detector"``: of the detections the one that overlaps the landmarks' box most, if by
            ``MINIMUM_OVERLAP``; a face that the detector misses gets the data set's box, or the
            landmarks' where there is none (as TSR's Table 1 does), and is counted.
        detector: For ``"detector"``; None uses ``HaarDetector``.
        padding: The model's (`fit_box_padding`), for ``"detector"``: a model whose points do not
            lie on the whole face gets boxes that are fitted to them, as from `Aligner`.

    Raises:
        ValueError: If the source is unknown, or is ``"file"`` and the data set has no box.
    """
    check_box_source(source)
    boxes = np.empty((len(samples), 4), np.float32)
    missed = np.zeros(len(samples), np.bool_)
    if source == "detector" and detector is None:
        detector = HaarDetector()
    fitted = None if fits_faces(padding) else padding
    for index, sample in enumerate(samples):
        tight = landmarks_box(sample)
        boxes[index] = tight
        if source == "file":
            if sample.box_source != "file" and not sample.box_missed:
                raise ValueError(
                    f"The data set gives no box for {sample.name!r}, so box='file' cannot be used; "
                    "use box='landmarks' or box='detector'. Received: box='file'"
                )
            boxes[index] = sample.box
        elif detector is not None and source == "detector":
            found = detector(sample.image)
            if fitted is not None:
                found = np.asarray(geometry.pad_box(found, fitted["face"]), np.float32)
            shares = overlap(found, tight) if len(found) else np.zeros(1)
            if shares.max() >= MINIMUM_OVERLAP:
                boxes[index] = found[int(shares.argmax())]
                if fitted is not None:
                    boxes[index] = geometry.pad_box(boxes[index], fitted["points"])
            else:
                missed[index] = True
                boxes[index] = sample.box if sample.box_source == "file" else tight
    return ChosenBoxes(boxes, missed)


Kind = Literal["none", "extension", "scale", "translation", "rotation"]

EXTENSIONS = (0.1, 0.2, 0.3, 0.4, 0.5)
TRANSLATIONS = (0.05, 0.10, 0.15, 0.20, 0.25)
ROTATIONS = (5.0, 10.0, 15.0, 20.0, 25.0)
"""The amounts of TSR's Table 2; the first of its scales is the usual box."""

USUAL_EXTENSION = 0.1


@dataclass(frozen=True)
class Perturbation:
    """One way to spoil a box.

    Attributes:
        kind: ``"extension"``: the box is extended by the amount on each side instead of the usual
            0.1: width and height × (1 + 2 · amount) / 1.2. ``"scale"``: width and height ×
            (1 + amount) about the centre. ``"translation"``: the
            centre moves by amount × (width, height), in a random direction. ``"rotation"``: the
            face turns against the crop by ± amount degrees, the sign random. ``"none"``.
        amount: A fraction; degrees for ``"rotation"``. Negative scales make the box smaller.

    Reading: TSR's Table 2 (a) extends boxes by ratios from 0.1 to 0.5. Its column 0.1 equals the
    undisturbed row of Table 1, whose boxes are "extended with a certain scale ratio of 0.2"
    (section 3.3): 0.1 on each side is 0.2 in all, and a larger ratio takes its place. That is
    ``"extension"``.

    Reading: the table says neither direction nor sign; directions are drawn once per face from
    the seed and are the same for every model and amount, so that rows and columns compare.

    Raises:
        ValueError: If the kind is unknown or a scale leaves nothing of the box.
    """

    kind: Kind
    amount: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"`kind` must be one of {get_args(Kind)}. Received: {self.kind!r}")
        smallest = {"scale": -1.0, "extension": -0.5}.get(self.kind, -np.inf)
        if not np.isfinite(self.amount) or self.amount <= smallest:
            raise ValueError(
                "`amount` must be finite, above -1 for a scale and above -0.5 for an extension: "
                "else nothing is left of the box. Received: "
                f"kind={self.kind!r}, amount={self.amount}"
            )

    def apply(self, boxes: Any, directions: Floats) -> tuple[NDArray[np.float32], Floats]:
        """Returns the spoiled boxes (faces, 4) and the crops' angles (faces,) in radians.

        Args:
            boxes: (faces, 4) in image pixels.
            directions: (faces,) angles in [0, 2π): the way a translation goes; in its first half
                a rotation is positive.
        """
        boxes = np.asarray(boxes, np.float32)
        angles = np.zeros(len(boxes))
        if self.kind == "scale":
            boxes = geometry.perturb_box(boxes, scale=1.0 + self.amount)
        elif self.kind == "extension":
            usual = 1.0 + 2.0 * USUAL_EXTENSION
            boxes = geometry.perturb_box(boxes, scale=(1.0 + 2.0 * self.amount) / usual)
        elif self.kind == "translation":
            unit = np.stack([np.cos(directions), np.sin(directions)], axis=-1)
            boxes = geometry.perturb_box(boxes, shift=self.amount * unit)
        elif self.kind == "rotation":
            sign = np.where(directions < np.pi, 1.0, -1.0)
            angles = np.deg2rad(self.amount) * sign
        return np.asarray(boxes, np.float32), angles


def tsr_table_2() -> tuple[Perturbation, ...]:
    """Returns the unperturbed case and the 15 perturbations of TSR's Table 2."""
    return (
        Perturbation("none"),
        *(Perturbation("extension", amount) for amount in EXTENSIONS),
        *(Perturbation("translation", amount) for amount in TRANSLATIONS),
        *(Perturbation("rotation", amount) for amount in ROTATIONS),
    )


def cache_boxes(cache: Any, protocol: Protocol) -> NDArray[Any]:
    """Returns (faces, 4), the boxes of a crop cache that a protocol may divide by.

    Raises:
        ValueError: If a published set's protocol divides by the set's own box, and one of these is
            the points' tight one, which a cache takes where there is no other.
    """
    boxes: NDArray[Any] = cache.boxes
    if protocol.needs_boxes and protocol.dataset:
        points = np.where(cache.annotated[..., None], cache.image_landmarks, np.nan)
        tight = np.concatenate([np.nanmin(points, axis=1), np.nanmax(points, axis=1)], axis=1)
        # A cache does not say where its boxes come from; an annotator's is never just that one.
        apart = np.abs(tight - boxes).max(axis=1)
        taken = apart < 1e-3 * (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        if taken.any():
            raise ValueError(
                f"Protocol {protocol.name!r} divides by the {protocol.normalizer.meaning}: the "
                "crops must be made of faces with the set's own boxes. Received: the points' "
                f"tight box of {listed(taken)}"
            )
    return boxes
