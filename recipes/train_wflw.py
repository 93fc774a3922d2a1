"""Trains a model on WFLW (98 points) and measures it on WFLW's test faces.

    python recipes/train_wflw.py --data DIR --out runs/wflw
    python recipes/train_wflw.py --out runs/synthetic          # renders synthetic faces

DIR has the official layout (WFLW_images/, WFLW_annotations/). Without --data, synthetic faces are
rendered into OUT/faces in that layout and trained on; the numbers then say nothing about
photographs. Validation after each epoch is on faces held out of the training list; the test faces
are looked at once, at the end. A killed run continues when the same command is given again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfalign.data import readers, synthetic
from tfalign.training import command_line
from tfalign.training.recipe import Faces, train_and_measure, without_relatives

PROTOCOL = "wflw_inter_ocular"


def options() -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__, model="greglref", batch_size=32)
    parser.add_argument("--data", type=Path, metavar="DIR", help="WFLW's folder")
    parser.add_argument(
        "--synthetic-faces",
        type=int,
        nargs=2,
        default=(4000, 400),
        metavar=("TRAIN", "TEST"),
        help="how many to render without --data",
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


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = command_line.parse(options(), argv)
    distribution = command_line.prepare(arguments)
    data, name = arguments.data, "WFLW test"
    if data is None:
        train, test = arguments.synthetic_faces
        data, name = arguments.out / "faces", "synthetic test faces"
        print(f"No --data: rendering {train} + {test} synthetic faces into {data}", flush=True)
        if distribution.writes:
            synthetic.write_wflw(data, train, test, seed=arguments.seed)
    faces = read_faces(data, arguments.holdout, name)
    with distribution.scope():
        model = command_line.make_model(arguments, num_landmarks=98, crop="wflw")
    return train_and_measure(arguments, distribution, model, faces)


if __name__ == "__main__":
    main()
