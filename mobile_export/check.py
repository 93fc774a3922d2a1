"""``python -m mobile_export.check FOLDER…``: is an export still what it was?

Checks an export's folder: the files against their SHA-256, the operators against the built-in ones,
the arithmetic against the metadata, and the golden outputs by running them: the file must give its
own landmarks again, and the Keras model's within what its kind may lose.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mobile_export import golden
from mobile_export.converter import check_builtin
from mobile_export.exit_status import DIFFERS, DONE, exit_status
from tfalign.argument_help import ArgumentParser
from tfalign.files import sha256
from tfalign.tflite import Graph, Metadata, Runner


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
    about = Metadata.read(folder)
    for name, expected in about.sha256.items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"An export holds {name}. Received: folder={str(folder)!r}")
        found = sha256(path)
        if found != expected:
            raise ValueError(
                f"{name} is not the file that metadata.json was written for. Received: "
                f"sha256={found}, expected {expected}"
            )
    graph = Graph.read(folder / "model.tflite")
    check_builtin(graph)
    expected_macc = about.model.get("macc")
    if expected_macc is not None:
        counted = macc.count_tflite(graph).macc
        if counted != expected_macc:
            raise ValueError(
                f"The file's arithmetic must equal the Keras model's {expected_macc:,} MACC. "
                f"Received: {counted:,}"
            )
    allowed = bool((about.quality or {}).get("loss_allowed"))
    return golden.replay(Runner(graph), folder / "golden.npz", about.kind, allowed)


def main(argv: Sequence[str] | None = None) -> int:
    """Checks every folder and returns the worst exit status."""
    arguments = ArgumentParser(
        prog="python -m mobile_export.check",
        description="Checks exported folders: hashes, operators, arithmetic, golden outputs.\n\n"
        "    python -m mobile_export.check build/int8",
    )
    arguments.add_argument(
        "folders", nargs="+", metavar="DIR", help="Folders that an export wrote."
    )
    folders = arguments.parse_args(argv).folders

    def one(folder: str) -> int:
        replay = check(folder)
        print(f"{folder}: {replay}")
        return DONE if replay.passed else DIFFERS

    return max(exit_status(lambda folder=folder: one(folder)) for folder in folders)


if __name__ == "__main__":
    sys.exit(main())
