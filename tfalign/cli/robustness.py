"""Measures how errors grow where face boxes are wrong: Tables 1 and 2 of TSR (CVPR 2017).

    tfalign robustness --model runs/a/model.keras runs/b/model.keras \\
        --dataset 300w --data DIR --split helen/testset --out runs/robustness
    tfalign robustness --model ours=300w --scales -0.2 0.2 --translations 0.1 \\
        --rotations --dataset 300w --data DIR --split afw --out runs/box20
    tfalign robustness --model ours=300w --sources landmarks detector \\
        --dataset 300w --data DIR --split full --out runs/detectors

A model sees a face through a box, and no detector's box is perfect. Table 1 measures each model
with boxes of several sources (--sources). Table 2 spoils one box, that of --box, by each of the
amounts that are given: it is extended, it grows or shrinks, it moves in a random direction, or the
face is turned to a random side. The directions come from --seed and are the same for every model.
The paper's rows stand beside ours only where ours are of its faces, the 554, 135 and 689 of 300-W,
and for Table 2 of its boxes (--box file).

OUT/report.html has the tables in per cent, OUT/robustness.csv and metrics.json have fractions. What
is measured is kept: the same command goes on where it was killed, and --model may name further
models when it is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from tfalign.cli import measuring
from tfalign.evaluation import (
    Perturbation,
    Robustness,
    box_comparison,
    box_sweep,
    plots,
)
from tfalign.evaluation.boxes import EXTENSIONS, ROTATIONS, TRANSLATIONS, BoxSource
from tfalign.evaluation.report import robustness_report
from tfalign.evaluation.robustness import check_whole_faces, common_box, left_out_notes
from tfalign.files import read_json, settled, versions, write_json, write_whole
from tfalign.inference.detectors import DlibDetector
from tfalign.inference.predictor import Predictor, load_predictor

AMOUNTS = {
    "extension": "Shares of the box by which each side is extended, in place of the usual 0.1",
    "scale": "Shares of its size by which the box grows, or shrinks where they are negative",
    "translation": "Shares of its size by which the middle of the box moves",
    "rotation": "Degrees by which the face is turned in the box",
}


def options(prog: str = "tfalign robustness") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = measuring.parser(str(__doc__).replace("tfalign robustness", prog))
    parser.prog = prog
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        metavar="[NAME=]MODEL",
        help="Models to compare, each a .keras file, a .tflite file or a preset; NAME= names its "
        "row, as in small=runs/b/model.keras.",
    )
    measuring.add_box_option(parser)
    table_1 = parser.add_argument_group("Table 1, boxes of several sources")
    table_1.add_argument(
        "--sources",
        nargs="*",
        default=[],
        choices=(*get_args(BoxSource), "dlib"),
        help="Sources of boxes to compare: the points' tight box, the data set's file, OpenCV's "
        "Viola–Jones detector, or dlib's, which must be installed (default: none).",
    )
    table_2 = parser.add_argument_group(
        "Table 2, a box that is spoilt (an option without values leaves its row out)"
    )
    for kind, values in (
        ("extension", EXTENSIONS),
        ("scale", ()),
        ("translation", TRANSLATIONS),
        ("rotation", ROTATIONS),
    ):
        shown = " ".join(f"{value:g}" for value in values) or "none"
        table_2.add_argument(
            f"--{kind}s",
            nargs="*",
            type=float,
            default=list(values),
            metavar="AMOUNT",
            help=f"{AMOUNTS[kind]} (default: {shown}).",
        )
    table_2.add_argument("--seed", type=int, default=0, help="Decides the directions.")
    return parser


def common_scheme(predictors: Mapping[str, Predictor]) -> Any:
    """Returns the scheme of all models, for faces whose files do not name their points.

    None where they have several: then the files' own must be one that they convert to.
    """
    found = [predictor.backend.scheme for predictor in predictors.values()]
    return found[0] if all(scheme == found[0] for scheme in found) else None


def _part(out: Path, name: str, identity: Mapping[str, Any]) -> Path:
    """Returns the file that a model's rows are kept in."""
    digest = hashlib.sha256(json.dumps([name, identity]).encode()).hexdigest()
    return out / "models" / f"{digest[:16]}.json"


