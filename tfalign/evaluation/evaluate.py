"""Evaluating a model over a data set: from images and boxes to a result object."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from tfalign.data.pipeline import CropCache, evaluation_arrays
from tfalign.data.sample import Sample
from tfalign.evaluation.boxes import BoxSource, check_box_source, choose_boxes
from tfalign.evaluation.evaluation import Evaluation
from tfalign.evaluation.faces import Faces, convert_points
from tfalign.evaluation.protocols import Protocol, get_protocol
from tfalign.evaluation.worst import WorstCases
from tfalign.inference.detectors import Detector
from tfalign.inference.predictor import Predictor, load_predictor


def evaluate_model(
    model: Any,
    data: Iterable[Sample] | CropCache,
    protocol: str | Protocol,
    *,
    threshold: float | None = None,
    box: BoxSource = "landmarks",
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
        box: Where the box comes from, see ``choose_boxes``.
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
    check_box_source(box)
    predictor = model if isinstance(model, Predictor) else load_predictor(model)
    gallery = WorstCases(worst, chosen)
    faces = Faces()
    started = time.perf_counter()
    with tqdm(total=length_of(data), unit="face", disable=not progress, desc="evaluating") as bar:
        for batch in batches(data, batch_size):
            boxes = choose_boxes(batch, box, detector)
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
                faces.predicted.append(predicted[index])
                # A box made from the landmarks is no annotation to normalise by.
                if sample.box_source == "file":
                    faces.boxes.append(sample.box)
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
        protocol: How to score. Protocols that divide by the box take the cache's boxes.
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
    faces = Faces(
        names=[str(name) for name in cache.names],
        attributes=list(cache.attributes),
        truth=list(cache.image_landmarks),
        visible=list(cache.visible),
        boxes=list(cache.boxes),
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
