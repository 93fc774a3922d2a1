"""Whatever maps crops to landmarks: a Keras model, a .tflite file or a callable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import keras
import numpy as np

from tfalign import markup
from tfalign.files import read_json
from tfalign.geometry import CropConvention, crop_convention


@runtime_checkable
class Backend(Protocol):
    """Runs a landmark model on crops and knows how it wants its crops cut.

    Attributes:
        name: For tables.
        image_size: (width, height) of the crops.
        crop: Convention by which a box becomes a crop.
        scheme: Landmark scheme of the output, or None if unknown.
        num_landmarks: n.
    """

    name: str
    image_size: tuple[int, int]
    crop: CropConvention
    scheme: markup.LandmarkScheme | None
    num_landmarks: int

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Maps (faces, height, width, 3) uint8 crops to (faces, n, 2) float32 in [0, 1]²."""
        ...


@dataclass
class CallableBackend:
    """Any function from crops (faces, h, w, 3) uint8 to landmarks (faces, n, 2) in [0, 1]².

    Attributes:
        function: The function.
        image_size: (width, height) of the crops it wants.
        crop: Convention: a preset's name, an object or its configuration.
        scheme: Landmark scheme of its output, by name or object.
        name: For tables.
    """

    function: Callable[[np.ndarray], Any]
    image_size: tuple[int, int]
    crop: CropConvention
    scheme: markup.LandmarkScheme | None
    name: str = "callable"

    def __post_init__(self) -> None:
        self.crop = crop_convention(self.crop)
        if self.scheme is None:
            raise ValueError("`scheme` must name the scheme of the output. Received: scheme=None")
        self.scheme = markup.get(self.scheme)

    @property
    def num_landmarks(self) -> int:
        return self.scheme.num_points

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        return _checked(self.function(crops), len(crops), self.num_landmarks, self.name)


class KerasBackend:
    """A Keras model in memory.

    Args:
        model: A ``tfalign.models.LandmarkModel``, or any Keras model with the same input and output
            for which the following are given.
        crop, scheme, image_size: Used where the model has no attribute of that name.
        name: For tables; None takes the model's.

    Raises:
        ValueError: If the crop convention or the input size is known neither from the model nor
            from the arguments.
    """

    def __init__(
        self,
        model: keras.Model,
        crop: str | CropConvention | Mapping[str, Any] | None = None,
        scheme: str | markup.LandmarkScheme | None = None,
        image_size: tuple[int, int] | None = None,
        name: str | None = None,
    ) -> None:
        self.model = model
        self.name = name or model.name
        found_crop = getattr(model, "crop", None) or crop
        if found_crop is None:
            raise ValueError(
                f"Model {self.name!r} stores no crop convention (`model.crop`): give `crop`, one "
                "of tfalign.geometry.CROP_PRESETS or a CropConvention. Received: crop=None"
            )
        self.crop = crop_convention(found_crop)
        size = getattr(model, "image_size", None) or image_size or _input_size(model)
        self.image_size = (int(size[0]), int(size[1]))
        self.num_landmarks = int(getattr(model, "num_landmarks", 0) or model.output_shape[-2])
        self.scheme = _scheme(getattr(model, "scheme", None) or scheme, self.num_landmarks)
        self._batch = 0

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        # The last, smaller batch is filled up: one batch size means one compiled graph.
        self._batch = max(self._batch, len(crops))
        padding = [(0, self._batch - len(crops)), (0, 0), (0, 0), (0, 0)]
        points = self.model.predict_on_batch(np.pad(crops, padding))
        return _checked(points[: len(crops)], len(crops), self.num_landmarks, self.name)