def _rows(part: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_json(part)["rows"]
    return rows


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures and reports; returns the content of ``metrics.json``."""
    models = measuring.named_models(arguments.model)
    identities = {name: measuring.model_identity(model) for name, model in models.items()}
    predictors = {
        name: load_predictor(model, batch_size=arguments.batch_size)
        for name, model in models.items()
    }
    reader = measuring.read_data(arguments, common_scheme(predictors))
    protocol = measuring.chosen_protocol(arguments, reader)
    perturbations = [
        Perturbation("none"),
        *(
            Perturbation(kind, amount)
            for kind in AMOUNTS
            for amount in getattr(arguments, f"{kind}s")
        ),
    ]
    if arguments.box is None:
        arguments.box = common_box(predictors, reader)
    # What can be wrong with a command is found out before it claims its folder and measures.
    measuring.check_boxes(reader, [arguments.box, *arguments.sources])
    if {"detector", "dlib"} & {arguments.box, *arguments.sources}:
        check_whole_faces(predictors)
    sources = {s: DlibDetector() if s == "dlib" else s for s in arguments.sources}
    seen = [
        f"{name}: {note}"
        for name, model in models.items()
        for note in measuring.training_notes(model, reader)
    ]
    parts = {name: _part(arguments.out, name, identities[name]) for name in models}
    missing = {name: one for name, one in predictors.items() if not parts[name].is_file()}
    settings = {
        "format": 2,  # rows for each subset
        "dataset": arguments.dataset,
        "split": arguments.split,
        "last": arguments.last,
        "box": arguments.box,
        "sources": arguments.sources,
        "protocol": protocol.identity,
        "threshold": arguments.threshold,
        "perturbations": [[p.kind, p.amount] for p in perturbations],
        "seed": arguments.seed,
        "data_fingerprint": reader.fingerprint(),
    }
    shared: dict[str, Any] = {
        "threshold": arguments.threshold,
        "batch_size": arguments.batch_size,
        "progress": not arguments.quiet,
    }
    with settled(arguments.out, settings):
        (arguments.out / "models").mkdir(exist_ok=True)
        for name, predictor in missing.items():
            model = {name: predictor}
            # Kept by itself: the boxes of the other table may still fail, at any face.
            half = parts[name].with_suffix(".sweep.json")
            if half.is_file():
                rows = _rows(half)
            else:
                swept = box_sweep(
                    model,
                    reader,
                    protocol,
                    perturbations,
                    box=arguments.box,
                    seed=arguments.seed,
                    **shared,
                )
                rows = swept.to_dict()["rows"]
                write_json(half, {"identity": identities[name], "rows": rows})
            if sources:
                compared = box_comparison(model, reader, protocol, sources, **shared)
                rows += compared.to_dict()["rows"]
            write_json(parts[name], {"identity": identities[name], "rows": rows})
            half.unlink()
    frame = pd.concat([pd.DataFrame(_rows(p)) for p in parts.values()], ignore_index=True)
    remarks = [*left_out_notes(predictors, protocol), *seen]
    remarks += measuring.box_notes(reader, [arguments.box, *arguments.sources])
    remarks += measuring.reading_notes(reader, int(frame["faces"].max()))
    result = Robustness(protocol, frame, arguments.box, tuple(remarks))
    write_whole(arguments.out / "robustness.csv", result.frame.to_csv(index=False))
    if len(perturbations) > 1:
        picture = plots.png_bytes(plots.robustness_plot(result))
        write_whole(arguments.out / "robustness.png", picture)
    write_whole(arguments.out / "report.html", robustness_report([result], settings))
    metrics = {
        **result.to_dict(),
        "growth": result.growth().to_dict(orient="records"),
        "models": identities,
        "settings": settings,
        "versions": versions(),
    }
    write_json(arguments.out / "metrics.json", metrics)
    print(result.table())
    print(f"\n{Path(arguments.out) / 'report.html'}")
    return metrics
