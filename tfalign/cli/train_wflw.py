"""Trains a model on WFLW (98 points) and measures it on WFLW's test faces.

    tfalign train wflw --data DIR --out runs/wflw
    tfalign train wflw --out runs/synthetic                # renders synthetic faces
    tfalign train wflw --data DIR --model gregnet --trunk resnet18 --schedule published \\
        --out runs/published

DIR has the official layout (WFLW_images/, WFLW_annotations/). Without --data, synthetic faces are
rendered into OUT/faces in that layout and trained on, for 600 steps where no length is given: a
demonstration of minutes, whose numbers say nothing about photographs.

Validation after each epoch is on faces held out of the training list; the test faces are looked at
once, at the end. A killed run continues when the same command is given again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tfalign.data import readers, synthetic
from tfalign.training import command_line
from tfalign.training.recipe import Faces, train_and_measure, without_relatives

PROTOCOL = "wflw_inter_ocular"
# Without --data: what two CPU cores render and train in about five minutes.
RENDERED_FACES = (1500, 200)
RENDERED_STEPS = 600


def options(prog: str = "tfalign train wflw") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = command_line.parser(
        str(__doc__).replace("tfalign train wflw", prog), model="greglref", batch_size=32
    )
    parser.prog = prog
    parser.add_argument("--data", type=Path, metavar="DIR", help="WFLW's folder")
    parser.add_argument(
        "--synthetic-faces",
        type=int,
        nargs=2,
        default=RENDERED_FACES,
        metavar=("TRAIN", "TEST"),
        help="how many to render without --data (default: 1500 200)",
    )
    parser.add_argument(
        "--holdout",
        type=float,
        default=0.04,
        metavar="SHARE",
        help="share of the training faces held out for validation",
    )
    return parser


def read_faces(data: Path, holdout: float, name: str) -> Faces:
    """Returns what to train on and what to measure on."""
    everything = readers.wflw.read(data, "train")
    names = [record.name for record in everything.records]
    held_out = set(names[-max(1, round(holdout * len(names))) :])
    # Further faces of one image have a number after its name.
    photographs = {name: name.split("#")[0] for name in names}
    train, held = without_relatives(everything, held_out, photographs)
    return Faces([train], held, readers.wflw.read(data, "test"), name, PROTOCOL)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains and measures; returns the content of ``result.json``."""
    command_line.check_paths(arguments)
    distribution = command_line.prepare(arguments)
    if distribution.writes:
        # Now, not after minutes of rendering or cropping.
        arguments.out.mkdir(parents=True, exist_ok=True)
    data, name = arguments.data, "WFLW test"
    if data is None:
        if arguments.steps is None and arguments.epochs is None:
            arguments.steps = RENDERED_STEPS
        train, test = arguments.synthetic_faces
        data, name = arguments.out / "faces", "synthetic test faces"
        print(f"No --data: rendering {train} + {test} synthetic faces into {data}", flush=True)
        if distribution.writes:
            synthetic.write_wflw(data, train, test, seed=arguments.seed)
    faces = read_faces(data, arguments.holdout, name)
    with distribution.scope():
        model = command_line.make_model(arguments, num_landmarks=98, crop="wflw")
    return train_and_measure(arguments, distribution, model, faces)
