"""``export``: from a Keras model to a folder with ``model.tflite`` and what belongs to it."""

from __future__ import annotations

import gzip
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mobile_export import calibration as calibrating
from mobile_export import converter, golden, quantize
from mobile_export.converter import require_tensorflow_backend
from mobile_export.export_model import ExportModel, export_model
from mobile_export.export_result import ExportResult
from mobile_export.gpu import gpu_compatibility
from mobile_export.layer_errors import layer_errors
from mobile_export.parity import (
    Parity,
    check_unit,
    compare,
    keras_landmarks,
    limit_of,
    strange_landmarks,
)
from mobile_export.pictures import rendered_faces
from mobile_export.precision import Decision
from tfalign import markup
from tfalign.files import FACES, new_folder, sha256, versions, write_json
from tfalign.geometry import pad_box
from tfalign.inference.detectors import box_rules
from tfalign.inference.predictor import usual_box_padding
from tfalign.models import load
from tfalign.tflite import Graph, Metadata, Runner, require

PLAIN = ("float32", "float16", "dynamic", "int8", "int8_full")
TUNED = ("int8_qat", "pruned", "clustered")
KINDS = PLAIN + TUNED
"""Everything that ``export`` writes; the tuned kinds train on before they are converted."""
CALIBRATED = ("int8", "int8_full")
RENDERED = 16
"""Rendered faces on which every export is compared with its Keras model."""