class TFLiteBackend:
    """A .tflite file, run by ai-edge-litert on the CPU one face at a time, as a phone does.

    Args:
        path: The file. A ``metadata.json`` beside it, as ``mobile_export`` writes, tells scheme and
            crop convention.
        crop, scheme: Used where there is no metadata, or it is silent.
        threads: CPU threads.
        name: For tables; None takes the path's last two parts.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If ai-edge-litert is not installed.
        ValueError: If the file is no landmark model (one image in, one shape out), or the crop
            convention is unknown.
    """

    def __init__(
        self,
        path: str | Path,
        crop: str | CropConvention | Mapping[str, Any] | None = None,
        scheme: str | markup.LandmarkScheme | None = None,
        threads: int = 1,
        name: str | None = None,
    ) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ImportError(
                "Running .tflite files needs ai-edge-litert: pip install 'tfalign[mobile]'"
            ) from error

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"A .tflite file must exist. Received: path={str(path)!r}")
        metadata = read_metadata(path)
        self.name = name or "/".join(path.parts[-2:])
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path} is not a .tflite file that can be run: {error}") from error
        inputs, outputs = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        in_shape = [int(v) for v in inputs[0]["shape"]]
        out_shape = [int(v) for v in outputs[0]["shape"]]
        image_in = len(inputs) == 1 and len(in_shape) == 4 and in_shape[0] == 1
        if not (image_in and len(outputs) == 1 and out_shape[-1:] == [2]):
            raise ValueError(
                "A landmark model must map one image (1, h, w, 3) to one shape (1, n, 2). "
                f"Received: {path} with inputs {[list(i['shape']) for i in inputs]} and outputs "
                f"{[list(o['shape']) for o in outputs]}"
            )
        self._input, self._output = inputs[0], outputs[0]
        self.image_size = (in_shape[2], in_shape[1])
        self.num_landmarks = out_shape[-2]
        found_crop = metadata.get("crop") or crop
        if found_crop is None:
            raise ValueError(
                f"No crop convention is known for {path}: put the metadata.json of its export "
                "beside it, or give `crop`. Received: crop=None"
            )
        self.crop = crop_convention(found_crop)
        stored = (metadata.get("scheme") or {}).get("name")
        self.scheme = _scheme(stored or scheme, self.num_landmarks)

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        points = np.empty((len(crops), self.num_landmarks, 2), np.float32)
        for index in range(len(crops)):
            image = _quantized(crops[index : index + 1].astype(np.float32), self._input)
            self._interpreter.set_tensor(self._input["index"], image)
            self._interpreter.invoke()
            output = self._interpreter.get_tensor(self._output["index"])
            points[index] = _dequantized(output, self._output)[0]
        return _checked(points, len(crops), self.num_landmarks, self.name)


def read_metadata(path: Path) -> dict[str, Any]:
    """Returns the ``metadata.json`` beside a .tflite file, or {} if there is none.

    Raises:
        ValueError: If the file exists and is not a JSON object.
    """
    file = path.with_name("metadata.json")
    if not file.is_file():
        return {}
    metadata = read_json(file)
    if not isinstance(metadata, dict):
        raise ValueError(f"{file} must hold a JSON object. Received: {type(metadata).__name__}")
    return metadata


def _quantized(image: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    """Converts pixels in [0, 255] to an input tensor's type and quantization."""
    dtype = np.dtype(detail["dtype"])
    scale, zero = detail["quantization"]
    if np.issubdtype(dtype, np.floating) or scale == 0:
        return image.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(image / scale) + zero, limits.min, limits.max).astype(dtype)


def _dequantized(output: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    scale, zero = detail["quantization"]
    if np.issubdtype(output.dtype, np.floating) or scale == 0:
        return output
    return (output.astype(np.float32) - zero) * scale


def _input_size(model: keras.Model) -> tuple[int, int]:
    shape = model.input_shape
    if len(shape) != 4 or None in shape[1:3]:
        raise ValueError(
            f"The input size of model {model.name!r} is not fixed: give `image_size`. Received: "
            f"input_shape={shape}"
        )
    return int(shape[2]), int(shape[1])


def _scheme(
    scheme: str | markup.LandmarkScheme | None, num_landmarks: int
) -> markup.LandmarkScheme | None:
    """Returns the scheme named, or the common one of that many points, or None."""
    if scheme is not None:
        found = markup.get(scheme)
        if found.num_points != num_landmarks:
            raise ValueError(
                f"Scheme {found.name!r} has {found.num_points} points. Received: a model with "
                f"{num_landmarks}"
            )
        return found
    try:
        return markup.for_num_points(num_landmarks)
    except ValueError:
        return None  # an own markup: a protocol that needs the scheme will say so


def _checked(points: Any, faces: int, n: int, name: str) -> np.ndarray:
    points = np.asarray(points, np.float32)
    if points.shape != (faces, n, 2):
        raise ValueError(
            f"Model {name!r} must return ({faces}, {n}, 2) landmarks in [0, 1]². Received: shape "
            f"{points.shape}"
        )
    return points
