"""The faces that ``train_preset.py`` and ``ingredients.py`` train on, and those that they watch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from preset_views import FaceCrops
from tqdm import tqdm

from tfalign import geometry, markup, training
from tfalign.cli.train import further_set
from tfalign.data import sets, synthetic
from tfalign.data.pipeline import CropCache
from tfalign.data.readers.conversion import converted
from tfalign.data.readers.reader import Reader
from tfalign.files import write_whole
from tfalign.inference.predictor import load_predictor
from tfalign.training.face_checks import check_apart

# Of two looks at a face, as a share of its size (``tfalign.inference.quality``), in `taught`.
DOUBT = 0.02


def photographs(data: Path, holdout: int, validation: int, seed: int) -> tuple[Reader, Reader]:
    """Returns the faces to train on and those to validate on, no photograph among both.

    Neither has a face of a held-out photograph.
    """
    dataset = sets.get("300w")
    reader = dataset.read(data, dataset.available(data, "train"), box="landmarks")
    reader, _ = dataset.hold_out(reader, holdout)
    names = sorted({dataset.photograph(record) for record in reader.records})
    chosen: set[str] = set()
    count = 0
    for index in np.random.default_rng(seed).permutation(len(names)):
        if count >= validation:
            break
        chosen.add(names[index])
        count += sum(dataset.photograph(record) == names[index] for record in reader.records)
    parts: tuple[list[Any], list[Any]] = ([], [])
    for record in reader.records:
        parts[dataset.photograph(record) in chosen].append(record)
    return reader.subset(parts[0]), reader.subset(parts[1])


def taught(reader: Reader, teacher: str = "300w_server") -> Reader:
    """Returns faces with the points that a shipped preset finds on them.

    It looks twice, the second time at the mirror image, at the box of the points that the faces
    have, of whatever markup, and again at the box of what it found. Faces on which both looks
    differ by more than `DOUBT` are left out, and counted.
    """
    predictor = load_predictor(teacher)
    scheme = markup.get("ibug68")
    known = np.ones(len(scheme.points), bool)
    records: list[Any] = []
    for start in tqdm(
        range(0, len(reader), 32), f"{teacher} labels {reader.dataset}", unit="batch"
    ):
        part = reader.records[start : start + 32]
        images = [sample.image for sample in reader.subset(part)]
        boxes = np.stack([geometry.box_from_landmarks(r.landmarks[r.annotated]) for r in part])
        for _ in range(2):
            shapes, doubt = predictor.twice(images, boxes)
            points = shapes[:, -1].astype(np.float32)
            boxes = np.stack([geometry.box_from_landmarks(shape) for shape in points])
        for record, shape, box, doubted in zip(part, points, boxes, doubt, strict=True):
            if doubted <= DOUBT:
                records.append(
                    replace(
                        record,
                        landmarks=shape,
                        visible=known,
                        annotated=known,
                        anywhere=known,
                        box=box.astype(np.float32),
                        box_source="landmarks",
                    )
                )
    if len(records) < len(reader):
        print(f"{teacher} doubts {len(reader) - len(records)} of {len(reader)}, left out")
    return Reader(reader.dataset, scheme, records, reader.report)


def further_crops(arguments: argparse.Namespace, size: int) -> list[FaceCrops]:
    """Returns the faces of every ``--unlabelled``, labelled by `taught`.

    Raises:
        ValueError: If one lies in a photograph that is watched or held out.
    """
    found = [further_set(first, more) for first, *more in arguments.unlabelled]
    dataset = sets.get("300w")
    everyone = dataset.read(arguments.data, dataset.available(arguments.data, "train"))
    _, held_out = dataset.hold_out(everyone, arguments.holdout)
    _, watched = photographs(
        arguments.data, arguments.holdout, arguments.validation, arguments.seed
    )
    check_apart(found, [held_out, watched])
    return [FaceCrops.of(taught(faces), size) for faces in found]


def with_further(photographs: FaceCrops, further: Sequence[FaceCrops]) -> FaceCrops:
    """Returns the photographs and further faces, the former drawn about as often as the latter."""
    if not further:
        return photographs
    count = sum(len(faces.images) for faces in further)
    copies = max(1, round(count / len(photographs.images)))
    return FaceCrops.joined(*[photographs] * copies, *further)


class PresetData(NamedTuple):
    """The faces of one preset's training.

    Attributes:
        photographs: To train on.
        rendered: To train on.
        validation: To watch.
        watched: The same faces, as they were read.
        result: What result.json says of them.
    """

    photographs: FaceCrops
    rendered: FaceCrops
    validation: training.Validation
    watched: Reader
    result: dict[str, Any]


def load(arguments: argparse.Namespace, size: int, scheme: str, protocol: str) -> PresetData:
    """Reads the photographs and renders faces; writes validation.txt.

    Args:
        arguments: Those of ``train_preset.data_options``.
        size: Side of the model's input in pixels.
        scheme, protocol: The model's landmarks, and how they are measured.
    """
    out = arguments.out
    train, watched = photographs(
        arguments.data, arguments.holdout, arguments.validation, arguments.seed
    )
    write_whole(out / "validation.txt", "".join(f"{r.name}\n" for r in watched.records))
    root = synthetic.write_wflw(out / "rendered", train=arguments.rendered, test=1, seed=11)
    rendered = sets.get("wflw").read(root, "train", scheme=scheme, box="landmarks")
    if scheme != "ibug68":
        train, watched = (converted(faces, scheme, "mask") for faces in (train, watched))
    real, drawn = FaceCrops.of(train, size), FaceCrops.of(rendered, size)
    cache = CropCache.build(watched, "300w", (size, size))
    return PresetData(
        real,
        drawn,
        training.Validation.from_cache(cache, protocol),
        watched,
        {
            "photographs": len(train),
            "rendered": len(rendered),
            "validation_faces": len(watched),
            "data": [real.name, drawn.name],
        },
    )