def export(
    model: Any,
    kind: str,
    calibration: Any = None,
    out: str | Path = "build",
    *,
    crop: Any = None,
    box: str | None = None,
    scheme: Any = None,
    pixels: Sequence[float] | None = None,
    output: str | None = None,
    input_dtype: str = "uint8",
    images: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    protocol: str | None = None,
    training: Any = None,
    tuning: Any = None,
    allow_loss: bool = False,
    licence: str | None = None,
    layers: bool = False,
    gathers: bool = True,
) -> ExportResult:
    """Exports a landmark model to ``out/model.tflite``, with all that an app and its tests need.

    The file is compared with the Keras model on rendered faces, and on ``images`` where their
    ``truth`` is given: an export that loses more than its kind may is refused (``parity``).

    Args:
        model: Any model of ``tfalign.models`` or any Keras landmark model, see ``export_model``;
            the path of one saved as ``.keras``; or the name of weights that ship with the package.
        kind: ``"float32"``, ``"float16"`` (weights), ``"dynamic"`` (int8 weights), ``"int8"``
            (int8 weights and features, coordinates in float), ``"int8_full"`` (integers
            throughout, int16 where coordinates are made), ``"int8_qat"``, ``"pruned"`` or
            ``"clustered"`` (these three are fine-tuned first, in a process of their own).
        calibration: For the int8 kinds: pictures from training data, see ``calibration.load``.
        out: Folder to write; its files appear together, or none does. ``~`` is the home folder.
        crop, box, scheme, pixels, output: What a model does not say itself, see
            ``export_model``.
        input_dtype: Pixels of the file's input: ``"uint8"`` or ``"float32"``; RGB in [0, 255]
            either way. ``int8_full`` always takes uint8.
        images: Pictures (N, H, W, 3) on which the file is compared with the Keras model, too.
        truth: Annotated landmarks (N, n, 2) in [0, 1]² of ``images``; adds both models' errors.
        protocol: The protocol of these errors, e.g. ``"300w_inter_ocular"``; given with ``truth``.
        training: For the tuned kinds: ``(images, landmarks)``, (N, H, W, 3) in [0, 255] and
            (N, n, 2) in [0, 1]², a ``CropCache``, or a path of one or of TFRecord shards.
        tuning: A ``tuning.Tuning`` with the fine-tuning's phases; None takes its defaults.
        allow_loss: Whether a file that loses more than its kind may is written all the same.
        licence: Of the weights, in words; None takes the one of a shipped preset.
        layers: Whether the report tells which operator loses how much, see ``layer_errors``.
        gathers: Whether patches about landmarks are looked up, which is fastest on a CPU, or cut by
            products, which delegates for GPUs and other accelerators take, too.

    Returns:
        The paths and figures of the export.

    Raises:
        ValueError: If an argument does not fit the kind, calibration names a test split, the
            model is no landmark model, an operator is not built in (its layer is named), or the
            file loses too much.
        FileNotFoundError: If a path does not exist or the calibration folder is empty.
        PermissionError: If ``out`` cannot be written.
        ImportError: If the optional packages are missing.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS}. Received: kind={kind!r}")
    require("tensorflow", "ai_edge_litert", "ai_edge_quantizer")
    require_tensorflow_backend()
    out = Path(out).expanduser()
    licence = licence_of(model) if licence is None else licence
    box = box_of(model) if box is None else box
    # Of other weights, tuned ones too, nothing is known.
    looks = None if kind in TUNED else (_sidecar(model) or {}).get("quality")
    given = load(model)
    exported = export_model(given, crop=crop, box=box, scheme=scheme, pixels=pixels, output=output)
    size = exported.image_size
    # What `Predictor` adds without being told, apps must be told.
    padding = exported.box_padding or usual_box_padding(exported.crop, exported.num_landmarks)
    # Before anything slow: a fine-tuning takes minutes.
    if images is not None:
        images = calibrating.checked_pictures(np.asarray(images), size, "`images`")
    _check_arguments(exported, input_dtype, images, truth, protocol)
    fitted = None
    if calibration is not None:
        fitted = calibrating.load(calibration, size, crop=exported.crop, box_padding=padding)
    if kind in CALIBRATED and fitted is None:
        raise ValueError(
            f"Kind {kind!r} needs calibration pictures from training data: crops that `tfalign "
            "align PHOTOS --crops DIR` cuts, the calibration.npz of a training, or 'rendered'. An "
            "int8 file of each shipped preset lies in android_demo_assets. Received: "
            "calibration=None"
        )
    doubts = [] if fitted is None else calibrating.faults(fitted.images)
    for doubt in doubts:
        warnings.warn(f"Calibration: {doubt}.", stacklevel=2)
    stale = _earlier(out)
    with new_folder(out) as folder:
        before = None
        if kind in TUNED:
            from mobile_export.tuning import fine_tune, resolved
            from tfalign.models import LandmarkModel

            if not isinstance(exported.keras, LandmarkModel):
                raise ValueError(
                    f"Kind {kind!r} fine-tunes models of tfalign.models, which say how they are "
                    f"trained. Received: model={type(given).__name__}"
                )
            tuning = resolved(tuning, exported.keras, kind)
            tuned, fitted = fine_tune(exported.keras, kind, training, fitted, tuning)
            before, exported = exported, export_model(tuned, scheme=scheme, box=exported.box)
            exported = replace(exported, box_padding=before.box_padding)
        faces = rendered_faces(RENDERED, size, exported.crop, box_padding=padding)
        exact, content, decisions = _content(
            exported.keras, kind, fitted, faces, input_dtype, tuning, gathers
        )
        graph = exact if content is exact.content else Graph.read(content)
        converter.check_builtin(graph)
        (folder / "model.tflite").write_bytes(content)
        seen = None if kind in TUNED else _faces_of(model)
        if seen is not None:
            shutil.copyfile(seen, folder / FACES)
        runner = Runner(graph)

        found, expected = runner(faces), keras_landmarks(exported.keras, faces)
        rendered = compare(found, expected, size)
        strange = strange_landmarks(expected, size)
        for doubt in strange:
            warnings.warn(f"Landmarks: {doubt}.", stacklevel=2)
        parity, original = rendered, None
        if images is not None:
            found_on_images = runner(images)
            expected_on_images = keras_landmarks(exported.keras, images)
            parity = compare(found_on_images, expected_on_images, size, truth, protocol)
        if before is not None:
            pictures = faces if images is None else images
            points = found if images is None else found_on_images
            original = compare(points, keras_landmarks(before.keras, pictures), size)
        few = slice(golden.COUNT)
        measured = {
            "rendered faces": rendered,
            # `check` looks at these alone: what it would refuse is not written.
            "the golden faces": compare(found[few], expected[few], size),
        }
        if truth is not None:
            measured["the annotated pictures"] = parity
        lossy = _gate(kind, size, measured, doubts, allow_loss)
        golden.write(folder / "golden.npz", faces[few], found[few], expected[few])
        if exported.scheme is not None:
            exported.scheme.to_json(folder / "scheme.json")

        counts = _counts(given if before is None else exported.keras, graph)
        limit = limit_of(kind, size)
        compressed = len(gzip.compress(content, mtime=0))
        report = {
            "precision": [decision.to_dict() for decision in decisions],
            "calibration": None if fitted is None else {**fitted.to_dict(), "doubts": doubts},
            "tuning": tuning.to_dict(kind) if kind in TUNED else None,
            "rendered": rendered.to_dict(),
            "given": None if images is None else parity.to_dict(),
            "size": {"bytes": len(content), "gzip_bytes": compressed},
            "operators": graph.histogram(),
            "gpu": gpu_compatibility(graph),
            "layers": [row.to_dict() for row in layer_errors(exact, graph, faces[few])]
            if layers
            else None,
            "versions": versions(),
        }
        write_json(folder / "report.json", report)
        about = Metadata(
            kind=kind,
            input_shape=exported.input_shape,
            num_landmarks=exported.num_landmarks,
            crop=exported.crop,
            box=exported.box,
            box_padding=padding,
            scheme=exported.scheme,
            input_dtype=np.dtype(runner.input_dtype).name,
            output_dtype=graph.tensors[graph.outputs[0]].dtype.lower(),
            output_quantization=runner.output_quantization,
            model={
                "class": type(given).__name__,
                "name": given.name,
                "num_landmarks": exported.num_landmarks,
                "params": _params(given),
                "macc": counts.keras,
            },
            detectors=_rules(exported),
            quality={
                "faces": "rendered",
                **{
                    key: rendered.to_dict()[key]
                    for key in ("images", "mean_px", "p95_px", "max_px")
                },
                "limit_mean_px": limit.mean_px,
                "limit_p95_px": limit.p95_px,
                "loss_allowed": bool(lossy),
            },
            calibration=looks,
            licence=None if licence is None else {"weights": licence},
            notes=(
                *exported.notes,
                *counts.notes,
                *(f"Calibration: {doubt}." for doubt in doubts),
                *(f"Landmarks: {doubt}." for doubt in strange),
                *lossy,
            ),
            sha256={path.name: sha256(path) for path in sorted(folder.iterdir())},
        )
        about.write(folder)
    for name in stale - set(about.sha256):
        (out / name).unlink(missing_ok=True)
    return ExportResult(
        path=out / "model.tflite",
        kind=kind,
        rendered=rendered,
        parity=parity,
        macc=counts.file,
        size=len(content),
        gzip_size=compressed,
        histogram=report["operators"],
        gpu=report["gpu"],
        metadata=about,
        report=report,
        original_parity=original,
    )


def _gate(
    kind: str,
    size: tuple[int, int],
    measured: Mapping[str, Parity],
    doubts: Sequence[str],
    allow_loss: bool,
) -> list[str]:
    """Refuses a file that loses too much; returns the note of one that is let through."""
    limit = limit_of(kind, size)
    losses = [
        f"mean {parity.mean_px:.2f} px and 95 % {parity.p95_px:.2f} px on {where}"
        for where, parity in measured.items()
        if not parity.within(limit)
    ]
    if not losses:
        return []
    text = (
        f"The {kind} file is too far from its Keras model: {'; '.join(losses)}, where mean "
        f"{limit.mean_px:g} px and 95 % {limit.p95_px:g} px are allowed"
    )
    if doubts:
        text += f". The calibration explains it: {'; '.join(doubts)}"
    if not allow_loss:
        raise ValueError(f"{text}. To write it all the same: allow_loss=True (--allow-loss)")
    return [f"{text}."]


@dataclass(frozen=True)
class _Counts:
    """Multiply-accumulates of the Keras model and of the file; None where a rule is missing."""

    keras: int | None
    file: int | None
    notes: tuple[str, ...]


def _counts(model: Any, graph: Graph) -> _Counts:
    from tfalign import macc

    notes: list[str] = []

    def counted(what: Any) -> int | None:
        try:
            return int(what().macc)
        except ValueError as error:
            notes.append(f"Not counted: {error}")
            return None

    in_keras = counted(lambda: macc.count(model))
    in_file = counted(lambda: macc.count_tflite(graph))
    if in_keras is not None and in_file is not None and in_keras != in_file:
        notes.append(
            f"The file multiplies and adds {in_file:,} times, the Keras model {in_keras:,} times: "
            "the converter has written some layers otherwise. The file's figure stands here."
        )
        in_keras = in_file
    return _Counts(in_keras, in_file, tuple(notes))


def _faces_of(model: Any) -> Path | None:
    """Returns the record of the faces that a saved model was trained on, where it has one."""
    saved = isinstance(model, str | os.PathLike) and Path(model).suffix == ".keras"
    record = Path(model).with_name(FACES) if saved else None
    return record if record is not None and record.is_file() else None


def _earlier(out: Path) -> set[str]:
    """Returns those files of an earlier export that a later one may not replace: another model's.

    Of the same names, only what an export's metadata lists is its own, and no training's.
    """
    try:
        written = set(Metadata.read(out).sha256)
    except (FileNotFoundError, ValueError):
        return set()
    return written & ({"scheme.json"} if (out / "result.json").exists() else {"scheme.json", FACES})


def _params(model: Any) -> int:
    """Returns the number of weights that training changes, also where they are frozen now."""
    layers = model._flatten_layers()
    weights = {id(w): int(np.prod(w.shape)) for x in layers for w in x._trainable_variables}
    return sum(weights.values())


def licence_of(model: Any) -> str | None:
    """Returns the licence of a shipped preset's weights; None for any other model."""
    sidecar = _sidecar(model)
    return None if sidecar is None else str(sidecar["licence"])


