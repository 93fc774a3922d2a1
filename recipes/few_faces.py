"""What shipped weights are worth to a model of one's own from few labelled faces.

    python recipes/few_faces.py 300w --data 300W --out runs/few
    python recipes/few_faces.py scut --data SCUT-FBP5500 --out runs/few_scut

Five points (the eyes' centres, the nose, the corners of the mouth) of --faces faces are learned by
GRegLRef with the trunk ``compact``, once with the weights of the preset ``300w``
(--init-weights 300w) and once from random ones, in as many steps. The preset learned from 300-W's
training faces, and so from those that are learned here; it never saw the test faces, the last 120
names of helen/trainset, nor any face of SCUT-FBP5500. SCUT's 86 points (a folder of .pts files) are
its own; 1,000 of its faces are the test faces.

Errors are divided by the distance of the eyes. OUT/few_faces.json and the printed table have them
with the processor seconds of each training: on one thread (OMP_NUM_THREADS=1
TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1) those of one idle core.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import markup, training
from tfalign.argument_help import ArgumentParser
from tfalign.cli.program import run_recipe
from tfalign.data import sets
from tfalign.data.readers import Reader
from tfalign.data.readers.record import Record
from tfalign.files import write_json

FIVE = markup.LandmarkScheme(
    "five",
    ("right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner"),
    normalizer=((0,), (1,)),
)
# The points of the set whose mean each of the five is.
SOURCES: dict[str, tuple[tuple[int, ...], ...]] = {
    "300w": (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
    "scut": ((58,), (59,), (66,), (79,), (73,)),  # the nose's base, for want of a tip
}
TESTED = {"300w": 120, "scut": 1000}


def five_points(reader: Reader, sources: Sequence[Sequence[int]]) -> Reader:
    """Returns the faces with five of their points, and the boxes around all that they had."""

    def one(record: Record) -> Record:
        points = np.array([record.landmarks[list(s)].mean(axis=0) for s in sources], np.float32)
        known = np.ones(len(sources), bool)
        changed = replace(record, landmarks=points, visible=known, annotated=known)
        return replace(changed, box_source="file")

    records = [one(record) for record in reader.records]
    return Reader("five points", FIVE, records, reader.report)


def read(name: str, data: Path, count: int) -> tuple[Reader, Reader]:
    """Returns ``count`` faces to train on, spread over the names, and those to test on."""
    known = sets.get("300w" if name == "300w" else "pts")
    faces = known.read(data, "train")
    rest, test = known.hold_out(faces, TESTED[name])
    chosen = np.linspace(0, len(rest) - 1, count).astype(int)
    few = rest.subset([rest.records[i] for i in chosen])
    return five_points(few, SOURCES[name]), five_points(test, SOURCES[name])


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains both and returns the content of ``few_faces.json``."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=list(SOURCES), help="Whose faces.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Its folder.")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="Folder for both runs."
    )
    parser.add_argument("--faces", type=int, default=200, metavar="N", help="Faces to learn from.")
    parser.add_argument("--steps", type=int, default=600, metavar="N", help="Batches of 32 faces.")
    arguments = parser.parse_args(words)
    few, test = read(arguments.set, arguments.data, arguments.faces)
    rows: dict[str, dict[str, float]] = {}
    for name, weights in (("from 300w", "300w"), ("from random weights", None)):
        began = time.process_time()
        result = training.train(
            "greglref",
            few,
            options={"trunk": "compact"},
            test=test,
            validation=0,
            steps=arguments.steps,
            init_weights=weights,
            out=arguments.out / name.replace(" ", "_"),
        )
        rows[name] = {
            "nme": result.summary["nme"],
            "failure_rate": result.summary["failure_rate"],
            "processor_seconds": time.process_time() - began,
        }
    found = {
        "set": arguments.set,
        "faces": len(few),
        "tested": len(test),
        "steps": arguments.steps,
        "rows": rows,
    }
    write_json(arguments.out / "few_faces.json", found)
    for name, row in rows.items():
        print(
            f"{name}: NME {100 * row['nme']:.2f} % of the eyes' distance on {len(test)} faces, "
            f"{row['processor_seconds']:.0f} s of one processor, measuring included"
        )
    return found


if __name__ == "__main__":
    sys.exit(run_recipe(main))
