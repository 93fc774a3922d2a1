"""Writes a model as .tflite for phones, with metadata, golden outputs and a check against Keras.

    tfalign export runs/300w/model.keras --kind int8 \\
        --calibration runs/300w/calibration.npz --out build/int8
    tfalign export 300w --kind float16 --out build/float16
    tfalign export 300w --kind int8_qat --calibration runs/300w/calibration.npz --training 300W \\
        --dataset 300w --split afw helen/trainset --without-last 120 --out build/qat

The model is a .keras file or a preset that ships with the package; of any other Keras model say how
it is fed (--crop, --pixels). Calibration pictures, for the int8 kinds, come from training data: the
calibration.npz that every training leaves, or a folder of face crops. OUT receives model.tflite,
metadata.json (what an app needs), scheme.json, report.json (how it was made) and golden.npz, all
together or not at all. A file that is further from its Keras model on rendered faces than its kind
may be is refused; what was written is checked as ``python -m mobile_export.check OUT`` does.
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
