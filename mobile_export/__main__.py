"""``python -m mobile_export MODEL.keras --kind KIND [--calibration DIR] [--out DIR]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mobile_export.exporter import KINDS, export


def parser() -> argparse.ArgumentParser:
    """Returns the program's arguments."""
    arguments = argparse.ArgumentParser(
        prog="python -m mobile_export",
        description="Export a landmark model to .tflite, with metadata and golden outputs.",
    )
    arguments.add_argument("model", help="a model saved as .keras, or a shipped preset")
    arguments.add_argument("--kind", choices=KINDS, default="float32")
    arguments.add_argument(
        "--calibration",
        help="for int8 kinds: a folder of face crops from training data, or a crop cache (.npz)",
    )
    arguments.add_argument("--training", help="for tuned kinds: a crop cache (.npz) to train on")
    arguments.add_argument("--out", default="build", help="folder to write (default: build)")
    arguments.add_argument(
        "--input", choices=("uint8", "float32"), default="uint8", help="type of the input pixels"
    )
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program and returns its exit status; what users do wrong is printed as one line."""
    options = parser().parse_args(argv)
    try:
        result = export(
            options.model,
            options.kind,
            options.calibration,
            options.out,
            input_dtype=options.input,
            training=options.training,
        )
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(result.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
