"""``export``: from a Keras model to a folder with ``model.tflite`` and what belongs to it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobile_export import calibration as calibrating
from mobile_export import converter, golden, metadata, parity, quantize
from mobile_export.converter import require_tensorflow_backend
from mobile_export.gpu import gpu_compatibility
from mobile_export.parity import Parity
from mobile_export.pictures import noise_pictures, rendered_faces
from mobile_export.precision import Decision
from tfalign.files import new_folder, sha256, versions, write_json
from tfalign.models import load
from tfalign.tflite import Graph, Runner, require

PLAIN = ("float32", "float16", "dynamic", "int8", "int8_full")
TUNED = ("int8_qat", "pruned", "clustered")
KINDS = PLAIN + TUNED
"""Everything that ``export`` writes; the tuned kinds train on before they are converted."""
CALIBRATED = ("int8", "int8_full")


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote and how it compares with the Keras model.

    Attributes:
        path: The ``.tflite`` file.
        kind: One of ``KINDS``.
        parity: Distance to the Keras model that was converted (after tuning, for tuned kinds).
        macc: Multiply-accumulates of one image, counted from the file.
        size: Bytes of the file.
        gzip_size: Bytes of the file after gzip, as an app store compresses it.
        histogram: Operator → how often it occurs.
        gpu: What TensorFlow's analyzer says of the GPU delegate, operator by operator.
        metadata: The content of ``metadata.json``.
        original_parity: Distance to the model before tuning; None for plain kinds.
    """

    path: Path
    kind: str
    parity: Parity
    macc: int
    size: int
    gzip_size: int
    histogram: dict[str, int]
    gpu: dict[str, Any]
    metadata: dict[str, Any] = field(repr=False)
    original_parity: Parity | None = None

    def table(self) -> str:
        """The figures as text, one per line."""
        rows = {
            "file": str(self.path),
            "kind": self.kind,
            "parity": str(self.parity),
            "MACC": f"{self.macc:,}",
            "size": f"{self.size:,} bytes ({self.gzip_size:,} after gzip)",
            "operators": ", ".join(f"{kind} {n}" for kind, n in self.histogram.items()),
            "not on a GPU": ", ".join(self.gpu["refused"]) or "none",
        }
        if self.original_parity is not None:
            rows["against the model before tuning"] = str(self.original_parity)
        width = max(map(len, rows))
        return "\n".join(f"{key:<{width}}  {value}" for key, value in rows.items())


