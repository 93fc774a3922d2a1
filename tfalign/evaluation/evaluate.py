"""Evaluating a model over a data set: from images and boxes to a result object."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

from tfalign import markup
from tfalign.data.pipeline import CropCache, evaluation_arrays
from tfalign.data.sample import Sample
from tfalign.evaluation.boxes import (
    BoxSource,
    box_of,
    cache_boxes,
    check_box_source,
    choose_boxes,
    dividing_box,
    usual_box,
)
from tfalign.evaluation.checks import warn
from tfalign.evaluation.protocols import (
    Floats,
    Protocol,
    get_protocol,
    related_protocols,
)
from tfalign.evaluation.result import Evaluation
from tfalign.evaluation.scores import Score, checked_threshold, compute_score
from tfalign.evaluation.tables import subsets_of
from tfalign.evaluation.worst_cases import Case, WorstCases
from tfalign.inference.detectors import Detector
from tfalign.inference.predictor import Predictor, load_predictor


def evaluate_model(
    model: Any,
    data: Iterable[Sample] | CropCache,
    protocol: str | Protocol,
    *,
    threshold: float | None = None,
    box: BoxSource | None = None,
    detector: Detector | None = None,
    batch_size: int = 32,
    dataset: str | None = None,
    split: str | None = None,
    worst: int = 12,
    progress: bool = True,
) -> Evaluation:
    """Evaluates a model; errors are measured in image pixels.

    Each face is cropped by the *model's own* convention, and the predicted points are mapped back
    through the inverse of the crop's map. One forward pass, no flip averaging. Points of another
    scheme than the data's are converted (98 → 68); points that the model's scheme does not have are
    left out and reported.

    Args:
        model: A Keras model, a ``.keras`` or ``.tflite`` path, a ``Backend`` or a ``Predictor``.
        data: Samples of one data set, e.g. a reader (read once, a batch at a time), or a
            ``CropCache``: see ``evaluate_cache``, which the arguments ``box``, ``detector`` and
            ``worst`` do not reach.
        protocol: How to score, see ``tfalign.evaluation.PROTOCOLS``.
        threshold: Limit of failure rate and AUC, a fraction; None takes the protocol's.
        box: Where the box comes from, see ``choose_boxes``; None takes what the model was trained
            with, see ``usual_box``. The result names it.
        detector: For ``box="detector"``.
        batch_size: Faces per batch.
        dataset, split: For titles; None takes the protocol's data set, and no split.
        worst: Number of worst faces whose pictures are kept.
        progress: Whether to show a progress bar.

    Returns:
        An ``Evaluation``.

    Raises:
        ValueError: If there is no sample, the schemes cannot be converted into the protocol's, or
            the input is otherwise unusable (see ``score``).
    """
    if isinstance(data, CropCache):
        return evaluate_cache(
            model, data, protocol, threshold=threshold, dataset=dataset, split=split
        )
    chosen = get_protocol(protocol)
    checked_threshold(threshold, chosen)  # before all faces are measured
    predictor = model if isinstance(model, Predictor) else load_predictor(model)
    box = usual_box(predictor.backend, data) if box is None else box
    check_box_source(box)
    partly = box_of(data) == "file"
    gallery = WorstCases(worst, chosen)
    faces = Collected()
    started = time.perf_counter()
    with tqdm(total=length_of(data), unit="face", disable=not progress, desc="evaluating") as bar:
        for batch in batches(data, batch_size):
            boxes = choose_boxes(batch, box, detector, predictor.backend.box_padding, partly)
            points = predictor([sample.image for sample in batch], boxes.boxes)
            schemes = {sample.scheme for sample in batch}
            predicted, faces.undefined = convert_points(
                points, predictor.backend.scheme, schemes, chosen
            )
            for index, sample in enumerate(batch):
                faces.names.append(sample.name)
                faces.attributes.append(sample.attributes)
                faces.truth.append(sample.landmarks)
                faces.visible.append(sample.visible)
                faces.annotated.append(sample.annotated)
                faces.predicted.append(predicted[index])
                if (own := dividing_box(sample, chosen)) is not None:
                    faces.boxes.append(own)
                if boxes.missed[index]:
                    faces.missed.append(sample.name)
                gallery.offer(sample, predicted[index])
            bar.update(len(batch))
    return faces.evaluation(
        chosen,
        threshold,
        model_name=predictor.backend.name,
        dataset=dataset or chosen.dataset,
        split=split,
        box=box,
        seconds=time.perf_counter() - started,
        worst=gallery.cases,
        fingerprint=_fingerprint(data),
    )


def evaluate_cache(
    model: Any,
    cache: CropCache,
    protocol: str | Protocol,
    *,
    threshold: float | None = None,
    dataset: str | None = None,
    split: str | None = None,
    batch_size: int = 256,
) -> Evaluation:
    """Evaluates a model on the nominal crops of a cache.

    Faster than images and boxes, and the same up to the cache's one resampling. The error is still
    measured in image pixels, through the cache's maps.

    Args:
        model: As for ``evaluate_model``.
        cache: Crops of the model's input size and convention.
        protocol: How to score. Protocols that divide by the box take the cache's boxes; those of a
            published set need the set's own.
        threshold: Limit of failure rate and AUC, a fraction; None takes the protocol's.
        dataset, split: For titles.
        batch_size: Crops per forward pass.

    Returns:
        An ``Evaluation`` without pictures of the worst cases.

    Raises:
        ValueError: If the cache was cut for another input size or crop convention, or as
            ``evaluate_model``.
    """
    chosen = get_protocol(protocol)
    predictor = model if isinstance(model, Predictor) else load_predictor(model)
    backend = predictor.backend
    if cache.crop != backend.crop or tuple(cache.image_size) != tuple(backend.image_size):
        raise ValueError(
            f"The cache must be cut as model {backend.name!r} wants it: image_size="
            f"{backend.image_size}, {backend.crop}. Received: image_size={cache.image_size}, "
            f"{cache.crop}"
        )
    crops, _ = evaluation_arrays(cache)
    started = time.perf_counter()
    starts = range(0, len(crops), batch_size)
    unit = np.concatenate([backend(crops[i : i + batch_size]) for i in starts])
    points = cache.to_image(unit)
    seconds = time.perf_counter() - started
    predicted, undefined = convert_points(points, backend.scheme, [cache.scheme], chosen)
    faces = Collected(
        names=[str(name) for name in cache.names],
        attributes=list(cache.attributes),
        truth=list(cache.image_landmarks),
        visible=list(cache.visible),
        annotated=list(cache.annotated),
        boxes=list(cache_boxes(cache, chosen)),
        predicted=list(predicted),
        undefined=undefined,
    )
    return faces.evaluation(
        chosen,
        threshold,
        model_name=backend.name,
        dataset=dataset or chosen.dataset,
        split=split,
        box="crops",
        seconds=seconds,
    )


def batches(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    """Yields the samples in lists of ``size``; the last may be shorter."""
    iterator = iter(samples)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def length_of(samples: Any) -> int | None:
    """Returns the number of samples where it is known beforehand, for progress bars."""
    return len(samples) if hasattr(samples, "__len__") else None


def _fingerprint(samples: Any) -> str | None:
    fingerprint = getattr(samples, "fingerprint", None)
    return str(fingerprint()) if callable(fingerprint) else None


@dataclass
class Collected:
    """What is kept of each face: everything but its pixels.

    Attributes:
        names, attributes: Of the samples.
        truth: (n, 2) true landmarks of each face, image pixels.
        visible, annotated: (n,) bool of each face.
        boxes: (4,) annotated boxes; fewer than faces where some have none.
        predicted: (n, 2) predictions in the protocol's scheme, image pixels.
        missed: Names of the faces that a detector missed.
        undefined: Names of the points that the model's scheme lacks.
    """

    names: list[str] = field(default_factory=list)
    attributes: list[Mapping[str, Any]] = field(default_factory=list)
    truth: list[Any] = field(default_factory=list)
    visible: list[Any] = field(default_factory=list)
    annotated: list[Any] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)
    predicted: list[Any] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    undefined: tuple[str, ...] = ()

    def evaluation(
        self,
        protocol: Protocol,
        threshold: float | None,
        *,
        model_name: str,
        dataset: str,
        split: str | None,
        box: str,
        seconds: float,
        worst: tuple[Case, ...] = (),
        fingerprint: str | None = None,
    ) -> Evaluation:
        """Scores the faces under the protocol and, beside it, the set's other protocols.

        Raises:
            ValueError: If there is no face, or the predictions cannot be scored.
        """
        if not self.names:
            raise ValueError("There must be at least one face to evaluate. Received: none")
        truth = np.asarray(self.truth, np.float64)
        predicted = np.asarray(self.predicted, np.float64)
        visible = np.asarray(self.visible, np.bool_)
        annotated = np.asarray(self.annotated, np.bool_)
        boxes = np.asarray(self.boxes, np.float64) if len(self.boxes) == len(truth) else None

        def scored(by: Protocol) -> Score:
            return compute_score(
                predicted,
                truth,
                by,
                threshold,
                visible=visible,
                boxes=boxes,
                missing=self.undefined,
                annotated=annotated,
            )

        main = scored(protocol)
        warn(main.warnings)
        related: list[Score] = []
        unscored: dict[str, str] = {}
        for other in related_protocols(protocol):
            try:
                related.append(scored(other))
            except ValueError as error:  # e.g. no inter-pupil distance in a pure profile
                unscored[other.name] = str(error)
        return Evaluation(
            model_name=model_name,
            dataset=dataset,
            split=split,
            box=box,
            score=main,
            subsets=subsets_of(protocol.dataset, self.names, self.attributes),
            names=tuple(self.names),
            predicted=predicted,
            truth=truth,
            seconds=seconds,
            related=tuple(related),
            unscored=unscored,
            missed=tuple(self.missed),
            undefined=self.undefined,
            worst=worst,
            fingerprint=fingerprint,
        )


def convert_points(
    points: Floats,
    source: markup.LandmarkScheme | None,
    data_schemes: Iterable[markup.LandmarkScheme],
    protocol: Protocol,
) -> tuple[Floats, tuple[str, ...]]:
    """Converts predictions into the protocol's scheme.

    Args:
        points: (faces, n, 2) predictions.
        source: Their scheme.
        data_schemes: The annotations' schemes.
        protocol: Decides the scheme of the result.

    Returns:
        (faces, m, 2), and the names of the points that ``source`` lacks (NaN).

    Raises:
        ValueError: If the data's scheme is not the protocol's, or the model's is unknown or cannot
            be converted.
    """
    target = protocol.scheme
    others = sorted(scheme.name for scheme in data_schemes if scheme != target)
    if others:
        raise ValueError(
            f"Protocol {protocol.name!r} scores the scheme {target.name!r}. Received: annotations "
            f"of {', '.join(others)}"
        )
    if source is None:
        raise ValueError(
            f"The model's landmark scheme is unknown, so it cannot be scored as {target.name!r}: "
            "give `scheme` when loading it. Received: scheme=None"
        )
    if source == target:
        return points, ()
    plan = markup.conversion(source, target)
    converted = markup.convert(points, source, target, undefined="nan")
    return np.asarray(converted, np.float64), plan.undefined
