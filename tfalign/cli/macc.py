"""Counts multiply-accumulates (MACC) and parameters, layer by layer.

    tfalign macc GRegLRef --num-landmarks 98
    tfalign macc GRegLRef --num-landmarks 68 --width 0.5 --set trunk=mobile --totals
    tfalign macc runs/wflw/model.keras --compact
    tfalign macc build/model.tflite --json

A model of the package or a .keras file is counted twice, on the Keras graph and on the .tflite that
Keras exports from it; where the two differ, the exit code is 1. --no-tflite leaves the second out.
"""

from __future__ import annotations

import argparse
from typing import Any

from tfalign.argument_help import ArgumentParser
from tfalign.macc import __main__ as program


def options(prog: str = "tfalign macc") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = ArgumentParser(prog=prog, description=__doc__)
    program.add_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Counts and prints; returns the reports as plain data and whether they agree."""
    reports = program.make_reports(arguments)
    print(program.tables(arguments, reports))
    return {"passed": program.agree(reports), "reports": [r.to_dict() for r in reports]}