def export(
    model: Any,
    kind: str,
    calibration: Any = None,
    out: str | Path = "build",
    *,
    input_dtype: str = "uint8",
    images: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    protocol: str | None = None,
    training: Any = None,
    tuning: Any = None,
) -> ExportResult:
    """Exports a landmark model to ``out/model.tflite``, with metadata and golden outputs.

    Args:
        model: Any model of ``tfalign.models``, the path of one saved as ``.keras``, or the name
            of weights that ship with the package.
        kind: ``"float32"``, ``"float16"`` (weights), ``"dynamic"`` (int8 weights), ``"int8"``
            (int8 weights and features, coordinates in float), ``"int8_full"`` (integers
            throughout, int16 where coordinates are made), ``"int8_qat"``, ``"pruned"`` or
            ``"clustered"`` (these three are fine-tuned first, in a process of their own).
        calibration: For the int8 kinds: pictures from training data, see ``calibration.load``.
        out: Folder to write; its files appear together, or none does.
        input_dtype: Pixels of the file's input: ``"uint8"`` or ``"float32"``; RGB in [0, 255]
            either way. ``int8_full`` always takes uint8.
        images: Pictures (N, H, W, 3) on which the file is compared with the Keras model. By
            default the calibration pictures (at most 32), or smooth noise where there are none.
        truth: Annotated landmarks (N, n, 2) in [0, 1]² of ``images``; adds both models' errors.
        protocol: The protocol of these errors, e.g. ``"300w_inter_ocular"``; given with ``truth``.
        training: For the tuned kinds: ``(images, landmarks)``, (N, H, W, 3) in [0, 255] and
            (N, n, 2) in [0, 1]², a ``CropCache``, or a path of one or of TFRecord shards.
        tuning: A ``tuning.Tuning`` with the fine-tuning's phases; None takes its defaults.

    Returns:
        The paths and figures of the export.

    Raises:
        ValueError: If an argument does not fit the kind, calibration names a test split, the
            model is no landmark model, or an operator is not built in (its layer is named).
        FileNotFoundError: If a path does not exist or the calibration folder is empty.
        PermissionError: If ``out`` cannot be written.
        ImportError: If the optional packages are missing.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS}. Received: kind={kind!r}")
    require("tensorflow", "ai_edge_litert", "ai_edge_quantizer")
    require_tensorflow_backend()
    model = load(model)
    height, width, _ = converter.picture_shape(model)
    # Before anything slow: a fine-tuning takes minutes.
    _check_arguments(model, input_dtype, images, truth, protocol)
    fitted = None
    if calibration is not None:
        fitted = calibrating.load(calibration, (height, width))
    if kind in CALIBRATED and fitted is None:
        raise ValueError(
            f"Kind {kind!r} needs calibration pictures from training data. Received: "
            "calibration=None"
        )
    with new_folder(out) as folder:
        original = model
        if kind in TUNED:
            from mobile_export.tuning import fine_tune, resolved

            tuning = resolved(tuning, model, kind)
            model, fitted = fine_tune(model, kind, training, fitted, tuning)
        content, decisions = _content(model, kind, fitted, input_dtype, tuning)
        graph = Graph.read(content)
        converter.check_builtin(graph)
        (folder / "model.tflite").write_bytes(content)
        lite = Runner(graph)

        pictures, source = _pictures(images, fitted, (height, width))
        found = lite(pictures)
        expected = parity.keras_landmarks(model, pictures)
        agreement = parity.compare(found, expected, pictures, truth, protocol)
        before = None
        if original is not model:
            before = parity.compare(found, original, pictures, truth, protocol)
        faces = rendered_faces(golden.COUNT, (height, width), getattr(model, "crop", None))
        golden.write(
            folder / "golden.npz", faces, lite(faces), parity.keras_landmarks(model, faces)
        )

        from tfalign import macc

        out_dtype = graph.tensors[graph.outputs[0]].dtype.lower()
        data = metadata.describe(model, kind, np.dtype(lite.input_dtype).name, out_dtype)
        data |= {
            "recipe": [decision.to_dict() for decision in decisions],
            "calibration": None if fitted is None else fitted.to_dict(),
            "tuning": tuning.to_dict(kind) if kind in TUNED else None,
            "parity": {**agreement.to_dict(), "pictures": source},
            "size": {"bytes": len(content), "gzip_bytes": len(gzip.compress(content, mtime=0))},
            "operators": graph.histogram(),
            "gpu": gpu_compatibility(graph),
            "versions": versions(),
            "sha256": {name: sha256(folder / name) for name in ("model.tflite", "golden.npz")},
        }
        write_json(folder / "metadata.json", data)
        counted = macc.count_tflite(graph).macc
    return ExportResult(
        path=Path(out) / "model.tflite",
        kind=kind,
        parity=agreement,
        macc=counted,
        size=data["size"]["bytes"],
        gzip_size=data["size"]["gzip_bytes"],
        histogram=data["operators"],
        gpu=data["gpu"],
        metadata=data,
        original_parity=before,
    )


def _check_arguments(
    model: Any,
    input_dtype: str,
    images: np.ndarray | None,
    truth: np.ndarray | None,
    protocol: str | None,
) -> None:
    """Raises ``ValueError`` for what ``export`` cannot take, as far as it is cheap to find out."""
    converter.check_input_dtype(input_dtype)
    height, width, _ = converter.picture_shape(model)
    n = int(model.output_shape[1])
    if images is not None:
        shape = np.shape(images)
        if len(shape) != 4 or shape[1:] != (height, width, 3) or not shape[0]:
            raise ValueError(
                f"`images` must be (N, {height}, {width}, 3), N > 0. Received: shape={shape}"
            )
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
        # Scored against itself, the truth meets whatever the protocol asks of it later.
        pixels = np.asarray(truth) * np.array([width, height])
        score(pixels, pixels, protocol=protocol)


def _content(
    model: Any, kind: str, fitted: Any, input_dtype: str, tuning: Any
) -> tuple[bytes, list[Decision]]:
    """Returns the file's bytes and how each operator of the float graph was treated."""
    if kind in TUNED:
        from mobile_export.tuning import base_kind

        kind = base_kind(kind, tuning)
    if kind == "int8_full":
        return quantize.quantize_full(
            Graph.read(converter.convert(model, "float32")), fitted.images
        )
    content = converter.convert(model, input_dtype)
    if kind in ("float16", "dynamic"):
        precision = "half" if kind == "float16" else "dynamic"
        return quantize.quantize_weights(Graph.read(content), precision)
    if kind == "int8":
        return quantize.quantize_mixed(Graph.read(content), fitted.images)
    return content, []


def _pictures(
    images: np.ndarray | None, fitted: Any, size: tuple[int, int]
) -> tuple[np.ndarray, str]:
    """Returns the pictures to compare on and what they are."""
    if images is not None:
        return np.asarray(images), "given"
    if fitted is not None:
        return fitted.images[:32], "calibration"
    return noise_pictures(16, size), "noise"
