"""The middle of every training recipe: from readers and options to a measured model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfalign.data import balance
from tfalign.data.pipeline import CropCache, concatenate
from tfalign.data.readers.reader import Reader
from tfalign.training import command_line
from tfalign.training.distribution import Distribution
from tfalign.training.feed import CacheFeed
from tfalign.training.finish import finish
from tfalign.training.runner import fit
from tfalign.training.validation import Validation
from tfalign.training.warm_start import warm_start

CALIBRATION_FACES = 200


@dataclass(frozen=True)
class Faces:
    """The faces of a recipe.

    Attributes:
        train: Readers of faces to train on; one scheme.
        held_out: Faces of the validation after each epoch, not trained on.
        test: Faces that the final numbers are measured on; may be the held-out ones.
        test_name: What they are, in words.
        protocol: How they are scored, see `tfalign.evaluation.PROTOCOLS`.
    """

    train: Sequence[Reader]
    held_out: Reader
    test: Reader
    test_name: str
    protocol: str


def train_and_measure(
    arguments: argparse.Namespace, distribution: Distribution, model: Any, faces: Faces
) -> dict[str, Any]:
    """Crops the faces, trains the model and measures it.

    Args:
        arguments: Options of `command_line.parser`.
        distribution: From `command_line.prepare`.
        model: From `command_line.make_model`.
        faces: The faces.

    Returns:
        The content of ``result.json``; empty in a process that does not write.
    """
    caches = [CropCache.build(part, model.crop, model.image_size) for part in faces.train]
    cache = concatenate(caches)
    held_out = CropCache.build(faces.held_out, model.crop, model.image_size)
    print(
        f"{len(cache)} faces to train on, {len(held_out)} held out; measured on {len(faces.test)}: "
        f"{faces.test_name}",
        flush=True,
    )
    # First, so that a warm start that leaves the first stage as it is leaves it at the mean shape.
    model.set_mean_shape(cache.unit_landmarks.mean(axis=0))
    if arguments.init_weights:
        print(warm_start(model, arguments.init_weights).table())
    rows = balance.pose_balance(cache.landmarks).indices if arguments.balance else None
    augment = command_line.augmentation(arguments)
    feed = CacheFeed(cache, arguments.batch_size, augment, arguments.seed, rows)
    validation = Validation.from_cache(held_out, faces.protocol)
    result = fit(
        model,
        command_line.make_schedule(arguments, model, feed.steps_per_epoch),
        feed,
        validation,
        out=arguments.out,
        keep=arguments.keep,
        distribution=distribution,
        execution=command_line.execution(arguments),
        identity=command_line.identity(arguments),
    )
    if not distribution.writes:
        return {}
    # Training faces for the calibration of a quantized export: never test faces.
    spread = np.linspace(0, len(cache) - 1, min(CALIBRATION_FACES, len(cache))).astype(int)
    cache.take(spread).save(arguments.out / "calibration")
    if faces.test is not faces.held_out:
        test = CropCache.build(faces.test, model.crop, model.image_size)
        validation = Validation.from_cache(test, faces.protocol)
    data = {
        "train": len(cache),
        "held_out": len(held_out),
        "train_fingerprints": [part.fingerprint() for part in faces.train],
        "test_fingerprint": faces.test.fingerprint(),
    }
    summary = finish(
        model, result, validation, faces.test, arguments.out, arguments.seed, data, faces.test_name
    )
    print(
        f"NME {100 * summary['nme']:.3f} % (stages "
        + ", ".join(f"{100 * nme:.3f}" for nme in summary["nme_of_stages"])
        + f"), {summary['macc'] / 1e6:.1f} MMACC, {summary['params']:,} parameters; "
        f"everything is in {arguments.out}"
    )
    return summary


def without_relatives(
    reader: Reader, held_out: set[str], photographs: dict[str, str]
) -> tuple[Reader, Reader]:
    """Splits a reader into training and held-out faces that share no photograph.

    Args:
        reader: All faces.
        held_out: Names of the faces to hold out.
        photographs: Face name to photograph name.

    Returns:
        (training, held out). A face that is not held out itself, but whose photograph is, is in
        neither: the same person in the same light would make the held-out error too good.
    """
    known = {photographs[name] for name in held_out}

    def part(wanted: Any) -> Reader:
        records = [record for record in reader.records if wanted(record.name)]
        return reader.subset(records)

    return (
        part(lambda name: photographs[name] not in known),
        part(lambda name: name in held_out),
    )
