"""Exports a model in every kind that applies and measures each on real faces, in one run.

    python recipes/export_table.py --model 300w --dataset 300w --data DIR \\
        --split helen/trainset --last 120 --train-split afw helen/trainset --out runs/exports

Each kind is exported to OUT/KIND with its metadata and golden outputs. The int8 ranges and the
fine-tuning of int8_qat, pruned and clustered use the training splits only: with --last, the faces
measured on are left out of them, with all other faces of their photographs. All files are then
measured on the same faces and timed in turns, one thread, so that the columns compare.

The result is OUT/table.md and OUT/table.json. A kind that is already in OUT is not exported again
when the same command is repeated, e.g. after a killed run; another command, or another version of
the exporter, needs another folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mobile_export
from mobile_export import training_faces
from mobile_export.__main__ import add_tuning_options, make_tuning
from mobile_export.exporter import KINDS, TUNED
from mobile_export.timing import latencies, race
from tfalign import macc
from tfalign.cli import measuring
from tfalign.cli.program import run_recipe
from tfalign.evaluation import evaluate_model
from tfalign.files import read_json, settle, versions, write_json, write_whole
from tfalign.models import load
from tfalign.version import __version__

FILES = ("model.tflite", "metadata.json", "report.json", "golden.npz")
"""What an export leaves; a run that is killed while it moves them may have moved some."""
MADE_FROM = ("epochs", "rate", "tuning_batch", "augment", "seed", "sparsity", "clusters", "base")


def options() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__)
    parser.add_argument("--model", required=True, metavar="MODEL.keras|PRESET")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument(
        "--train-split", nargs="+", metavar="SPLIT", help="splits of --data to train on"
    )
    parser.add_argument(
        "--training", metavar="PATH", help="a crop cache or shards to train on, instead of splits"
    )
    parser.add_argument("--runs", type=int, default=100, metavar="N", help="timed runs of each")
    add_tuning_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    arguments = options().parse_args(argv)
    if (arguments.training is None) == (arguments.train_split is None):
        raise ValueError(
            "Give the faces to train on as --train-split or as --training. Received: "
            f"train_split={arguments.train_split}, training={arguments.training}"
        )
    reader = measuring.read_data(arguments)
    protocol = measuring.chosen_protocol(arguments, reader)
    settle(
        arguments.out,
        {
            **measuring.model_identity(arguments.model),
            **{name: getattr(arguments, name) for name in ("kinds", "train_split", "training")},
            **{name: getattr(arguments, name) for name in (*MADE_FROM, "threshold")},
            "exporter": {"tfalign": __version__, "sources": sources_digest()},
            "versions": versions(),
            "protocol": protocol.name,
            "data_fingerprint": reader.fingerprint(),
        },
    )
    model = load(arguments.model)
    keras_row = {"kind": "Keras", **_errors(model, reader, protocol, arguments)}
    rows, without = [keras_row | {"macc": macc.count(model).macc}], {}
    faces = None
    for kind in arguments.kinds:
        if not all((arguments.out / kind / file).is_file() for file in FILES):
            faces = _training_faces(arguments, model) if faces is None else faces
            try:
                _export(model, kind, faces, arguments)
            except ValueError as error:
                if kind != "int8_full":
                    raise
                without[kind] = str(error)  # It is the only kind that some models cannot have.
                print(f"{kind}: {error}", flush=True)
                continue
        rows.append(_row(kind, arguments, reader, protocol))
        print(f"{kind}: NME {100 * rows[-1]['nme']:.3f} %", flush=True)
    if not rows[1:]:
        reasons = "; ".join(without.values())
        raise ValueError(f"At least one of --kinds must apply to the model. Received: {reasons}")
    files = [arguments.out / row["kind"] / "model.tflite" for row in rows[1:]]
    times = race(files, 1, arguments.runs)
    for row, latency, ratio in zip(
        rows[1:], latencies(files, times), times.ratios()[:, 0], strict=True
    ):
        row |= {"milliseconds": latency.median, "of_first": float(ratio)}
    result = {
        "protocol": protocol.name,
        "threshold": arguments.threshold,
        "faces": len(reader),
        "runs": arguments.runs,
        "rows": rows,
        "does_not_apply": without,
        "versions": versions(),
    }
    text = table(result)
    write_json(arguments.out / "table.json", result)
    write_whole(arguments.out / "table.md", text + "\n")
    print(text)
    return result


def table(result: Mapping[str, Any]) -> str:
    """Returns the figures as a Markdown table."""
    lines = [
        "| kind | NME | against Keras | size | after gzip | latency | of the first file's |",
        "|---|---|---|---|---|---|---|",
    ]
    keras_nme = result["rows"][0]["nme"]
    for row in result["rows"]:
        cells = [row["kind"], f"{100 * row['nme']:.3f} %", f"{100 * (row['nme'] - keras_nme):+.3f}"]
        if "bytes" in row:
            cells += [f"{row['bytes'] / 1e6:.2f} MB", f"{row['gzip_bytes'] / 1e6:.2f} MB"]
            cells += [f"{row['milliseconds']:.2f} ms", f"{row['of_first']:.2f}"]
        else:
            cells[2:] = ["–"] * 5
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def sources_digest() -> str:
    """Returns the SHA-256 of the exporter's sources: files of two versions share no table."""
    digest = hashlib.sha256()
    for path in sorted(Path(mobile_export.__file__).parent.rglob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _training_faces(arguments: argparse.Namespace, model: Any) -> Any:
    if arguments.training is not None:
        return training_faces.load(arguments.training, model)
    held_out = arguments.last or 0
    return training_faces.load(
        arguments.data, model, arguments.dataset, arguments.train_split, held_out
    )


def _export(model: Any, kind: str, faces: Any, arguments: argparse.Namespace) -> None:
    tuned = kind in TUNED
    result = mobile_export.export(
        model,
        kind,
        faces,
        arguments.out / kind,
        training=faces if tuned else None,
        tuning=_tuning(arguments, model, kind) if tuned else None,
        allow_loss=True,  # the table tells what each kind loses
    )
    print(result.table(), flush=True)


def _tuning(arguments: argparse.Namespace, model: Any, kind: str) -> Any:
    tuning = make_tuning(arguments, model, kind)
    return dataclasses.replace(tuning, progress=not arguments.quiet)


def _row(kind: str, arguments: argparse.Namespace, reader: Any, protocol: Any) -> dict[str, Any]:
    folder = arguments.out / kind
    size = read_json(folder / "report.json")["size"]
    return {
        "kind": kind,
        **_errors(folder / "model.tflite", reader, protocol, arguments),
        **size,
        "macc": macc.count_tflite(folder / "model.tflite").macc,
    }


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
