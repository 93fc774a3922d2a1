"""``metadata.json``: everything an app must know to use an exported model rightly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mobile_export.converter import picture_shape
from tfalign.files import read_json
from tfalign.tflite import INPUT, OUTPUT

FORMAT_VERSION = 1
REQUIRED = ("format_version", "kind", "input", "output", "image_size", "sha256")


def describe(model: Any, kind: str, input_dtype: str, output_dtype: str) -> dict[str, Any]:
    """Returns the part of the metadata that follows from the model.

    Args:
        model: The Keras model. ``scheme`` and ``crop`` are read where it has them, as every model
            of ``tfalign.models`` does.
        kind: The export's kind.
        input_dtype: Type of the file's input tensor, e.g. ``"uint8"``.
        output_dtype: Type of the file's output tensor, e.g. ``"float32"``.
    """
    from tfalign import macc

    height, width, _ = picture_shape(model)
    scheme, crop = getattr(model, "scheme", None), getattr(model, "crop", None)
    n = int(model.output_shape[1])
    report = macc.count(model)
    return {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "model": {
            "class": type(model).__name__,
            "name": model.name,
            "num_landmarks": n,
            "params": report.params,
            "macc": report.macc,
        },
        "scheme": {"name": None if scheme is None else scheme.name, "num_points": n},
        "input": {
            "name": INPUT,
            "dtype": input_dtype,
            "shape": [1, height, width, 3],
            "colour_order": "RGB",
            "range": [0, 255],
        },
        "output": {
            "name": OUTPUT,
            "dtype": output_dtype,
            "shape": [1, n, 2],
            "space": "unit",
            "axes": ["x", "y"],
        },
        "image_size": [width, height],
        "crop": None if crop is None else crop.get_config(),
        "normalisation": {"inside_model": True},
    }


def read(path: str | Path) -> dict[str, Any]:
    """Returns an export's metadata.

    Args:
        path: A ``metadata.json`` or the folder that holds it.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no metadata of this program's format version.
    """
    path = Path(path)
    path = path / "metadata.json" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"An export has a metadata.json beside model.tflite. Received: path={str(path)!r}"
        )
    data = read_json(path)
    missing = [key for key in REQUIRED if not isinstance(data, dict) or key not in data]
    if missing or data["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"metadata.json must have format_version {FORMAT_VERSION} and the keys {REQUIRED}. "
            f"Received: path={str(path)!r}, missing={missing}"
        )
    return data
