"""Measures a model on a data set and writes metrics, pictures and a report.

    tfalign evaluate --model runs/300w/model.keras \\
        --dataset 300w --data DIR --split helen/testset --out runs/300w/helen
    tfalign evaluate --model build/model.tflite \\
        --dataset wflw --data DIR --split test --box file --out runs/wflw/int8
    tfalign evaluate --model 300w --box detector \\
        --dataset 300w --data DIR --split full --out runs/preset

The model is a .keras file, a .tflite file (with the metadata.json of its export beside it) or the
name of a preset. Its own crop convention pads the box; its points are mapped back to the
photograph, where the error is measured. A model with 98 points is scored on 68-point data through
tfalign.markup. Faces that the detector misses are counted and cropped by the data set's box.

OUT/metrics.json holds nme, failure_rate and auc as fractions; OUT/report.html is self-contained.
The same command may be repeated; another one needs another folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tfalign.cli import measuring
from tfalign.data import sets
from tfalign.data.readers import Reader
from tfalign.evaluation import (
    evaluate_model,
    mean_shape_predictor,
    report,
    shapes_in_crops,
)
from tfalign.evaluation.boxes import usual_box
from tfalign.evaluation.protocols import Protocol
from tfalign.files import settled
from tfalign.inference.predictor import Predictor, load_predictor


def options(prog: str = "tfalign evaluate") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = measuring.parser(str(__doc__).replace("tfalign evaluate", prog))
    parser.prog = prog
    parser.add_argument(
        "--model",
        required=True,
        metavar="MODEL.keras|FILE.tflite|PRESET",
        help="what to measure",
    )
    measuring.add_box_option(parser)
    parser.add_argument(
        "--crop",
        metavar="PRESET",
        help="crop convention, only for a model that does not store its own",
    )
    parser.add_argument(
        "--scheme",
        metavar="NAME",
        help="landmark scheme, only for a model that does not store its own",
    )
    parser.add_argument(
        "--mean-shape",
        metavar="SPLIT",
        help="also measure the mean shape of this split's faces, the baseline of every model",
    )
    parser.add_argument("--worst", type=int, default=12, metavar="N", help="worst faces shown")
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures and reports; returns the evaluation as plain data."""
    identity = measuring.model_identity(arguments.model)
    predictor = load_predictor(
        arguments.model, arguments.crop, arguments.scheme, arguments.batch_size
    )
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
        "protocol": protocol.name,
        "threshold": arguments.threshold,
        "crop": arguments.crop,
        "scheme": arguments.scheme,
        "mean_shape": arguments.mean_shape,
        "data_fingerprint": fingerprint,
    }
    # What can be wrong with a command is found out before it claims its folder.
    measuring.check_boxes(reader, [box])
    notes = measuring.training_notes(arguments.model, fingerprint)
    with settled(arguments.out, settings):
        return _measure(arguments, predictor, reader, protocol, settings, notes)


def _measure(
    arguments: argparse.Namespace,
    predictor: Predictor,
    reader: Reader,
    protocol: Protocol,
    settings: Mapping[str, Any],
    notes: tuple[str, ...],
) -> dict[str, Any]:
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
        faces = sets.get(arguments.dataset).read(arguments.data, arguments.mean_shape)
        crop, size = predictor.backend.crop, predictor.backend.image_size
        shapes = shapes_in_crops([record.landmarks for record in faces.records], crop, size)
        mean = mean_shape_predictor(shapes, crop, faces.scheme, size)
        mean.name = f"mean shape of {arguments.mean_shape}"
        baseline = evaluate_model(mean, reader, protocol, worst=0, **common)
    splits = " + ".join(arguments.split or ["all splits there"])
    evaluation = evaluate_model(
        predictor,
        reader,
        protocol,
        split=splits if arguments.last is None else f"{splits}, last {arguments.last}",
        worst=arguments.worst,
        **common,
    )
    if len(evaluation.names) < len(reader):
        notes += (reader.report.table(),)
    evaluation = replace(evaluation, remarks=notes)
    report.write_evaluation(evaluation, arguments.out, settings, baseline=baseline)
    print(evaluation.table())
    if baseline is not None:
        print(f"\n{baseline.model_name}: NME {100 * baseline.nme:.5f} %")
    print(f"\n{arguments.out / 'report.html'}")
    return evaluation.to_dict()


def next_steps(arguments: argparse.Namespace, result: Mapping[str, Any]) -> list[str]:
    """Returns the commands that a user may want now."""
    del result
    model = arguments.model[0] if isinstance(arguments.model, list) else arguments.model
    photograph = f"tfalign align PHOTO.jpg --model {model}"
    if str(model).endswith(".tflite"):
        return [photograph]
    return [f"tfalign export {model} --kind float16 --out build/float16", photograph]
