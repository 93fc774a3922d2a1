"""Trains a model on 300-W (68 points) and measures it on faces that it was not trained on.

    tfalign train 300w --data DIR --out runs/300w
    tfalign train 300w --data DIR --steps 20000 --init-weights runs/synthetic/model.keras \\
        --out runs/300w

DIR has the official layout (afw/, helen/trainset/, ..., NAME.jpg beside NAME.pts). Where
helen/testset is there, the official test folders that exist are the test faces; else the last
names of helen/trainset, sorted, are held out for that. The result is OUT/result.json,
OUT/model.keras, OUT/report.html and OUT/history.csv; a killed run continues when the same command
is given again.

For accuracy on a small set, train on rendered faces first, whose 98 points become 68, and then for
tens of thousands of steps on the photographs with --init-weights:

    tfalign train wflw --synthetic-faces 8000 400 --steps 3000 --out runs/synthetic
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tfalign.data import readers
from tfalign.training import command_line
from tfalign.training.recipe import Faces, train_and_measure, without_relatives

PROTOCOL = "300w_inter_ocular"
TRAIN = ("afw", "helen/trainset", "lfpw/trainset")
TEST = ("helen/testset", "lfpw/testset", "ibug")
HELD_OUT_FOLDER = "helen/trainset/"


def options(prog: str = "tfalign train 300w") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = command_line.parser(
        str(__doc__).replace("tfalign train 300w", prog), model="greglref", batch_size=32
    )
    parser.prog = prog
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="300-W's folder")
    parser.add_argument(
        "--holdout",
        type=int,
        default=120,
        metavar="FACES",
        help="faces of helen/trainset held out where there is no helen/testset",
    )
    parser.add_argument(
        "--extra-ytf",
        type=Path,
        metavar="DIR",
        help="YouTube Faces frames (68 points, machine-made and coarse) trained on as well",
    )
    return parser


def read_faces(data: Path, holdout: int, extra: Path | None) -> Faces:
    """Returns what to train on and what to measure on."""
    everything = readers.w300.read(data, [f for f in TRAIN if (data / f).is_dir()] or None)
    if (data / "helen/testset").is_dir():
        folders = [folder for folder in TEST if (data / folder).is_dir()]
        train, test = everything, readers.w300.read(data, folders)
        name = ", ".join(folders)
    else:
        names = sorted(r.name for r in everything.records if r.name.startswith(HELD_OUT_FOLDER))
        # Faces of one photograph are numbered: NAME_1.jpg, NAME_2.jpg.
        photographs = {r.name: r.name.rsplit("_", 1)[0] for r in everything.records}
        train, test = without_relatives(everything, set(names[-holdout:]), photographs)
        name = f"last {len(test)} names of helen/trainset, sorted"
    frames = [readers.ytf.read(extra)] if extra else []
    return Faces([train, *frames], test, test, name, PROTOCOL)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains and measures; returns the content of ``result.json``."""
    command_line.check_paths(arguments)
    distribution = command_line.prepare(arguments)
    if distribution.writes:
        # Now, not after minutes of rendering or cropping.
        arguments.out.mkdir(parents=True, exist_ok=True)
    faces = read_faces(arguments.data, arguments.holdout, arguments.extra_ytf)
    with distribution.scope():
        model = command_line.make_model(arguments, num_landmarks=68, crop="300w")
    return train_and_measure(arguments, distribution, model, faces)
