"""Stores the text of every command's ``--help``, which the command prints before Keras is loaded.

    python -m tfalign.cli.stored_help

To be run when an option, or what it tells, was changed; a test compares the texts with the parsers.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from tfalign.cli import program
from tfalign.files import write_whole
from tfalign_command import COMMANDS

FOLDER = Path(__file__).with_name("help")


def help_text(name: str) -> str:
    """Returns what the parser of a command tells, for a terminal of 80 columns."""
    usual = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"
    try:
        module = importlib.import_module(f"tfalign.cli.{COMMANDS[name].module}")
        return program.parser_of(name, module).format_help()
    finally:
        del os.environ["COLUMNS"]
        if usual is not None:
            os.environ["COLUMNS"] = usual


def main() -> None:
    """Writes them all."""
    for name in COMMANDS:
        write_whole(FOLDER / f"{name}.txt", help_text(name))


if __name__ == "__main__":
    main()
