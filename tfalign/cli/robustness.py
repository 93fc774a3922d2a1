"""Measures how models bear wrong face boxes: Tables 1 and 2 of TSR (CVPR 2017), side by side.

    tfalign robustness --model runs/a/model.keras runs/b/model.keras \\
        --dataset 300w --data DIR --split helen/testset --out runs/robustness
    tfalign robustness --model ours=300w --scales -0.2 0.2 --translations 0.1 \\
        --rotations --dataset 300w --data DIR --split afw --out runs/box20
    tfalign robustness --model ours=300w --sources landmarks detector \\
        --dataset 300w --data DIR --split full --out runs/detectors

Table 1 crops by boxes of several sources (--sources). Table 2 spoils the box of --box: its size
grows by a fraction, its centre moves by a fraction of the size in a random direction, the face
turns by degrees of random sign; the directions come from --seed and are the same for every model.

OUT/robustness.csv and metrics.json hold fractions; OUT/report.html shows them beside the paper's
tables (per cent). A model is measured once: a killed or extended run continues with the models that
are missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from tfalign.evaluation import (
    Perturbation,
    Robustness,
    box_comparison,
    box_sweep,
    command_line,
    get_protocol,
    output,
    plots,
)
from tfalign.evaluation import published_robustness as paper
from tfalign.evaluation.boxes import BoxSource
from tfalign.evaluation.report import robustness_report
from tfalign.inference.dlib_detector import DlibDetector
from tfalign.inference.predictor import load_predictor


def options(prog: str = "tfalign robustness") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = command_line.parser(str(__doc__).replace("tfalign robustness", prog))
    parser.prog = prog
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        metavar="[NAME=]MODEL",
        help="models to compare: .keras, .tflite or preset, each with a name for its row",
    )
    command_line.add_box_option(parser)
    table_1 = parser.add_argument_group("Table 1")
    table_1.add_argument(
        "--sources",
        nargs="*",
        default=[],
        choices=(*get_args(BoxSource), "dlib"),
        help="box sources to compare, none by default; detector is Viola–Jones, dlib must be "
        "installed",
    )
    table_2 = parser.add_argument_group("Table 2 (an option without values leaves the kind out)")
    for kind, values in (
        ("scale", paper.SCALES),
        ("translation", paper.TRANSLATIONS),
        ("rotation", paper.ROTATIONS),
    ):
        shown = " ".join(f"{value:g}" for value in values)
        unit = "degrees" if kind == "rotation" else "fractions of the box"
        table_2.add_argument(
            f"--{kind}s",
            nargs="*",
            type=float,
            default=list(values),
            metavar="AMOUNT",
            help=f"{unit}; default {shown}",
        )
    table_2.add_argument("--seed", type=int, default=0, help="decides the directions")
    return parser


def named(spec: str) -> tuple[str, str]:
    """Returns (row name, model) of ``[NAME=]MODEL``."""
    name, separator, model = spec.partition("=")
    return (name, model) if separator else (spec, spec)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures and reports; returns the content of ``metrics.json``."""
    models = dict(named(spec) for spec in arguments.model)
    if len(models) != len(arguments.model):
        raise ValueError(f"Row names must differ. Received: --model {' '.join(arguments.model)}")
    identities = {name: command_line.model_identity(model) for name, model in models.items()}
    reader = command_line.read_data(arguments)
    protocol = get_protocol(command_line.protocol_name(arguments, reader))
    perturbations = [
        Perturbation("none"),
        *(Perturbation("scale", amount) for amount in arguments.scales),
        *(Perturbation("translation", amount) for amount in arguments.translations),
        *(Perturbation("rotation", amount) for amount in arguments.rotations),
    ]
    settings = {
        "dataset": arguments.dataset,
        "split": arguments.split,
        "last": arguments.last,
        "box": arguments.box,
        "sources": arguments.sources,
        "protocol": protocol.name,
        "threshold": arguments.threshold,
        "perturbations": [[p.kind, p.amount] for p in perturbations],
        "seed": arguments.seed,
        "data_fingerprint": reader.fingerprint(),
    }
    output.claim_folder(arguments.out, settings)
    parts = arguments.out / "models"
    parts.mkdir(exist_ok=True)
    frames = []
    for name, model in models.items():
        digest = hashlib.sha256(json.dumps([name, identities[name]]).encode()).hexdigest()
        part = parts / f"{digest[:16]}.json"
        if not part.is_file():
            predictor = load_predictor(model, batch_size=arguments.batch_size)
            shared: dict[str, Any] = {
                "threshold": arguments.threshold,
                "batch_size": arguments.batch_size,
                "progress": not arguments.quiet,
            }
            swept = box_sweep(
                {name: predictor},
                reader,
                protocol,
                perturbations,
                box=arguments.box,
                seed=arguments.seed,
                **shared,
            )
            rows = swept.to_dict()["rows"]
            if arguments.sources:
                sources = {s: DlibDetector() if s == "dlib" else s for s in arguments.sources}
                compared = box_comparison({name: predictor}, reader, protocol, sources, **shared)
                rows += compared.to_dict()["rows"]
            output.write_json(part, {"identity": identities[name], "rows": rows})
        frames.append(pd.DataFrame(json.loads(part.read_text(encoding="utf-8"))["rows"]))
    result = Robustness(protocol, pd.concat(frames, ignore_index=True))
    output.write_file(arguments.out / "robustness.csv", result.frame.to_csv(index=False))
    if len(perturbations) > 1:
        picture = plots.png_bytes(plots.robustness_plot(result))
        output.write_file(arguments.out / "robustness.png", picture)
    output.write_file(arguments.out / "report.html", robustness_report([result], settings))
    metrics = {
        **result.to_dict(),
        "growth": result.growth().to_dict(orient="records"),
        "models": identities,
        "settings": settings,
        "versions": output.versions(),
    }
    output.write_json(arguments.out / "metrics.json", metrics)
    print(result.table())
    print(f"\n{Path(arguments.out) / 'report.html'}")
    return metrics
