"""``python -m mobile_export MODEL --kind KIND [--calibration DIR] [--training DIR] [--out DIR]``.

Examples:
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
        description="Export a landmark model to .tflite, with metadata and golden outputs.",
    )
    arguments.add_argument("model", help="A model saved as .keras, or a shipped preset.")
    arguments.add_argument(
        "--kind", choices=KINDS, default="float32", help="Number format of weights and sums."
    )
    arguments.add_argument(
        "--calibration",
        metavar="PATH",
        help="The faces that int8 ranges are fitted to: a folder of crops, cut as the model wants "
        "them, a crop cache (.npz), or the word 'rendered' for rendered faces.",
    )
    arguments.add_argument("--out", default="build", help="Folder to write.")
    arguments.add_argument(
        "--input",
        choices=("uint8", "float32"),
        default="uint8",
        help="Type of the input pixels, which are RGB from 0 to 255 either way.",
    )
    arguments.add_argument(
        "--allow-loss",
        action="store_true",
        help="Write the file even if it is further from the Keras model than its kind may be.",
    )
    arguments.add_argument(
        "--licence", help="Licence of the weights, in words; a shipped preset has its own."
    )
    arguments.add_argument(
        "--layers",
        action="store_true",
        help="Tell which operators lose how much against the float file; all are in report.json.",
    )
    arguments.add_argument(
        "--no-gathers",
        action="store_true",
        help="Cut patches about landmarks by products, for GPU and other delegates that look "
        "nothing up; a CPU takes longer.",
    )
    plain = arguments.add_argument_group("models that are not of tfalign.models")
    plain.add_argument(
        "--crop",
        metavar="NAME",
        help=f"How a face's box becomes the input, one of {', '.join(CROP_PRESETS)}.",
    )
    plain.add_argument(
        "--box", help="The box that the crop starts from, e.g. landmarks: the points' tight box."
    )
    plain.add_argument("--scheme", help="Names of the points: a scheme's name or its .json file.")
    plain.add_argument(
        "--pixels",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="The values that the model wants for black and white: 0 255, 0 1 or -1 1.",
    )
    plain.add_argument(
        "--output-name", metavar="NAME", help="Name of the landmarks among several outputs."
    )
    faces = arguments.add_argument_group(f"faces to fine-tune on ({', '.join(TUNED)})")
    faces.add_argument(
        "--training",
        metavar="PATH",
        help="A crop cache (.npz), a folder of TFRecord shards or, with --dataset, its folder.",
    )
    faces.add_argument("--dataset", help="Name of the data set in the folder, e.g. 300w.")
    faces.add_argument("--split", nargs="+", metavar="SPLIT", help="Its training splits.")
    faces.add_argument(
        "--without-last",
        type=int,
        default=0,
        metavar="N",
        help="Leave out the last N faces by name, held out for evaluation, and their photographs.",
    )
    add_tuning_options(arguments)
    return arguments


def add_tuning_options(arguments: argparse.ArgumentParser) -> None:
    """Adds the settings of the kinds that are fine-tuned."""
    usual = tuning.Tuning()
    group = arguments.add_argument_group("fine-tuning")
    usually = "; ".join(f"{k} {n} and {rate:g}" for k, (n, rate) in tuning.USUAL.items())
    group.add_argument(
        "--epochs", type=int, help=f"Epochs to train. Usual epochs and rate: {usually}."
    )
    group.add_argument("--rate", type=float, help="Peak learning rate of Adam.")
    group.add_argument(
        "--tuning-batch",
        type=int,
        default=usual.batch_size,
        metavar="FACES",
        help="Faces in one step.",
    )
    group.add_argument("--augment", default=usual.augment, help="Augmentation preset.")
    group.add_argument(
        "--seed", type=int, default=usual.seed, help="Seed of the faces' order and augmentation."
    )
    group.add_argument(
        "--sparsity",
        type=float,
        default=usual.sparsity,
        help="Share of zeros in every kernel of kind pruned.",
    )
    group.add_argument(
        "--clusters",
        type=int,
        default=usual.clusters,
        help="Different values in every kernel of kind clustered.",
    )
    group.add_argument(
        "--base",
        choices=tuning.BASES,
        default=usual.base,
        help="Number format in which kinds pruned and clustered are written.",
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
