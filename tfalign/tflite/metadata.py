"""``metadata.json``: everything an app must know to use an exported model rightly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfalign import markup
from tfalign.files import read_json, write_whole
from tfalign.geometry import CropConvention, crop_convention
from tfalign.tflite.runner import INPUT, OUTPUT

FORMAT_VERSION = 2
NAME = "metadata.json"


@dataclass(frozen=True)
class Metadata:
    """What lies beside an exported ``model.tflite``.

    Attributes:
        kind: The export's kind, e.g. ``"int8"``.
        input_shape: (height, width, channels) of the picture, RGB in [0, 255].
        num_landmarks: n.
        crop: How a face box becomes the picture; None where nobody said.
        box: The box that the crop starts from: ``"landmarks"`` (the tight box round the points),
            ``"file"`` (as a data set gives it), a detector's name, or None where nobody said.
        scheme: The points' names, parts and edges; None where nobody said.
        box_padding: How the tight box of the points (``"points"``), and a face's box
            (``"face"``), become ``box``, see `tfalign.evaluation.boxes.fit_box_padding`; None where
            they are the same, or nobody said.
        input_dtype: Type of the file's input, e.g. ``"uint8"``.
        output_dtype: Type of the file's output, e.g. ``"float32"``.
        output_quantization: ``"scale"`` and ``"zero_point"`` of an output of integers, by which
            they become landmarks: ``(integer - zero_point) * scale``; None of one of floats.
        model: Class, name, parameters and multiply-accumulates (None where they are not counted).
        detectors: Detector's name → how its box becomes ``box``, see
            ``inference.detectors.BoxRule``; empty where such rules are not known.
        quality: How far the file is from its Keras model, see ``mobile_export.parity``.
        calibration: What makes a quality and an expected error of two looks, as
            ``inference.QualityCalibration.get_config`` gives it; None where nobody fitted one.
        licence: Of the weights, with their origin; None where nobody said.
        notes: What the exporter had to say.
        sha256: File name → SHA-256 of the files that belong together.
    """

    kind: str
    input_shape: tuple[int, int, int]
    num_landmarks: int
    crop: CropConvention | None
    box: str | None
    scheme: markup.LandmarkScheme | None
    input_dtype: str = "uint8"
    output_dtype: str = "float32"
    output_quantization: Mapping[str, Any] | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    detectors: Mapping[str, Any] = field(default_factory=dict)
    box_padding: Mapping[str, Any] | None = None
    quality: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    licence: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The content of ``metadata.json``, format version 2."""
        height, width, channels = self.input_shape
        steps = self.output_quantization
        return {
            "format_version": FORMAT_VERSION,
            "kind": self.kind,
            "model": dict(self.model),
            "input": {
                "name": INPUT,
                "dtype": self.input_dtype,
                "shape": [1, height, width, channels],
                "colour_order": "RGB",
                "range": [0, 255],
            },
            "output": {
                "name": OUTPUT,
                "dtype": self.output_dtype,
                "shape": [1, self.num_landmarks, 2],
                "axes": ["x", "y"],
                "space": "unit",
                **({} if steps is None else {"quantization": dict(steps)}),
            },
            "crop": None if self.crop is None else self.crop.get_config(),
            "box": self.box,
            "box_padding": None if self.box_padding is None else dict(self.box_padding),
            "scheme": None if self.scheme is None else self.scheme.to_config(),
            "detectors": {name: dict(rule) for name, rule in self.detectors.items()},
            "quality": None if self.quality is None else dict(self.quality),
            **({} if self.calibration is None else {"calibration": dict(self.calibration)}),
            "licence": None if self.licence is None else dict(self.licence),
            "notes": list(self.notes),
            "sha256": dict(self.sha256),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Metadata:
        """Makes metadata from the content of a file of format version 1 or 2.

        Raises:
            ValueError: If a key is missing or a value does not fit.
        """
        version = data.get("format_version")
        if version not in (1, FORMAT_VERSION):
            raise ValueError(
                f"`format_version` must be 1 or {FORMAT_VERSION}. Received: "
                f"format_version={version!r}"
            )
        try:
            known = {key: data[key] for key in ("kind", "model", "crop", "sha256")}
            _, height, width, channels = (int(size) for size in data["input"]["shape"])
            _, n, _ = (int(size) for size in data["output"]["shape"])
            scheme = data["scheme"]
            types = data["input"]["dtype"], data["output"]["dtype"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"An export's metadata lacks a value or has a wrong one: "
                f"{type(error).__name__}: {error}. Received: keys {sorted(data)}"
            ) from error
        if version == 1 and scheme is not None:
            # Version 1 names the scheme only, and gives no name where there was none.
            scheme = scheme["name"]
        found = None if scheme is None else markup.get(scheme)
        if found is not None and found.num_points != n:
            raise ValueError(
                f"The scheme's points must be the output's. Received: scheme {found.name!r} of "
                f"{found.num_points} points, output of {n}"
            )
        crop = known.pop("crop")
        return cls(
            **known,
            input_shape=(height, width, channels),
            num_landmarks=n,
            crop=None if crop is None else crop_convention(crop),
            box=data.get("box"),
            box_padding=data.get("box_padding"),
            scheme=found,
            input_dtype=types[0],
            output_dtype=types[1],
            output_quantization=data["output"].get("quantization"),
            detectors=data.get("detectors", {}),
            quality=data.get("quality"),
            calibration=data.get("calibration"),
            licence=data.get("licence"),
            notes=tuple(data.get("notes", ())),
        )

    def write(self, path: str | Path) -> None:
        """Writes the file, or ``metadata.json`` in a folder: one line for each key."""
        lines = (
            f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
            for key, value in self.to_dict().items()
        )
        write_whole(_file(path), "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def read(cls, path: str | Path) -> Metadata:
        """Reads an export's metadata.

        Args:
            path: A ``metadata.json``, the folder that holds it, or the ``.tflite`` beside it.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is no metadata of an export; the file is named.
        """
        file = _file(path)
        if not file.is_file():
            raise FileNotFoundError(
                f"An export has a {NAME} beside model.tflite. Received: path={str(path)!r}"
            )
        data = read_json(file)
        if not isinstance(data, dict):
            raise ValueError(f"{file} must hold a JSON object. Received: {type(data).__name__}")
        try:
            return cls.from_dict(data)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error

    @classmethod
    def beside(cls, path: str | Path) -> Metadata | None:
        """Reads the metadata beside a ``.tflite``; None where there is none."""
        return cls.read(path) if _file(path).is_file() else None

    def replace(self, **changes: Any) -> Metadata:
        """Returns a copy with some attributes changed."""
        return dataclasses.replace(self, **changes)


def _file(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix == ".tflite":
        return path.with_name(NAME)
    return path if path.suffix == ".json" else path / NAME
