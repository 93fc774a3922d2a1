"""Whether faces of other markups help: 300-W alone beside 300-W with further sets, as often shown.

    python recipes/several_sets.py --data 300W --others OTHERS --out runs/several

OTHERS holds ``scut_fbp5500`` (86 points), ``imm`` (58) and ``webmorph`` (189), folders of .pts
files. Of their points those that 300-W's markup has, too, are learned; they are what
``tfalign train 300w --also pts=DIR scheme=FILE.json`` takes, with the files that OUT/schemes then
holds. Both trainings see --steps batches of 32 faces, the same model from the same random weights,
and are measured on the last 120 names of helen/trainset, which neither sees.

OUT/several_sets.json has both errors, their paired difference with its standard error, and the
processor seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import markup, training
from tfalign.argument_help import ArgumentParser
from tfalign.cli.program import run_recipe
from tfalign.cli.train import further_faces, read_faces
from tfalign.evaluation import evaluate_model
from tfalign.files import write_json

# Each set's points that 300-W's markup has, too: the set's index to the point's name.
KNOWN: dict[str, tuple[int, dict[int, str]]] = {
    "scut_fbp5500": (
        86,
        {
            11: "chin",
            42: "right_eye_inner",
            46: "right_eye_outer",
            50: "left_eye_outer",
            54: "left_eye_inner",
            66: "nose_base",
            73: "left_mouth_corner",
            76: "upper_lip_top",
            79: "right_mouth_corner",
        },
    ),
    "imm": (
        58,
        {
            13: "left_eye_outer",
            17: "left_eye_inner",
            21: "right_eye_outer",
            25: "right_eye_inner",
            39: "right_mouth_corner",
            43: "left_mouth_corner",
        },
    ),
    "webmorph": (189, {87: "right_mouth_corner", 93: "left_mouth_corner", 129: "chin"}),
}


def scheme_of(name: str) -> markup.LandmarkScheme:
    """Returns a set's scheme; its other points have names of their own and are not learned."""
    count, known = KNOWN[name]
    points = tuple(known.get(i, f"{name} point {i:03d} of its own") for i in range(count))
    return markup.LandmarkScheme(name, points, flip_pairs=None)


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains both and returns the content of ``several_sets.json``."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="Folder of 300-W.")
    parser.add_argument(
        "--others", type=Path, required=True, metavar="DIR", help="Folder of the other sets."
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="Folder for both runs."
    )
    parser.add_argument("--steps", type=int, default=2000, metavar="N", help="Batches of 32 faces.")
    parser.add_argument("--image-size", type=int, default=64, metavar="PIXELS", help="The input.")
    arguments = parser.parse_args(words)
    faces = read_faces("300w", arguments.data)
    also = []
    for name in KNOWN:
        file = arguments.out / "schemes" / f"{name}.json"
        scheme_of(name).to_json(file)
        also.append([f"pts={arguments.others / name}", f"scheme={file}"])
    parts = {"300-W alone": [faces.train]}
    parts["300-W and three further sets"] = [faces.train, *further_faces(faces.train, also)]
    rows: dict[str, dict[str, float]] = {}
    errors = []
    for name, chosen in parts.items():
        began = time.process_time()
        result = training.train(
            "greglref",
            chosen,
            options={"trunk": "compact", "image_size": 2 * (arguments.image_size,)},
            test=faces.test,
            validation=0,
            steps=arguments.steps,
            out=arguments.out / name.replace(" ", "_"),
        )
        seconds = time.process_time() - began
        measured = evaluate_model(result.model, faces.test, "300w_inter_ocular", progress=False)
        errors.append(measured.score.errors)
        rows[name] = {
            "faces": sum(map(len, chosen)),
            "nme": measured.nme,
            "failure_rate": measured.failure_rate,
            "processor_seconds": seconds,
        }
    difference = errors[1] - errors[0]
    found = {
        "steps": arguments.steps,
        "tested": len(faces.test),
        "rows": rows,
        "difference": float(difference.mean()),
        "standard_error": float(difference.std(ddof=1) / np.sqrt(len(difference))),
    }
    write_json(arguments.out / "several_sets.json", found)
    for name, row in rows.items():
        print(
            f"{name}: {row['faces']} faces, NME {100 * row['nme']:.2f} %, "
            f"{row['processor_seconds']:.0f} s of one processor"
        )
    print(
        f"difference {100 * found['difference']:+.2f} ± {100 * found['standard_error']:.2f} points "
        f"on {found['tested']} faces"
    )
    return found


if __name__ == "__main__":
    sys.exit(run_recipe(main))
