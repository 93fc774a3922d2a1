"""Exports models in every kind that applies and measures each file, in one run.

    python recipes/export_table.py --model 300w tsr=runs/tsr.keras --dataset 300w --data DIR \\
        --split helen/trainset --last 120 --train-split afw helen/trainset --out runs/exports

Each kind is exported to OUT/MODEL/KIND with its metadata and golden outputs. The int8 ranges and
the fine-tuning of int8_qat, pruned and clustered use the training splits only: with --last, the
faces measured on are left out of them, with all other faces of their photographs. Afterwards all
files are measured on the same faces and the files of each model timed in turns, one thread; times
are those of the processor, which a busy machine lengthens less, and every share is the median of
the ratios of two times that were measured one right after the other. A table of operators says what
keeps a file from being faster, and --refinement times what refinement adds to a GRegNet of the
paper's size. The speed of LiteRT's dense product, float32 and int8, stands beside it all: where a
processor multiplies bytes no faster than floats, no file can.

The result is OUT/table.md and OUT/table.json; --page puts the table between two marks on a page.
A kind that is already in OUT is not exported again when the same command is repeated, e.g. after a
killed run; another command, or another version of the exporter, needs another folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import mobile_export
from mobile_export import converter, quantize, training_faces
from mobile_export.__main__ import add_tuning_options, make_tuning
from mobile_export.exporter import CALIBRATED, KINDS, TUNED
from mobile_export.pictures import rendered_faces
from mobile_export.timing import ceiling, operator_times, race
from tfalign import macc
from tfalign.cli import measuring
from tfalign.cli.program import run_recipe
from tfalign.evaluation import evaluate_model
from tfalign.files import read_json, settle, versions, write_json, write_whole
from tfalign.models import GRegLRef, GRegNet, load
from tfalign.tflite import Graph
from tfalign.version import __version__

FILES = ("model.tflite", "metadata.json", "report.json", "golden.npz")
"""What an export leaves; a run that is killed while it moves them may have moved some."""
MADE_FROM = ("epochs", "rate", "tuning_batch", "augment", "seed", "sparsity", "clusters", "base")
LARGEST = 8
"""Kinds of operators that the second table names for each file."""
MARKS = ("<!-- recipes/export_table.py: begin -->", "<!-- recipes/export_table.py: end -->")
"""What stands before and behind the table on a page."""
PAPER_SIZE = {"num_landmarks": 98, "input_shape": (112, 112, 3)}


def options() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        metavar="[NAME=]MODEL.keras|PRESET",
        help="What to export; NAME is the row's and the folder's.",
    )
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="Kinds of files to write."
    )
    parser.add_argument(
        "--train-split", nargs="+", metavar="SPLIT", help="Splits of --data to train on."
    )
    parser.add_argument(
        "--training", metavar="PATH", help="A crop cache or shards to train on, instead of splits."
    )
    parser.add_argument(
        "--runs", type=int, default=100, metavar="N", help="How often each file is timed."
    )
    parser.add_argument(
        "--refinement", action="store_true", help="Time refinement at the paper's size, too."
    )
    parser.add_argument(
        "--page", type=Path, metavar="FILE.md", help="A page whose table is replaced."
    )
    add_tuning_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = options().parse_args(argv)
    if (arguments.training is None) == (arguments.train_split is None):
        raise ValueError(
            "Give the faces to train on as --train-split or as --training. Received: "
            f"train_split={arguments.train_split}, training={arguments.training}"
        )
    models = measuring.named_models(arguments.model)
    reader = measuring.read_data(arguments)
    protocol = measuring.chosen_protocol(arguments, reader)
    settle(
        arguments.out,
        {
            "models": {name: measuring.model_identity(spec) for name, spec in models.items()},
            **{name: getattr(arguments, name) for name in ("kinds", "train_split", "training")},
            **{name: getattr(arguments, name) for name in (*MADE_FROM, "threshold")},
            "exporter": {"tfalign": __version__, "sources": sources_digest()},
            "versions": versions(),
            "protocol": protocol.name,
            "data_fingerprint": reader.fingerprint(),
        },
    )
    rows, without = [], {}
    for name, spec in models.items():
        made, refused = _rows(name, spec, arguments, reader, protocol)
        rows += made
        without |= {f"{name}, {kind}": reason for kind, reason in refused.items()}
    if not any("bytes" in row for row in rows):
        raise ValueError(
            "At least one of --kinds must apply to the model. Received: "
            + "; ".join(without.values())
        )
    result = {
        "protocol": protocol.name,
        "threshold": arguments.threshold,
        "faces": len(reader),
        "runs": arguments.runs,
        "ceiling_gmacc_per_s": {kind: ceiling(kind, 1) for kind in ("float32", "int8")},
        "rows": rows,
        "refinement": refinement(arguments.runs) if arguments.refinement else None,
        "does_not_apply": without,
        "versions": versions(),
    }
    text = table(result)
    write_json(arguments.out / "table.json", result)
    write_whole(arguments.out / "table.md", text + "\n")
    if arguments.page is not None:
        write_whole(arguments.page, with_table(arguments.page.read_text("utf-8"), text))
    print(text)
    return result


def _rows(
    name: str, spec: str, arguments: argparse.Namespace, reader: Any, protocol: Any
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Exports a model and measures its files; returns also why a kind does not apply."""
    model, folder = load(spec), arguments.out / Path(name).stem
    rows = [{"model": name, "kind": "Keras", "macc": macc.count(model).macc}]
    rows[0] |= _errors(model, reader, protocol, arguments)
    without: dict[str, str] = {}
    for kind in arguments.kinds:
        if not all((folder / kind / file).is_file() for file in FILES):
            try:
                _export(model, kind, folder, arguments)
            except ValueError as error:
                if kind != "int8_full":
                    raise
                without[kind] = str(error)  # It is the only kind that some models cannot have.
                print(f"{kind}: {error}", flush=True)
                continue
        file = folder / kind / "model.tflite"
        rows.append({"model": name, "kind": kind, "macc": macc.count_tflite(file).macc})
        rows[-1] |= _errors(file, reader, protocol, arguments)
        rows[-1] |= read_json(folder / kind / "report.json")["size"]
        rows[-1]["operators"] = {one["operator"]: one["ms"] for one in operator_times(file)}
        print(f"{name}, {kind}: NME {100 * rows[-1]['nme']:.3f} %", flush=True)
    if rows[1:]:
        times = race([folder / row["kind"] / "model.tflite" for row in rows[1:]], 1, arguments.runs)
        for index, row in enumerate(rows[1:]):
            row["milliseconds"] = float(np.median(times.cpu[:, index]))
            row["of_first"] = float(times.ratios(cpu=True)[index, 0])
    return rows, without


