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
from mobile_export.exporter import KINDS, TUNED, ExportResult, export
from tfalign.argument_help import HelpFormatter
from tfalign.models import load


def parser() -> argparse.ArgumentParser:
    """Returns the program's arguments."""
    arguments = argparse.ArgumentParser(
        prog="python -m mobile_export",
        description="Export a landmark model to .tflite, with metadata and golden outputs.",
        formatter_class=HelpFormatter,
    )
    arguments.add_argument("model", help="a model saved as .keras, or a shipped preset")
    arguments.add_argument(
        "--kind", choices=KINDS, default="float32", help="what the weights and sums are"
    )
    arguments.add_argument(
        "--calibration",
        help="for int8 kinds: a folder of face crops from training data, or a crop cache (.npz)",
    )
    arguments.add_argument("--out", default="build", help="folder to write (default: build)")
    arguments.add_argument(
        "--input", choices=("uint8", "float32"), default="uint8", help="type of the input pixels"
    )
    faces = arguments.add_argument_group(f"faces to fine-tune on ({', '.join(TUNED)})")
    faces.add_argument(
        "--training",
        metavar="PATH",
        help="a crop cache (.npz), a folder of TFRecord shards or, with --dataset, its folder",
    )
    faces.add_argument("--dataset", help="name of the data set in the folder, e.g. 300w")
    faces.add_argument("--split", nargs="+", metavar="SPLIT", help="its training splits")
    faces.add_argument(
        "--without-last",
        type=int,
        default=0,
        metavar="N",
        help="leave out the last N faces by name, held out for evaluation, and their photographs",
    )
    add_tuning_options(arguments)
    return arguments


def add_tuning_options(arguments: argparse.ArgumentParser) -> None:
    """Adds the settings of the kinds that are fine-tuned."""
    usual = tuning.Tuning()
    group = arguments.add_argument_group("fine-tuning")
    usually = "; ".join(f"{k} {n} and {rate:g}" for k, (n, rate) in tuning.USUAL.items())
    group.add_argument("--epochs", type=int, help=f"length (epochs and rate: {usually})")
    group.add_argument("--rate", type=float, help="peak learning rate of Adam")
    group.add_argument(
        "--tuning-batch", type=int, default=usual.batch_size, metavar="FACES", help="in a step"
    )
    group.add_argument("--augment", default=usual.augment, help="augmentation preset")
    group.add_argument("--seed", type=int, default=usual.seed, help="of order and augmentation")
    group.add_argument("--sparsity", type=float, default=usual.sparsity, help="of pruned")
    group.add_argument("--clusters", type=int, default=usual.clusters, help="of clustered")
    group.add_argument(
        "--base", choices=tuning.BASES, default=usual.base, help="kind of pruned and clustered"
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
    model = load(options.model)
    tuned = options.kind in TUNED
    return export(
        model,
        options.kind,
        options.calibration,
        options.out,
        input_dtype=options.input,
        training=read_faces(options, model) if tuned else None,
        tuning=make_tuning(options, model, options.kind) if tuned else None,
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
