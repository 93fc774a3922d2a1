"""Renders a synthetic data set in WFLW's layout: faces with 98 exact landmarks, no photographs.

    tfalign render --out faces
    tfalign render --out faces --train 8000 --test 400 --size 256 --seed 7
    tfalign train wflw --data faces --out runs/synthetic

The contents depend on --train, --test, --size and --seed alone; an interrupted run continues when
the same command is given again. OUT/sheet.jpg shows some of the training faces.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfalign.argument_help import ArgumentParser
from tfalign.data import synthetic

SHEET = "sheet.jpg"


def options(prog: str = "tfalign render") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="A new folder.")
    parser.add_argument(
        "--train", type=int, default=2000, metavar="FACES", help="How many faces to train on."
    )
    parser.add_argument(
        "--test", type=int, default=300, metavar="FACES", help="How many faces to measure on."
    )
    parser.add_argument(
        "--size", type=int, default=256, metavar="PIXELS", help="Side of a picture."
    )
    parser.add_argument("--seed", type=int, default=0, help="Decides all that is drawn.")
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="How many processes share the work."
    )
    parser.add_argument("--quiet", action="store_true", help="Show no progress bar.")
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Renders; returns where the faces are."""
    out = synthetic.write_wflw(
        arguments.out,
        arguments.train,
        arguments.test,
        arguments.size,
        arguments.seed,
        arguments.workers,
        progress=not arguments.quiet,
    )
    synthetic.contact_sheet(out / SHEET, rows=2, cols=6, seed=arguments.seed)
    print(f"{arguments.train} + {arguments.test} faces in {out}, some of them in {out / SHEET}")
    return {
        "out": str(out),
        "train": arguments.train,
        "test": arguments.test,
        "size": arguments.size,
        "seed": arguments.seed,
        "sheet": str(out / SHEET),
    }


def next_steps(arguments: argparse.Namespace, result: Mapping[str, Any]) -> list[list[str]]:
    """Returns the commands that a user may want now, each as its words."""
    return [["tfalign", "train", "wflw", "--data", result["out"], "--out", "runs/rendered"]]