def box_of(model: Any) -> str | None:
    """Returns the box that a shipped preset was measured with; None for any other model."""
    sidecar = _sidecar(model)
    return None if sidecar is None else str(sidecar["measured"]["box"])


def _rules(exported: ExportModel) -> dict[str, Any]:
    """Returns detectors' rules to the box, where they are known.

    They are for the box of the 68 points, and lead on to the boxes that another model was trained
    with if training has measured how these lie about a face.
    """
    rules = {name: rule.to_dict() for name, rule in box_rules().items()}
    if exported.box == "landmarks" and exported.scheme == markup.IBUG68:
        return rules
    padding = exported.box_padding
    if padding is None or padding["face"] is None:
        return {}
    for rule in rules.values():
        box = np.array([0.0, 0.0, 1.0, 1.0])
        for step in (rule["padding"], padding["face"], padding["points"]):
            box = np.asarray(pad_box(box, step), np.float64)
        left, top, right, bottom = box
        rule["padding"] = [round(float(v), 4) for v in (-left, -top, right - 1, bottom - 1)]
        rule["center_spread"] = rule["size_spread"] = None
        rule["fitted_on"] += ", from there to the model's boxes on its training faces"
    return rules


def _sidecar(model: Any) -> dict[str, Any] | None:
    from tfalign.models import shipped_presets

    return shipped_presets().get(str(model)) if isinstance(model, (str, Path)) else None


