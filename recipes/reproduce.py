"""Trains the papers' architectures alike on 300-W, near one size, and compares them.

    python recipes/reproduce.py --data DIR --out runs/reproduce

Every model gets the same training faces, boxes, crop convention, augmentation, seed and number of
face presentations, in batches of one size; its own paper's phases share that budget ("cpu"
schedules). All start from random weights at the mean shape. Sizes are chosen for about 60 million
multiply-accumulates per image; what cannot be alike stands with its row below and in the results.
DIR has the layout of train_300w.py, which also says which faces are the test faces. The last
--validation names of helen/trainset before those are held out as well: schedules that watch an
error watch theirs, and the test faces are looked at once, when a row is finished.

Each row is a run of its own in OUT/ROW, exported as float32 and int8 (calibrated on training
faces). A killed program continues where it stopped when the command is given again; finished rows
are not repeated; several processes may work on one OUT and take different rows. Each ends by
writing OUT/table.csv, results.json, ced.png and report.html over the rows that are finished, with
the latencies of all of them measured in turns, on one thread. A row that fails is told, the others
are trained all the same, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from mobile_export.measured import export_and_measure
from tfalign import training
from tfalign.cli.program import one_line, run_recipe
from tfalign.cli.train import read_faces
from tfalign.data import sets, synthetic
from tfalign.data.readers import Reader
from tfalign.files import claimed, read_json, settle, write_json

sys.path.insert(0, str(Path(__file__).resolve().parent))
import comparison
from reproduce_table import finished, write

PROTOCOL = "300w_inter_ocular"


@dataclass(frozen=True)
class Row:
    """One model of the comparison.

    Attributes:
        model: Its name in ``tfalign.models.ARCHITECTURES``.
        paper: Citation.
        image_size: Side of its input in pixels.
        width: Multiplier on its channels.
        published: Method and protocol of its paper's own result on the full 300-W test set.
        remark: What is not alike for it.
    """

    model: str
    paper: str
    image_size: int
    width: float = 1.0
    published: tuple[str, str] | None = None
    remark: str = ""


ROWS = {
    "gregnet": Row(
        "gregnet",
        "Su, Wang, Liao, Ling, CVPRW 2019",
        image_size=112,
        published=("GRegNet", "300w_inter_ocular"),
        remark="Our mobile trunk instead of ResNet-18.",
    ),
    "greglref": Row(
        "greglref",
        "Su, Wang, Liao, Ling, CVPRW 2019",
        image_size=112,
        published=("GRegLRef", "300w_inter_ocular"),
        remark="Our mobile trunk instead of ResNet-18.",
    ),
    "two_stage": Row(
        "two_stage",
        "Lv, Shao, Xing, Cheng, Zhou, CVPR 2017",
        image_size=104,
        width=0.15,
        published=("TSR Proposed", "300w_inter_ocular"),
        remark="With batch normalisation; its four steps share the presentations.",
    ),
    "deepreg": Row(
        "deepreg",
        "Deep Regression for Face Alignment, arXiv 1409.5230, 2014",
        image_size=128,
        published=("DeepReg", "300w_inter_pupil"),
        remark="The paper's own size; its regressions start from a solution in closed form over "
        "two augmented passes, which are not among the presentations.",
    ),
    "dssd": Row(
        "dssd",
        "Liu, Lu, Feng, Zhou, TIP 2017",
        image_size=128,
        width=0.375,
        remark="One refinement; k-means of the initial shapes and the start of its detectors look "
        "at training faces beside the presentations.",
    ),
    "rdssd": Row(
        "rdssd",
        "Liu, Lu, Feng, Zhou, TIP 2017",
        image_size=128,
        width=0.1875,
        remark="Five stages; otherwise as dssd.",
    ),
    "ccnn": Row(
        "ccnn",
        "Mahpod, Das, Maiorana, Keller, Campisi, 2018",
        image_size=120,
        width=0.1875,
        published=("CCNN", "300w_inter_ocular"),
        remark="Our mobile base, separable filters and two units instead of the paper's four.",
    ),
}


def options() -> argparse.ArgumentParser:
    parser = comparison.parser(__doc__, batch_size=32, validation=80)
    parser.add_argument(
        "--presentations",
        type=int,
        default=32_000,
        metavar="FACES",
        help="faces shown to each model, repetitions counted; phases round up to whole epochs",
    )
    parser.add_argument("--augment", default="light", help="preset of tfalign.data.augment")
    parser.add_argument(
        "--only", nargs="+", choices=ROWS, default=list(ROWS), help="train these rows only"
    )
    parser.add_argument(
        "--start-from-synthetic",
        metavar="DIR|N",
        help="train every model first on the faces of a WFLW folder, or on N rendered ones, for as "
        "many presentations again, and start from there; off by default",
    )
    parser.add_argument("--latency-runs", type=int, default=50, help="timed runs of each file")
    return parser


@dataclass(frozen=True)
class Faces:
    """Faces to train on, to watch and to measure on, and what the last are, in words."""

    train: Reader
    held_out: Reader
    test: Reader
    test_name: str


def compared_faces(data: Path, holdout: int, validation: int) -> Faces:
    """Returns the faces to train on, to validate on and to test on."""
    faces = read_faces("300w", data, holdout)
    train, held_out = sets.get("300w").hold_out(faces.train, validation)
    return Faces(train, held_out, faces.test, faces.test_name)


def read_synthetic(source: str, out: Path, seed: int) -> Faces:
    """Returns faces of 98 points as faces of 68; renders them into OUT/faces if it is a number."""
    folder = Path(source)
    if source.isdigit():
        # No test faces of its own are needed, but WFLW's layout has some.
        folder = synthetic.write_wflw(out / "faces", int(source), test=1, seed=seed)
    known = sets.get("wflw")
    train, held_out = known.hold_out(known.read(folder, "train", scheme="ibug68"))
    return Faces(train, held_out, held_out, f"held-out faces of {source}")


def train(
    name: str, arguments: argparse.Namespace, faces: Faces, out: Path, start: Path | None = None
) -> dict[str, Any]:
    """Trains a row's model, or loads its finished run."""
    row = ROWS[name]
    # The names that Keras gives to unnamed layers must not depend on the models made before.
    keras.utils.clear_session()
    size = (row.image_size, row.image_size)
    width = {} if row.model == "deepreg" else {"width": row.width}
    trunk = {"trunk": "mobile"} if row.model in ("greglref", "gregnet") else {}
    return training.train(
        row.model,
        faces.train,
        options={"crop": "300w", "image_size": size, **width, **trunk},
        validation=faces.held_out,
        test=faces.test,
        test_name=faces.test_name,
        protocol=PROTOCOL,
        out=out,
        steps=-(-arguments.presentations // arguments.batch_size),
        batch_size=arguments.batch_size,
        augment=arguments.augment,
        seed=arguments.seed,
        init_weights=start,
    ).summary


def make_row(name: str, arguments: argparse.Namespace, faces: Faces, before: Faces | None) -> None:
    """Trains a row, exports it, measures the exported files and writes ``measured.json``.

    Args:
        name: The row.
        arguments: Options.
        faces: The faces of the comparison.
        before: Faces to train on first, or None.
    """
    folder, start = arguments.out / name, None
    if before is not None:
        train(name, arguments, before, folder / "synthetic")
        start = folder / "synthetic" / "model.keras"
    trained = train(name, arguments, faces, folder, start)
    exported = export_and_measure(
        folder / "model.keras", folder / "calibration.npz", faces.test, PROTOCOL, folder
    )
    # Last: this file means that the row is finished.
    measured = {
        "trained": trained,
        "exported": exported,
        "schedule_sha256": schedule_digest(folder),
    }
    write_json(folder / "measured.json", measured)


def schedule_digest(folder: Path) -> str:
    """Returns the SHA-256 of the schedule that a run followed: which one is not in ``settings``."""
    schedule = read_json(folder / "run.json")["schedule"]
    return hashlib.sha256(json.dumps(schedule, sort_keys=True).encode()).hexdigest()


def settings(arguments: argparse.Namespace, faces: Faces) -> dict[str, Any]:
    """Returns what all rows of one OUT have in common."""
    return {
        "presentations": arguments.presentations,
        "batch_size": arguments.batch_size,
        "augment": arguments.augment,
        "seed": arguments.seed,
        "start_from_synthetic": arguments.start_from_synthetic,
        "protocol": PROTOCOL,
        "train": [faces.train.fingerprint()],
        "validation": faces.held_out.fingerprint(),
        "test": faces.test.fingerprint(),
    }


def claim_row(name: str, out: Path, common: Mapping[str, Any]) -> None:
    """Makes a row's folder its own, or raises ``ValueError`` if another size was trained there."""
    row = asdict(ROWS[name])
    size = {key: row[key] for key in ("model", "image_size", "width")}
    settle(out / name, {**common, **size})


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Runs the program.

    Returns:
        The content of ``results.json``, or {} if no row is finished; and under ``"errors"`` the
        rows that failed, if any did.

    Raises:
        ValueError: If OUT holds rows of other settings.
    """
    arguments = options().parse_args(argv)
    faces = compared_faces(arguments.data, arguments.holdout, arguments.validation)
    common = settings(arguments, faces)
    settle(arguments.out, common)
    before = None
    failed: list[str] = []
    for name in arguments.only:
        with claimed(arguments.out / name) as free:
            if not free:
                print(f"{name}: another process works on it", flush=True)
                continue
            try:
                claim_row(name, arguments.out, common)
                if finished(arguments.out / name):
                    continue
                print(f"{name}:", flush=True)
                if arguments.start_from_synthetic and before is None:
                    source = arguments.start_from_synthetic
                    before = read_synthetic(source, arguments.out, arguments.seed)
                make_row(name, arguments, faces, before)
            except (ValueError, FloatingPointError) as error:
                # A training that diverged, say. The other rows do not depend on it.
                traceback.print_exc()
                failed.append(f"{name}: {one_line(error)}")
    done = [name for name in ROWS if finished(arguments.out / name)]
    for name in done:  # also those that were not asked for: the table is over all
        claim_row(name, arguments.out, common)
    content = write(ROWS, arguments, faces, common) if done else {}
    return {**content, "errors": failed} if failed else content


if __name__ == "__main__":
    sys.exit(run_recipe(main))
