"""Writes a model as .tflite for phones, with metadata, golden outputs and a check against Keras.

    tfalign export runs/300w/model.keras --kind int8 \\
        --calibration runs/300w/calibration.npz --out build/int8
    tfalign export 300w --kind float16 --out build/float16
    tfalign export 300w --kind int8_qat --calibration runs/300w/calibration.npz --training 300W \\
        --dataset 300w --split afw helen/trainset --without-last 120 --out build/qat

MODEL is a .keras file or a preset (`tfalign models` lists them); of a Keras model that is not of
this package say how it is fed (--crop, --pixels). The int8 kinds need face crops of the training
data (--calibration): every training leaves them in calibration.npz.

OUT receives model.tflite, metadata.json (what an app must know), scheme.json (the points' names),
golden.npz (pictures and their landmarks, to replay on a phone) and report.json (how the file was
made). The file is compared with its Keras model on rendered faces; one that is further from it than
its kind allows is refused. Then the folder is checked as ``python -m mobile_export.check OUT``
does.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobile_export import __main__ as program
from mobile_export.check import check


def options(prog: str = "tfalign export") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = program.parser()
    parser.prog, parser.description = prog, __doc__
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Exports and checks; returns the figures and whether the check passed."""
    result = program.run(arguments)
    print(result.table())
    replay = check(result.path.parent)
    print(f"check: {replay}")
    return {
        "passed": replay.passed,
        "path": str(result.path),
        "kind": result.kind,
        "macc": result.macc,
        "size": result.size,
        "gzip_size": result.gzip_size,
        "rendered": result.rendered.to_dict(),
        "notes": list(result.metadata.notes),
        "check_max_px": replay.max_px,
    }


def next_steps(arguments: argparse.Namespace, result: Mapping[str, Any]) -> list[list[str]]:
    """Returns the commands that a user may want now, each as its words."""
    folder = Path(result["path"]).parent
    # Beside the folder, which is an app's as it is; results in one folder are of one model.
    aligned = str(folder.with_name(f"{folder.name}_aligned"))
    return [
        ["tfalign", "align", "PHOTO.jpg", "--model", result["path"], "--out", aligned],
        ["tfalign", "benchmark", result["path"]],
    ]