def _check_arguments(
    model: ExportModel,
    input_dtype: str,
    images: np.ndarray | None,
    truth: np.ndarray | None,
    protocol: str | None,
) -> None:
    """Raises ``ValueError`` for what ``export`` cannot take, as far as it is cheap to find out."""
    converter.check_input_dtype(input_dtype)
    height, width, _ = model.input_shape
    n = model.num_landmarks
    if (truth is None) != (protocol is None) or (truth is not None and images is None):
        given = {"images": images, "truth": truth, "protocol": protocol}
        raise ValueError(
            "Errors are measured on `images` with their `truth` by a `protocol`, e.g. "
            "'300w_inter_ocular': give all three. Received: "
            f"{', '.join(name for name, value in given.items() if value is not None)} only"
        )
    if images is not None and truth is not None and protocol is not None:
        from tfalign.evaluation import score

        if np.shape(truth) != (len(images), n, 2):
            raise ValueError(
                f"`truth` must be ({len(images)}, {n}, 2) in [0, 1]². Received: "
                f"shape={np.shape(truth)}"
            )
        check_unit("`truth`", truth)
        # Scored against itself, the truth meets whatever the protocol asks of it later.
        pixels = np.asarray(truth) * np.array([width, height])
        score(pixels, pixels, protocol=protocol)


def _content(
    model: Any,
    kind: str,
    fitted: Any,
    faces: np.ndarray,
    input_dtype: str,
    tuning: Any,
    gathers: bool,
) -> tuple[Graph, bytes, list[Decision]]:
    """Returns the float file, the exported file's bytes and how each operator was treated.

    ``faces`` equalise the file's channels: rendered ones, because calibration may be bad.
    """
    if kind in TUNED:
        from mobile_export.tuning import base_kind

        kind = base_kind(kind, tuning)
    input_dtype = "float32" if kind == "int8_full" else input_dtype
    alike = None if kind in ("float32", "float16") else faces
    exact = Graph.read(converter.convert(model, input_dtype, gathers, alike))
    if kind == "float32":
        return exact, exact.content, []
    if kind == "float16":
        return exact, *quantize.quantize_weights(exact, "half")
    if kind == "dynamic":
        return exact, *quantize.quantize_weights(exact, "dynamic")
    if kind == "int8":
        return exact, *quantize.quantize_mixed(exact, fitted.images)
    return exact, *quantize.quantize_full(exact, fitted.images)
