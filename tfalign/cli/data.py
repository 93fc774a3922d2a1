"""Lists the data sets that every command takes by name, or tells about one of them.

    tfalign data
    tfalign data 300w
    tfalign data coco                 # of your own faces: what the reader must be told, if anything

Of one set it tells the layout of its files, splits, boxes, protocols, licence and where to get it,
and what ``--reader NAME=VALUE`` can tell its reader. The sets coco, imglab, pts and csv are forms
in which annotation tools write faces and points of your own.
"""

from __future__ import annotations

import argparse
from typing import Any

from tfalign.argument_help import ArgumentParser
from tfalign.data import sets


def options(prog: str = "tfalign data") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("dataset", nargs="?", metavar="SET", help="Data set to tell about.")
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Prints; returns name and summary of each set that was asked for."""
    chosen = [sets.get(arguments.dataset)] if arguments.dataset else list(sets.SETS.values())
    if arguments.dataset:
        print(chosen[0].table())
    else:
        width = max(len(known.name) for known in chosen)
        for known in chosen:
            print(f"{known.name:<{width}}  {known.summary}")
    return {"sets": [{"name": known.name, "summary": known.summary} for known in chosen]}
