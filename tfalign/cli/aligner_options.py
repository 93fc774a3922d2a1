"""The options that make an ``Aligner``, the same for every program that has one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfalign.files import sha256
from tfalign.inference import MAX_PIXELS, Aligner
from tfalign.inference.detectors import DETECTORS
from tfalign.models import shipped_presets, shipped_tflite
from tfalign.tflite.metadata import NAME as METADATA


def add_aligner_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options to a program's."""
    parser.add_argument(
        "--model",
        default="300w",
        metavar="MODEL.keras|FILE.tflite|PRESET",
        help="The model that finds the landmarks.",
    )
    parser.add_argument(
        "--backend",
        choices=("keras", "tflite"),
        help="What runs a preset: its Keras model (default), or its int8 file, which takes less "
        "time on a CPU.",
    )
    parser.add_argument(
        "--detector",
        default="auto",
        metavar="NAME|FILE.onnx",
        help=f"What finds the faces: {', '.join(DETECTORS)}, or the file of a YuNet model; auto "
        "takes BlazeFace where its extra is installed.",
    )
    parser.add_argument(
        "--smallest",
        type=float,
        metavar="SHARE",
        help="The smallest face to look for, as a share of the shorter side (default: the "
        "detector's; smaller faces take longer).",
    )
    parser.add_argument(
        "--rotations",
        action="store_true",
        help="Search each photograph in its four quarter turns.",
    )
    parser.add_argument(
        "--passes",
        type=int,
        default=2,
        metavar="N",
        help="How often the face is cropped: first by its box, then about the points found.",
    )
    parser.add_argument(
        "--min-quality",
        type=float,
        metavar="SHARE",
        help="Detections of less quality are taken for no face, and a face that is followed "
        "through a clip is lost (default: 0.2, and 0.5 in clips; the quality of a coarser model is "
        "lower).",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="CPU threads of a .tflite model and of BlazeFace, in each process.",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help=f"Larger pictures are refused before they are decoded (default: {MAX_PIXELS}).",
    )


def aligner_keywords(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the keywords of the ``Aligner`` that was asked for, plain data."""
    names = (
        *("model", "backend", "detector", "smallest", "rotations", "passes", "min_quality"),
        *("threads", "max_pixels"),
    )
    given = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def aligner_settings(keywords: Mapping[str, Any], aligner: Aligner) -> dict[str, Any]:
    """Returns what decides an aligner's results, as plain data to compare another run's with.

    Args:
        keywords: See ``aligner_keywords``.
        aligner: Made of them: tells which detector ``"auto"`` took.
    """
    model = keywords["model"]
    preset = shipped_presets().get(model)
    if preset is not None and keywords.get("backend") == "tflite":
        model, preset = shipped_tflite(model), None
    # Files beside the model's own that decide results, where there are such.
    about, found_by = Path(model).with_name(METADATA), Path(str(keywords.get("detector")))
    beside = preset is None and Path(model).suffix == ".tflite" and about.is_file()
    by_file = found_by.suffix == ".onnx" and found_by.is_file()
    return {
        **{name: value for name, value in keywords.items() if name != "threads"},
        "model_sha256": sha256(Path(model)) if preset is None else preset["sha256"],
        **({"metadata_sha256": sha256(about)} if beside else {}),
        **({"detector_sha256": sha256(found_by)} if by_file else {}),
        "detector": getattr(aligner.detector, "name", keywords["detector"]),
        "min_quality": aligner.min_quality,
    }