def refinement(runs: int) -> dict[str, Any]:
    """Times a GRegNet and a GRegLRef of the paper's size, float32 and int8, in turns.

    Weights are random: they do not change what is computed.
    """
    files = []
    for make in (GRegNet, GRegLRef):
        model = make(**PAPER_SIZE)
        model.set_mean_shape(0.3 + 0.4 * _disc(PAPER_SIZE["num_landmarks"]))
        exact = Graph.read(converter.convert(model))
        faces = rendered_faces(4, model.image_size, model.crop)
        alike = Graph.read(converter.convert(model, equalize_on=faces))
        content, _ = quantize.quantize_mixed(alike, faces)
        files += [exact, Graph.read(content)]
    times = race(files, 1, runs)
    ratios = times.ratios(cpu=True)
    return {
        kind: {
            "milliseconds": float(np.median(times.cpu[:, at + 2])),
            "of_gregnet": float(ratios[at + 2, at]),
        }
        for at, kind in enumerate(("float32", "int8"))
    }


def _disc(count: int) -> Any:
    """Returns (count, 2) points spread evenly over [0, 1]²'s disc, a sunflower's seeds."""
    index = np.arange(count) + 0.5
    angle, radius = index * np.pi * (3 - 5**0.5), 0.5 * np.sqrt(index / count)
    return 0.5 + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def table(result: Mapping[str, Any]) -> str:
    """Returns the figures as Markdown."""
    top = result["ceiling_gmacc_per_s"]
    lines = [
        "| model | kind | NME | against Keras | size | after gzip | processor time "
        "| of the first file's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        keras_row = next(one for one in result["rows"] if one["model"] == row["model"])
        cells = [row["model"], row["kind"], f"{100 * row['nme']:.3f} %", *["–"] * 5]
        if "bytes" in row:
            cells[3:] = [f"{100 * (row['nme'] - keras_row['nme']):+.3f}"]
            cells += [f"{row['bytes'] / 1e6:.2f} MB", f"{row['gzip_bytes'] / 1e6:.2f} MB"]
            cells += [f"{row['milliseconds']:.2f} ms", f"{row['of_first']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"{result['faces']} faces, `{result['protocol']}`. LiteRT's dense product here: "
        f"{top['float32']:.1f} GMACC/s in float32, {top['int8']:.1f} in int8 "
        f"(int8 / float32 time {top['float32'] / top['int8']:.2f}). Times are medians, one thread, "
        "the files of a model in turns; a share is the median of the ratios of neighbouring runs, "
        "not the ratio of two medians.",
        "",
        "Operators run alone, one thread, milliseconds of processor time (measured one by one: "
        "the sum is not the file's own time):",
        "",
        "| model | kind | sum | the largest |",
        "|---|---|---|---|",
    ]
    for row in result["rows"]:
        if "operators" in row:
            largest = list(row["operators"].items())[:LARGEST]
            named = ", ".join(f"{kind} {ms:.2f}" for kind, ms in largest)
            total = sum(row["operators"].values())
            lines.append(f"| {row['model']} | {row['kind']} | {total:.2f} | {named} |")
    if result["refinement"] is not None:
        lines += ["", "GRegLRef at the paper's size (98 points, random weights), over GRegNet:", ""]
        lines += [
            f"- {kind}: {one['milliseconds']:.1f} ms, × {one['of_gregnet']:.3f}"
            for kind, one in result["refinement"].items()
        ]
    return "\n".join(lines)


def with_table(page: str, text: str) -> str:
    """Returns a page with its table replaced.

    Raises:
        ValueError: If the page does not have both marks, each once.
    """
    if [page.count(mark) for mark in MARKS] != [1, 1]:
        raise ValueError(
            f"The page must have the marks {MARKS}, each once. Received: {page[:80]!r}"
        )
    before, rest = page.split(MARKS[0])
    return f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}"


