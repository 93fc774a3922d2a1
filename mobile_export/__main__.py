"""``python -m mobile_export``: what ``tfalign export`` does, without its check at the end.

Writes a landmark model as .tflite, with metadata and golden outputs.

    python -m mobile_export runs/model.keras --kind int8 --calibration runs/calibration.npz
    python -m mobile_export 300w --kind int8_qat --training 300W --dataset 300w \\
        --split afw helen/trainset --without-last 120
    python -m mobile_export 300w --kind pruned --sparsity 0.5 --training cache/300w.npz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from mobile_export import training_faces, tuning
from mobile_export.exit_status import DONE, exit_status
from mobile_export.export_result import ExportResult
from mobile_export.exporter import KINDS, TUNED, box_of, export, licence_of
from tfalign.argument_help import ArgumentParser
from tfalign.geometry import CROP_PRESETS
from tfalign.models import load


def parser() -> argparse.ArgumentParser:
    """Returns the program's arguments."""
    arguments = ArgumentParser(
        prog="python -m mobile_export",
        description=str(__doc__).split("\n\n", 1)[1],
    )
    arguments.add_argument(
        "model",
        metavar="MODEL",
        help="A trained model: a .keras file, or the name of a preset that ships with the package.",
    )
    arguments.add_argument(
        "--kind",
        choices=KINDS,
        default="float32",
        help="Number format of the file. float32 and float16 keep the model's numbers; dynamic "
        "stores weights as integers, int8 computes with them, too, and int8_full with nothing "
        "else; int8_qat, pruned and clustered are trained on first, see --training.",
    )
    arguments.add_argument(
        "--calibration",
        metavar="PATH",
        help="Face crops that tell the int8 kinds the range of each feature map: the "
        "calibration.npz that a training leaves, a folder of crops cut as the model wants them, or "
        "the word 'rendered' for faces that are rendered for it.",
    )
    arguments.add_argument(
        "--out",
        default="build",
        metavar="DIR",
        help="Folder of the export; all of its files are written, or none.",
    )
    arguments.add_argument(
        "--input",
        choices=("uint8", "float32"),
        default="uint8",
        help="Type of the pixels that the app passes, which are RGB from 0 to 255 either way.",
    )
    arguments.add_argument(
        "--allow-loss",
        action="store_true",
        help="Write the file even where its landmarks are further from the Keras model's than its "
        "kind allows.",
    )
    arguments.add_argument(
        "--licence",
        metavar="TEXT",
        help="Terms of the weights, which metadata.json then states; a preset brings its own.",
    )
    arguments.add_argument(
        "--layers",
        action="store_true",
        help="Print which operators lose how much against the float file; report.json has all.",
    )
    arguments.add_argument(
        "--no-gathers",
        action="store_true",
        help="Cut the patches about landmarks by matrix products instead of look-ups, so that a "
        "GPU delegate takes every operator; a CPU takes longer.",
    )
    plain = arguments.add_argument_group("models that are not of tfalign.models")
    plain.add_argument(
        "--crop",
        metavar="NAME",
        help=f"How a face's box becomes the input: {', '.join(CROP_PRESETS)}.",
    )
    plain.add_argument(
        "--box",
        metavar="SOURCE",
        help="Which box of a face the crop starts from, for instance landmarks, the tight box of "
        "its points.",
    )
    plain.add_argument(
        "--scheme",
        metavar="NAME|FILE.json",
        help="Landmark scheme that names the points.",
    )
    plain.add_argument(
        "--pixels",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="Values that the model takes for black and for white: 0 255, 0 1 or -1 1.",
    )
    plain.add_argument(
        "--output-name",
        metavar="NAME",
        help="Name of the output that has the landmarks, where the model has several.",
    )
    faces = arguments.add_argument_group(f"faces to train on first ({', '.join(TUNED)})")
    faces.add_argument(
        "--training",
        metavar="PATH",
        help="A crop cache (.npz), a folder of TFRecord shards, or the folder of the data set that "
        "--dataset names.",
    )
    faces.add_argument(
        "--dataset",
        metavar="SET",
        help="Which data set lies in the folder of --training, for instance 300w.",
    )
    faces.add_argument(
        "--split",
        nargs="+",
        metavar="SPLIT",
        help="Its training splits, for instance afw helen/trainset.",
    )
    faces.add_argument(
        "--without-last",
        type=int,
        default=0,
        metavar="N",
        help="Leave out the last N faces by name, on which the model is measured, and whoever else "
        "is on their photographs.",
    )
    add_tuning_options(arguments)
    return arguments


def add_tuning_options(arguments: argparse.ArgumentParser) -> None:
    """Adds the settings of the kinds that are fine-tuned."""
    usual = tuning.Tuning()
    group = arguments.add_argument_group("how it is trained on")
    usually = "; ".join(f"{k} {n} and {rate:g}" for k, (n, rate) in tuning.USUAL.items())
    group.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help=f"How many epochs. By default epochs and rate are: {usually}.",
    )
    group.add_argument("--rate", type=float, help="Highest learning rate of Adam.")
    group.add_argument(
        "--tuning-batch",
        type=int,
        default=usual.batch_size,
        metavar="FACES",
        help="How many faces make one step.",
    )
    group.add_argument(
        "--augment",
        default=usual.augment,
        metavar="NAME",
        help="Preset by which the faces are changed at random.",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=usual.seed,
        help="Decides the order of the faces and how they are changed.",
    )
    group.add_argument(
        "--sparsity",
        type=float,
        default=usual.sparsity,
        metavar="SHARE",
        help="Share of each kernel's weights that the kind pruned sets to zero.",
    )
    group.add_argument(
        "--clusters",
        type=int,
        default=usual.clusters,
        metavar="N",
        help="How many different values a kernel of the kind clustered has.",
    )
    group.add_argument(
        "--base",
        choices=tuning.BASES,
        default=usual.base,
        help="Number format of the files of the kinds pruned and clustered.",
    )


def read_faces(options: argparse.Namespace, model: Any) -> Any:
    """Returns the training faces that the options name; None where they name none."""
    if options.training is None:
        return None
    return training_faces.load(
        options.training, model, options.dataset, options.split, options.without_last
    )


def make_tuning(options: argparse.Namespace, model: Any, kind: str) -> tuning.Tuning:
    """Returns the settings of ``add_tuning_options`` for one kind.

    Raises:
        ValueError: If one is out of range.
    """
    return tuning.Tuning(
        schedule=tuning.default_schedule(model, kind, options.epochs, options.rate),
        sparsity=options.sparsity,
        clusters=options.clusters,
        base=options.base,
        augment=options.augment,
        batch_size=options.tuning_batch,
        seed=options.seed,
        progress=True,
    )


def run(options: argparse.Namespace) -> ExportResult:
    """Exports what the options of ``parser`` say; raises what ``export`` raises."""
    tuned = options.kind in TUNED
    model = load(options.model) if tuned else options.model
    licence = licence_of(options.model) if options.licence is None else options.licence
    return export(
        model,
        options.kind,
        options.calibration,
        options.out,
        crop=options.crop,
        box=box_of(options.model) if options.box is None else options.box,
        scheme=options.scheme,
        pixels=options.pixels,
        output=options.output_name,
        input_dtype=options.input,
        training=read_faces(options, model) if tuned else None,
        tuning=make_tuning(options, model, options.kind) if tuned else None,
        allow_loss=options.allow_loss,
        licence=licence,
        layers=options.layers,
        gathers=not options.no_gathers,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status; what users do wrong is printed as one line."""
    options = parser().parse_args(argv)

    def work() -> int:
        print(run(options).table())
        return DONE

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
