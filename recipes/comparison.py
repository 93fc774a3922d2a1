"""The options of programs that compare several trainings on 300-W."""

from __future__ import annotations

import argparse
from pathlib import Path

from tfalign.argument_help import HelpFormatter


def parser(
    description: str | None, batch_size: int, validation: int | None = None
) -> argparse.ArgumentParser:
    """Returns a parser with what such programs share.

    Args:
        description: The program's docstring, shown by ``--help``.
        batch_size: Default of ``--batch-size``.
        validation: Default of ``--validation``; None leaves that option out.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=HelpFormatter)
    made.add_argument("--data", type=Path, required=True, metavar="DIR", help="300-W's folder.")
    made.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="A new folder, or that of a killed run.",
    )
    made.add_argument(
        "--holdout",
        type=int,
        default=120,
        metavar="FACES",
        help="How many test faces to hold out: the last names of helen/trainset.",
    )
    if validation is not None:
        made.add_argument(
            "--validation",
            type=int,
            default=validation,
            metavar="FACES",
            help="How many training faces to split out and watch.",
        )
    made.add_argument("--batch-size", type=int, default=batch_size, help="Faces in a step.")
    made.add_argument("--seed", type=int, default=0, help="Decides weights, order, augmentation.")
    return made