def sources_digest() -> str:
    """Returns the SHA-256 of the exporter's sources: files of two versions share no table."""
    digest = hashlib.sha256()
    for path in sorted(Path(mobile_export.__file__).parent.rglob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _export(model: Any, kind: str, folder: Path, arguments: argparse.Namespace) -> None:
    tuned = kind in TUNED
    faces = _faces(arguments, model, tuned) if tuned or kind in CALIBRATED else None
    tuning = make_tuning(arguments, model, kind) if tuned else None
    result = mobile_export.export(
        model,
        kind,
        faces,
        folder / kind,
        training=faces if tuned else None,
        tuning=tuning and dataclasses.replace(tuning, progress=not arguments.quiet),
        allow_loss=True,  # the table tells what each kind loses
    )
    print(result.table(), flush=True)


def _faces(arguments: argparse.Namespace, model: Any, tuned: bool) -> Any:
    if arguments.training is not None:
        return training_faces.load(arguments.training, model, pictures_only=not tuned)
    return training_faces.load(
        arguments.data,
        model,
        arguments.dataset,
        arguments.train_split,
        arguments.last or 0,
        pictures_only=not tuned,
    )


def _errors(
    model: Any, reader: Any, protocol: Any, arguments: argparse.Namespace
) -> dict[str, Any]:
    found = evaluate_model(
        model,
        reader,
        protocol,
        threshold=arguments.threshold,
        batch_size=arguments.batch_size,
        worst=0,
        progress=not arguments.quiet,
    )
    return {"nme": found.nme, "failure_rate": found.failure_rate, "auc": found.auc}


if __name__ == "__main__":
    sys.exit(run_recipe(main))
