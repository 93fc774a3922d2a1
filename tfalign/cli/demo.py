"""Shows everything once, in minutes: render, train, quantize, export, check, measure, report.

    tfalign demo --out runs/demo
    tfalign demo --out runs/mobile --synthetic-faces 4000 400 --steps 3000
    tfalign demo --out runs/wflw --data WFLW --steps 20000        # on photographs, in hours

It renders faces with 98 points into OUT/faces, trains a model on them, writes it as a float32 and
an int8 file for phones, checks both files, and measures the error of all three on rendered faces
that the training did not see. At the end stand a table, with the paper's own figures beside ours, a
picture of some faces, and OUT/demo.html with everything.

The training takes every option of ``tfalign train``. It goes on from the weights of the preset 300w
for 150 steps, as one should on a small set of one's own. With --data, the photographs of WFLW, or
with options of the model or a schedule it starts from random weights, or from --init-weights.
Interrupted, it goes on when the same command is given again; nothing is written outside OUT.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mobile_export.check import check
from mobile_export.exporter import export
from mobile_export.timing import latencies, race
from tfalign import macc
from tfalign.cli import train
from tfalign.cli.demo_report import Row, demo_report, demo_table, overlay, paper_row
from tfalign.data import readers
from tfalign.evaluation import evaluate_model, plots
from tfalign.files import read_json, write_json, write_whole
from tfalign.models.saved import load_model
from tfalign.tflite import require
from tfalign.version import __version__

KINDS = ("float32", "int8")
START = "300w"
STEPS = 150
_EXPORTED = "exported.json"


def options(prog: str = "tfalign demo") -> argparse.ArgumentParser:
    """Returns the program's options: those of the training, and how long to time the files."""
    parser = train.options(prog, "wflw")
    parser.description = __doc__
    parser.add_argument(
        "--runs", type=int, default=50, metavar="N", help="How often each file is timed."
    )
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Does all of it; returns the table's rows, and whether the exported files passed."""
    # Now, not after minutes of training.
    require("tensorflow", "ai_edge_litert", "ai_edge_quantizer")
    out: Path = arguments.out
    start(arguments)
    seconds: dict[str, float] = {}
    with _timed(seconds, "render and train"):
        summary = train.run(arguments)
    with _timed(seconds, "quantize, export, check"):
        model: Any = load_model(out / "model.keras")
        replays = {kind: _exported(model, kind, out) for kind in KINDS}
    passed = all(replay.passed for replay in replays.values())

    with _timed(seconds, "measure"):
        files = {kind: out / kind / "model.tflite" for kind in KINDS}
        faces = readers.wflw.read(arguments.data or out / "faces", "test")
        evaluations = {
            name: evaluate_model(
                model if file is None else str(file),
                faces,
                "wflw_inter_ocular",
                box="file",
                split=summary["split"],
                worst=0,
            )
            for name, file in {"Keras": None, **files}.items()
        }
        paths = list(files.values())
        times = latencies(paths, race(paths, threads=1, runs=arguments.runs))
    counted = macc.count(model)
    rows = [Row.measured("Keras", evaluations["Keras"].score, counted.macc, counted.params)]
    for (kind, file), latency in zip(files.items(), times, strict=True):
        rows.append(
            Row.measured(
                f"{kind} .tflite",
                evaluations[kind].score,
                macc.count_tflite(file).macc,
                counted.params,
                file.stat().st_size,
                latency.median,
            )
        )
    rows += paper_row(arguments.model)

    picture = plots.image_bytes(overlay(faces, evaluations["int8"]), ".jpg")
    write_whole(out / "faces.jpg", picture)
    result = {
        "passed": passed,
        "faces": summary["split"],
        "init_weights": getattr(arguments, "init_weights", None),
        "rows": [row.to_dict() for row in rows],
        "check_max_px": {kind: replay.max_px for kind, replay in replays.items()},
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "report": str(out / "demo.html"),
        "picture": str(out / "faces.jpg"),
    }
    page = demo_report(rows, evaluations, picture, (out / "history.png").read_bytes(), result)
    write_whole(out / "demo.html", page)
    write_json(out / "demo.json", result)
    print(f"\n{demo_table(rows)}\n")
    print(
        f"measured on {summary['split']} ({len(faces)}), ± standard error over them; "
        "ms: one face on one thread, median; MMACC: million multiply-accumulates"
    )
    if result["init_weights"] is not None:
        print(f"trained on from {result['init_weights']}; --help tells more")
    print("exported files checked: " + ("passed" if passed else "FAILED"))
    print(", ".join(f"{name}: {value:.0f} s" for name, value in seconds.items()))
    print(f"picture: {out / 'faces.jpg'}\nreport: {out / 'demo.html'}")
    return result


def start(arguments: argparse.Namespace) -> None:
    """Lets the usual model, on rendered faces, start from a preset's weights."""
    settings = train.given_settings(arguments)
    usual = arguments.model == "greglref" and not train.given_options(arguments)
    if not usual or arguments.data is not None or settings.keys() & {"init_weights", "schedule"}:
        return
    arguments.init_weights = START
    if not settings.keys() & {"steps", "epochs"}:
        arguments.steps = STEPS


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    print(f"== {name}", flush=True)
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started


def _exported(model: Any, kind: str, out: Path) -> Any:
    """Exports one kind, or keeps what an earlier call exported of the same run; checks it."""
    folder = out / kind
    record = folder / _EXPORTED
    # Another version may export the same weights otherwise; the schedule tells how they came about.
    wanted = {
        "weights": _fingerprint(model),
        "schedule": read_json(out / "run.json")["schedule"],
        "tfalign": __version__,
    }
    if not record.is_file() or read_json(record) != wanted:
        # Of training faces; their file names in the cache say so, and an export checks them.
        calibration = out / "calibration.npz" if kind != "float32" else None
        print(f"exporting {kind}", flush=True)
        export(model, kind, calibration, folder)
        write_json(record, wanted)
    return check(folder)


def _fingerprint(model: Any) -> str:
    digest = hashlib.sha256()
    for value in model.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
