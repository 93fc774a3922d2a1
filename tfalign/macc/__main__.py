"""Command line: ``python -m tfalign.macc NAME | FILE.keras | FILE.tflite``.

Examples:
    python -m tfalign.macc GRegLRef --num-landmarks 98
    python -m tfalign.macc GRegLRef --num-landmarks 68 --width 0.5 --set trunk=mobile
    python -m tfalign.macc runs/wflw/model.keras --compact
    python -m tfalign.macc build/model.tflite --json counts.json

For a model, prints the count of the Keras graph and the count of the ``.tflite`` file that Keras
exports from it (``--no-tflite`` leaves that out); for a ``.tflite``, the count of the file.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from tfalign import models
from tfalign.argument_help import ArgumentParser
from tfalign.files import write_json
from tfalign.macc import Report, count, count_tflite


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
        arguments: the command line; None takes the process's own.

    Returns:
        The exit status: 0; 1 where the two counts disagree; 2 for a mistake in the arguments.
    """
    parser = ArgumentParser(
        prog="python -m tfalign.macc",
        description="Counts multiply-accumulates and parameters of a model.",
    )
    add_options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="Also write the counts as JSON.")
    options = parser.parse_args(arguments)
    try:
        reports = make_reports(options)
        print(tables(options, reports), flush=True)
        if options.json:
            plain = [report.to_dict() for report in reports]
            write_json(options.json, plain)
    except (OSError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if agree(reports) else 1


def agree(reports: Sequence[Report]) -> bool:
    """Whether all counts of a model have the same multiply-accumulates."""
    return len({report.macc for report in reports}) == 1


def tables(options: argparse.Namespace, reports: Sequence[Report]) -> str:
    """Returns the counts as text, with a verdict where there are two."""
    blocks = [str(r) if options.totals else r.table(options.compact) for r in reports]
    if len(reports) == 2:
        keras_macc, file_macc = (f"{report.macc:,} MACC" for report in reports)
        verdict = "agree" if agree(reports) else "DISAGREE"
        blocks.append(f"Keras {keras_macc}, .tflite {file_macc}: they {verdict}")
    return "\n\n".join(blocks)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what to count and how to print it."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="A class of tfalign.models, a preset, a .keras file or a .tflite file.",
    )
    parser.add_argument(
        "--num-landmarks", type=int, metavar="N", help="How many landmarks a class is made for."
    )
    parser.add_argument(
        "--width", type=float, help="Multiplier on the channels of a class; 1 is the paper's."
    )
    parser.add_argument(
        "--input-shape",
        type=int,
        nargs=3,
        metavar=("HEIGHT", "WIDTH", "CHANNELS"),
        help="Shape of the picture that a class is made for.",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="ARGUMENT=VALUE",
        help="Any other argument of a class; may be given several times.",
    )
    parser.add_argument("--compact", action="store_true", help="Leave out rows without arithmetic.")
    parser.add_argument("--totals", action="store_true", help="Print the totals alone.")
    parser.add_argument("--no-tflite", action="store_true", help="Count the Keras graph alone.")


def make_reports(options: argparse.Namespace) -> list[Report]:
    """Counts what the options name.

    Returns:
        One report, or the Keras graph's and its ``.tflite``'s.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the model or an argument of it is unknown, or a file is damaged.
    """
    suffix = Path(options.model).suffix
    arguments = _constructor_arguments(options)
    if arguments and (suffix in (".keras", ".tflite") or options.model in models.shipped_presets()):
        raise ValueError(
            "Constructor arguments are for a class by name; a file or a preset has its own. "
            f"Received: model={options.model!r} with {sorted(arguments)}"
        )
    if suffix == ".tflite":
        return [count_tflite(options.model)]
    saved = suffix == ".keras" or options.model in models.shipped_presets()
    model = models.load(options.model) if saved else _construct(options.model, arguments)
    report = count(model)
    return [report] if options.no_tflite else [report, _count_exported(model)]


def _constructor_arguments(options: argparse.Namespace) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for item in options.set:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"--set takes ARGUMENT=VALUE. Received: --set {item}")
        try:
            arguments[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            arguments[name] = value  # A plain word is a string.
    for name in ("num_landmarks", "width", "input_shape"):
        if getattr(options, name) is not None:
            arguments[name] = getattr(options, name)
    return arguments


def _construct(name: str, arguments: dict[str, Any]) -> keras.Model:
    constructors = {
        public.lower(): getattr(models, public)
        for public in models.__all__
        if public != "LandmarkModel" and callable(getattr(models, public))
    }
    if name.lower() not in constructors:
        names = [public for public in models.__all__ if public.lower() in constructors]
        raise ValueError(
            f"A model is one of {names}, a .keras file or a .tflite file. Received: model={name!r}"
        )
    constructor = constructors[name.lower()]
    parameters = inspect.signature(constructor).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    unknown = sorted(set(arguments) - set(parameters))
    if unknown and not takes_any:
        raise ValueError(f"{constructor.__name__} takes {sorted(parameters)}. Received: {unknown}")
    return constructor(**arguments)


def _count_exported(model: keras.Model) -> Report:
    """Count of the float32 ``.tflite`` that Keras itself exports, for one image."""
    signature = [
        keras.InputSpec(shape=(1, *tensor.shape[1:]), dtype="float32") for tensor in model.inputs
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{model.name}.tflite"
        try:
            model.export(path, format="litert", input_signature=signature, verbose=False)
            return count_tflite(path)
        except (ImportError, ValueError) as error:
            raise ValueError(
                f"The model cannot be counted as a .tflite here ({error}); --no-tflite counts the "
                f"Keras graph alone. Received: backend={keras.backend.backend()!r}, "
                f"keras={keras.version()}"
            ) from error


if __name__ == "__main__":
    sys.exit(main())
