"""``python -m mobile_export.check FOLDER…``: is an export still what it was?

Checks an export's folder: the files against their SHA-256, the operators against the built-in ones,
the arithmetic against the metadata, and the golden outputs by running them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mobile_export import golden, metadata, operators
from mobile_export.flatbuffer import read_graph
from tfalign.argument_help import HelpFormatter
from tfalign.files import sha256


def check(folder: str | Path) -> golden.Replay:
    """Checks one export and returns what replaying its golden outputs gave.

    Args:
        folder: Folder with ``model.tflite``, ``metadata.json`` and ``golden.npz``.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged or not the one that the metadata was written for.
    """
    from tfalign import macc

    folder = Path(folder)
    data = metadata.read(folder)
    for name, expected in data["sha256"].items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"An export holds {name}. Received: folder={str(folder)!r}")
        found = sha256(path)
        if found != expected:
            raise ValueError(
                f"{name} is not the file that metadata.json was written for. Received: "
                f"sha256={found}, expected {expected}"
            )
    operators.check_builtin(read_graph(folder / "model.tflite"))
    counted = macc.count_tflite(folder / "model.tflite").macc
    if counted != data["model"]["macc"]:
        raise ValueError(
            f"The file's arithmetic must equal the Keras model's {data['model']['macc']:,} MACC. "
            f"Received: {counted:,}"
        )
    return golden.replay(folder / "model.tflite", folder / "golden.npz", data["kind"])


def main(argv: Sequence[str] | None = None) -> int:
    """Checks folders and returns 0 if all passed."""
    arguments = argparse.ArgumentParser(
        prog="python -m mobile_export.check",
        description="Check exports: hashes, operators, arithmetic, golden outputs.",
        formatter_class=HelpFormatter,
    )
    arguments.add_argument("folders", nargs="+")
    failed = 0
    for folder in arguments.parse_args(argv).folders:
        try:
            replay = check(folder)
        except (ValueError, OSError, ImportError) as error:
            print(f"{folder}: error: {error}", file=sys.stderr)
            failed += 1
            continue
        verdict = "passed" if replay.passed else "FAILED"
        print(f"{folder}: {verdict}, {replay.max_px:.4f} px (allowed {replay.tolerance_px:g} px)")
        failed += not replay.passed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
