"""Packs a trained model as weights that ship with the package.

    python recipes/publish_weights.py runs/300w/model.keras --name 300w \\
        --metrics runs/300w_holdout/metrics.json --provenance "how it was trained" \\
        --licence "terms of the training data"

    python recipes/publish_weights.py --members 300w_large 300w_deepreg --name 300w_server ...

Writes tfalign/weights/NAME.npz (half precision) and its sidecar NAME.json: class, configuration,
provenance, licence, MACC, parameters, and the error that ``recipes/evaluate.py`` measured. Evaluate
the packed weights themselves afterwards (``--model NAME``) and publish again with that file: the
sidecar then holds the figure of exactly what ships. With --members it is an ensemble of presets,
which has no weights of its own: its sidecar names them, and only that is written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import keras

from tfalign import macc
from tfalign.argument_help import ArgumentParser
from tfalign.cli.program import run_recipe
from tfalign.files import read_json, sha256, write_json
from tfalign.models import Ensemble, save_weights
from tfalign.models.weights import WEIGHTS_DIR, digest_of

# What of metrics.json says something about the weights; the rest tells of the machine and the run.
MEASURED = (
    "dataset",
    "split",
    "last",
    "box",
    "protocol",
    "normalizer",
    "faces",
    "nme",
    "nme_standard_error",
    "threshold",
    "failure_rate",
    "auc",
    "parts",
    "data_fingerprint",
)


def options() -> argparse.ArgumentParser:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", help="A .keras file.")
    parser.add_argument(
        "--members", nargs="+", metavar="PRESET", help="Presets of an ensemble, in its order."
    )
    parser.add_argument("--name", required=True, help="Name of the preset.")
    parser.add_argument(
        "--metrics",
        type=Path,
        nargs="+",
        required=True,
        help="The metrics.json of recipes/evaluate.py; further ones, on other faces, follow it.",
    )
    parser.add_argument(
        "--quality", type=Path, help="Constants of the quality score, from calibrate_quality.py."
    )
    parser.add_argument("--training", type=Path, help="The result.json of train_preset.py.")
    parser.add_argument("--provenance", required=True, help="How the weights were made, in words.")
    parser.add_argument("--licence", required=True, help="Terms that bind their use, in words.")
    return parser


def main() -> dict[str, Any]:
    arguments = options().parse_args()
    if (arguments.model is None) == (arguments.members is None):
        raise ValueError(
            "Either a .keras file or --members must be given. Received: "
            f"{arguments.model}, --members {arguments.members}"
        )
    model: Any = (
        keras.saving.load_model(arguments.model, compile=False)
        if arguments.members is None
        else Ensemble(arguments.members)
    )
    measured, *others = (
        {key: metrics[key] for key in MEASURED if key in metrics}
        for metrics in map(read_json, arguments.metrics)
    )
    report = macc.count(model)
    config, file = model.get_config(), WEIGHTS_DIR / f"{arguments.name}.npz"
    if arguments.members is None:
        save_weights(model, file)
        digest = sha256(file)
    else:
        config["members"] = arguments.members
        digest = digest_of(arguments.members)
    sidecar = {
        "class": type(model).__name__,
        "config": config,
        "file": file.name if arguments.members is None else None,
        "sha256": digest,
        "macc": report.macc,
        "params": report.params,
        "provenance": arguments.provenance,
        "licence": arguments.licence,
        "measured": measured,
        **({"also_measured": others} if others else {}),
    }
    for key in ("quality", "training"):
        constants = getattr(arguments, key)
        if constants is not None:
            sidecar[key] = read_json(constants)
    path = WEIGHTS_DIR / f"{arguments.name}.json"
    write_json(path, sidecar)
    print(path)
    return sidecar


if __name__ == "__main__":
    sys.exit(run_recipe(main))
