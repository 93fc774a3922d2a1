"""Measures a model on a data set and writes metrics, pictures and a report.

    tfalign evaluate --model runs/300w/model.keras \\
        --dataset 300w --data DIR --split helen/testset --out runs/300w/helen
    tfalign evaluate --model build/model.tflite \\
        --dataset wflw --data DIR --split test --box file --out runs/wflw/int8
    tfalign evaluate --model 300w --box detector \\
        --dataset 300w --data DIR --split full --out runs/preset

    tfalign evaluate --model ours=runs/300w/model.keras small=build/model.tflite \\
        --dataset 300w --data DIR --split helen/testset --out runs/compared

A model is a .keras file, a .tflite file (with the metadata.json of its export beside it) or the
name of a preset. Its own crop convention pads the box; its points are mapped back to the
photograph, where the error is measured. A model with 98 points is scored on 68-point data through
tfalign.markup. Faces that the detector misses are counted and cropped by the data set's box.

OUT/metrics.json holds nme, failure_rate and auc as fractions; OUT/report.html is self-contained.
Several models have a folder each below OUT, and one table.csv, ced.png and metrics.json over all.
The same command may be repeated; another one needs another folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tfalign import markup
from tfalign.cli import measuring
from tfalign.data.readers import Reader
from tfalign.data.synthetic.dataset import CONFIGURATION as RENDERED
from tfalign.evaluation import (
    Evaluation,
    evaluate_model,
    mean_shape_predictor,
    plots,
    report,
    shapes_in_crops,
)
from tfalign.evaluation.boxes import fits_faces, landmarks_box, usual_box
from tfalign.evaluation.protocols import Protocol
from tfalign.evaluation.tables import format_table, limit_label
from tfalign.files import settled, write_json, write_whole
from tfalign.geometry import crop_convention, pad_box
from tfalign.inference.backends import Backend
from tfalign.inference.predictor import Predictor, load_predictor


def options(prog: str = "tfalign evaluate") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = measuring.parser(str(__doc__).replace("tfalign evaluate", prog))
    parser.prog = prog
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        metavar="[NAME=]MODEL",
        help="What to measure: a .keras file, a .tflite file or a preset. Of several each file has "
        "a name for its row, as in small=runs/b/model.keras.",
    )
    measuring.add_box_option(parser)
    parser.add_argument(
        "--crop",
        metavar="PRESET",
        help="Crop convention of a model that does not store its own.",
    )
    parser.add_argument(
        "--scheme",
        metavar="NAME",
        help="Landmark scheme of a model that does not store its own.",
    )
    parser.add_argument(
        "--mean-shape",
        metavar="SPLIT",
        help="Also measure the mean shape of this split's faces, which any model must beat.",
    )
    parser.add_argument(
        "--worst", type=int, default=12, metavar="N", help="How many of the worst faces are shown."
    )
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures and reports; returns the evaluation as plain data, or that of each model."""
    models = measuring.named_models(arguments.model)
    if len(models) == 1:
        (model,) = models.values()
        return _one(arguments, model, arguments.out).to_dict()
    if unnamed := [name for name in models if len(Path(name).parts) > 1]:
        raise ValueError(
            "Of several models each needs a name, as in ours=runs/a/model.keras, which its folder "
            f"below --out has. Received: --model {' '.join(unnamed)}"
        )
    found = {name: _one(arguments, model, arguments.out / name) for name, model in models.items()}
    first = next(iter(found.values())).score
    limit = limit_label(first)
    rows = {
        name: {
            f"{subset} NME {one.score.protocol.unit}": one.score.protocol.scale
            * one.score.subset(mask).nme
            for subset, mask in one.subsets.items()
        }
        | {
            "± standard error": one.score.protocol.scale * one.score.standard_error,
            f"FR@{limit} %": 100 * one.failure_rate,
            f"AUC@{limit}": one.auc,
            "boxes": one.box,
        }
        for name, one in found.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    write_whole(arguments.out / "table.csv", table.to_csv(index_label="model"))
    curves = {name: one.score for name, one in found.items()}
    write_whole(arguments.out / "ced.png", plots.png_bytes(plots.ced_plot(curves)))
    metrics = {"models": {name: one.to_dict() for name, one in found.items()}}
    write_json(arguments.out / "metrics.json", metrics)
    print(f"\n{format_table(table)}\n{arguments.out / 'ced.png'}")
    return metrics


def _one(arguments: argparse.Namespace, model: str, out: Path) -> Evaluation:
    """Measures one model into its folder."""
    identity = measuring.model_identity(model)
    predictor = load_predictor(model, arguments.crop, arguments.scheme, arguments.batch_size)
    reader = measuring.read_data(arguments, predictor.backend.scheme)
    protocol = measuring.chosen_protocol(arguments, reader)
    box = arguments.box or usual_box(predictor.backend, reader)
    fingerprint = reader.fingerprint()
    settings = {
        **identity,
        "dataset": arguments.dataset,
        "split": arguments.split,
        "last": arguments.last,
        "box": box,
        "protocol": protocol.identity,
        "threshold": arguments.threshold,
        "crop": arguments.crop,
        "scheme": arguments.scheme,
        "mean_shape": arguments.mean_shape,
        "data_fingerprint": fingerprint,
    }
    # What can be wrong with a command is found out before it claims its folder.
    measuring.check_boxes(reader, [box])
    notes = measuring.training_notes(model, reader) + _unused(arguments, predictor.backend)
    notes += measuring.box_notes(reader, [box])
    with settled(out, settings):
        return _measure(arguments, out, predictor, reader, protocol, settings, notes)


def _unused(arguments: argparse.Namespace, backend: Backend) -> tuple[str, ...]:
    """Returns what to say of options that the model's own convention has overruled."""
    notes = []
    if arguments.crop is not None and crop_convention(arguments.crop) != backend.crop:
        notes.append(f"--crop {arguments.crop} was not used: the model stores another crop.")
    if arguments.scheme is not None and markup.get(arguments.scheme) != backend.scheme:
        notes.append(f"--scheme {arguments.scheme} was not used: the model stores another scheme.")
    return tuple(notes)


def _measure(
    arguments: argparse.Namespace,
    out: Path,
    predictor: Predictor,
    reader: Reader,
    protocol: Protocol,
    settings: Mapping[str, Any],
    notes: tuple[str, ...],
) -> Evaluation:
    """Measures and writes everything into the claimed folder."""
    common: dict[str, Any] = {
        "threshold": arguments.threshold,
        "box": settings["box"],
        "batch_size": arguments.batch_size,
        "dataset": arguments.dataset,
        "progress": not arguments.quiet,
    }
    baseline = None
    if arguments.mean_shape is not None:
        # Of all faces of the split: --last and --faces choose those that are measured on.
        whole = argparse.Namespace(**{**vars(arguments), "last": None, "faces": None})
        whole.split = [arguments.mean_shape]
        faces = measuring.read_data(whole, predictor.backend.scheme)
        if not all(record.annotated.all() for record in faces.records):
            raise ValueError(
                "--mean-shape must name a split whose faces have all points. Received: "
                f"{arguments.mean_shape}"
            )
        measuring.check_boxes(faces, [settings["box"]])
        boxes = [
            record.box if settings["box"] == "file" else landmarks_box(record)
            for record in faces.records
        ]
        padding = predictor.backend.box_padding
        if settings["box"] == "detector" and padding is not None and not fits_faces(padding):
            # A detector's boxes become, for the model and for the mean shape, those of its points.
            boxes = [pad_box(box, padding["points"]) for box in boxes]
        crop, size = predictor.backend.crop, predictor.backend.image_size
        shapes = shapes_in_crops([r.landmarks for r in faces.records], crop, size, boxes)
        mean = mean_shape_predictor(shapes, crop, faces.scheme, size)
        mean.name, mean.box_padding = f"mean shape of {arguments.mean_shape}", padding
        baseline = evaluate_model(mean, reader, protocol, worst=0, **common)
    splits = " + ".join(arguments.split or ["all splits there"])
    if (arguments.data / RENDERED).is_file():
        splits += ", rendered faces"
    if arguments.last is not None:
        splits += f", last {arguments.last}"
    if arguments.faces is not None:
        splits += f", the faces of {arguments.faces.name}"
    evaluation = evaluate_model(
        predictor,
        reader,
        protocol,
        split=splits,
        worst=arguments.worst,
        **common,
    )
    notes += measuring.reading_notes(reader, len(evaluation.names))
    evaluation = replace(evaluation, remarks=notes)
    report.write_evaluation(evaluation, out, settings, baseline=baseline)
    print(evaluation.table())
    if baseline is not None:
        print(f"\n{baseline.model_name}: NME {protocol.scale * baseline.nme:.5f} {protocol.unit}")
    print(f"\n{out / 'report.html'}")
    return evaluation


def next_steps(arguments: argparse.Namespace, result: Mapping[str, Any]) -> list[list[str]]:
    """Returns the commands that a user may want now, each as its words."""
    del result
    model = next(iter(measuring.named_models(arguments.model).values()))
    out = str(arguments.out / "aligned")  # a folder of results is of one model
    photograph = ["tfalign", "align", "PHOTO.jpg", "--model", model, "--out", out]
    if model.endswith(".tflite"):
        return [photograph]
    export = [
        "tfalign",
        "export",
        model,
        "--kind",
        "float16",
        "--out",
        str(arguments.out / "float16"),
    ]
    return [export, photograph]
