"""Whatever maps crops to landmarks: a Keras model, a .tflite file or a callable."""

from __future__ import annotations

import abc
import functools
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign import markup
from tfalign.geometry import CropConvention, crop_convention
from tfalign.inference.per_thread import PerThread
from tfalign.inference.quality import QualityCalibration

# Importing the models also registers the layers that a .keras file names.
from tfalign.models import load, shipped_presets, shipped_tflite
from tfalign.models.saved import load_model
from tfalign.tflite import Metadata, Runner


class Backend(abc.ABC):
    """Runs a landmark model on crops and knows how it wants its crops cut.

    One back end may be used by any number of threads, and can be pickled if its model can.

    Attributes:
        name: For tables.
        image_size: (height, width) of the crops.
        crop: Convention by which a box becomes a crop.
        scheme: Landmark scheme of the output, or None if unknown.
        box: Source of the boxes that it was trained with, or None if unknown.
        box_padding: How other boxes become such, see
            `tfalign.evaluation.boxes.fit_box_padding`; None where they are the same.
        num_landmarks: n.
        calibration: What makes a quality of this model's looks, or None if it brings none.
    """

    name: str
    image_size: tuple[int, int]
    crop: CropConvention
    scheme: markup.LandmarkScheme | None
    num_landmarks: int
    box: str | None = None
    box_padding: Mapping[str, Any] | None = None
    calibration: QualityCalibration | None = None

    @abc.abstractmethod
    def stages(self, crops: np.ndarray) -> np.ndarray:
        """Returns the shape after every stage of the model.

        Args:
            crops: (faces, height, width, 3) uint8, also of no face.

        Returns:
            (faces, stages, n, 2) float32 in [0, 1]² of the crops; one stage, the result, where no
            other is known.

        Raises:
            ValueError: If the model returns another shape.
        """

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Maps (faces, height, width, 3) uint8 crops to (faces, n, 2) float32 in [0, 1]²."""
        return self.stages(crops)[:, -1]

    def _checked(self, points: Any, faces: int) -> np.ndarray:
        points = np.asarray(points, np.float32)
        if points.shape != (faces, self.num_landmarks, 2):
            raise ValueError(
                f"Model {self.name!r} must return ({faces}, {self.num_landmarks}, 2) landmarks in "
                f"[0, 1]². Received: shape {points.shape}"
            )
        return points


class CallableBackend(Backend):
    """Any function from crops (faces, h, w, 3) uint8 to landmarks (faces, n, 2) in [0, 1]².

    Args:
        function: The function; safe to call from several threads if the back end is to be.
        image_size: (height, width) of the crops it wants.
        crop: Convention: a preset's name, an object or its configuration.
        scheme: Landmark scheme of its output, by name or object; None if it has none.
        name: For tables.
        num_landmarks: n, where there is no scheme to tell it.

    Raises:
        ValueError: If neither ``scheme`` nor ``num_landmarks`` tells n, or they differ.
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], Any],
        image_size: tuple[int, int],
        crop: str | CropConvention | Mapping[str, Any],
        scheme: str | markup.LandmarkScheme | None,
        name: str = "callable",
        num_landmarks: int | None = None,
    ) -> None:
        self.function = function
        self.image_size = image_size
        self.crop = crop_convention(crop)
        self.scheme = None if scheme is None else markup.get(scheme)
        self.name = name
        points = None if self.scheme is None else self.scheme.num_points
        if num_landmarks is None and points is None:
            raise ValueError(
                "`scheme` must name the scheme of the output, or `num_landmarks` its number of "
                "points. Received: scheme=None, num_landmarks=None"
            )
        self.num_landmarks = int(num_landmarks or points or 0)
        if points not in (None, self.num_landmarks):
            raise ValueError(
                f"Scheme {scheme!r} has {points} points. Received: num_landmarks={num_landmarks}"
            )

    def stages(self, crops: np.ndarray) -> np.ndarray:
        found = self.function(crops) if len(crops) else np.zeros((0, self.num_landmarks, 2))
        return self._checked(found, len(crops))[:, None]


class KerasBackend(Backend):
    """A Keras model in memory.

    Calls from several threads wait for each other: TensorFlow itself uses all cores.

    Args:
        model: A ``tfalign.models.LandmarkModel``, or any Keras model with the same input and output
            for which the following are given.
        crop, scheme, image_size: Used where the model has no attribute of that name.
        name: For tables; None takes the model's.

    Raises:
        ValueError: If the crop convention or the input size is known neither from the model nor
            from the arguments.
        RuntimeError: From a call in a process that was forked after this was made: TensorFlow's
            threads do not survive a fork, and it would wait for them for ever.
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
        self.box = getattr(model, "box", None)
        self.box_padding = getattr(model, "box_padding", None)
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
        self._prepare()

    def _prepare(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        training = getattr(self.model, "training_model", None)
        # Where the model knows the shapes of all stages, they come with the last at no cost.
        self._all_stages = (
            None if training is None else keras.Model(self.model.input, training.output["stages"])
        )

    def __getstate__(self) -> dict[str, Any]:
        made_anew = ("_process", "_lock", "_all_stages")
        return {key: value for key, value in vars(self).items() if key not in made_anew}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._prepare()

    def stages(self, crops: np.ndarray) -> np.ndarray:
        if os.getpid() != self._process:
            raise RuntimeError(
                "A Keras model cannot run in a process that was forked after it was made: start "
                "processes with multiprocessing.get_context('spawn'), make the model in each of "
                "them, or use a .tflite file."
            )
        count = len(crops)
        if not count:
            stages = 1 if self._all_stages is None else int(self._all_stages.output_shape[1])
            return np.zeros((0, stages, self.num_landmarks, 2), np.float32)
        # Filled up to a power of two: as many compiled graphs as there are such sizes.
        filling = (1 << (count - 1).bit_length()) - count
        filled = np.pad(crops, [(0, filling), (0, 0), (0, 0), (0, 0)])
        with self._lock:
            if self._all_stages is None:
                return self._checked(self.model.predict_on_batch(filled)[:count], count)[:, None]
            return np.asarray(self._all_stages.predict_on_batch(filled)[:count], np.float32)


class TFLiteBackend(Backend):
    """A .tflite file, run by ai-edge-litert on the CPU one face at a time, as a phone does.

    Every thread that calls has an interpreter of its own.

    Args:
        path: The file. A ``metadata.json`` beside it, as ``mobile_export`` writes, tells scheme and
            crop convention.
        crop, scheme: Used where there is no metadata, or it is silent.
        threads: CPU threads of each interpreter.
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
        path = Path(path)
        runner = Runner(path, threads)
        metadata = Metadata.beside(path)
        self.name = name or "/".join(path.parts[-2:])
        # Of the content, not the path: another process that gets this back end may lack the file.
        self._runners = PerThread(functools.partial(Runner, runner.graph.content, threads))
        self.image_size, self.num_landmarks = runner.image_size, runner.num_landmarks
        stored = (None, None) if metadata is None else (metadata.crop, metadata.scheme)
        self.box = None if metadata is None else metadata.box
        self.box_padding = None if metadata is None else metadata.box_padding
        if metadata is not None and metadata.calibration is not None:
            self.calibration = QualityCalibration.from_config(metadata.calibration)
        found_crop = stored[0] or crop
        if found_crop is None:
            raise ValueError(
                f"No crop convention is known for {path}: put the metadata.json of its export "
                "beside it, or give `crop`. Received: crop=None"
            )
        self.crop = crop_convention(found_crop)
        self.scheme = _scheme(stored[1] or scheme, self.num_landmarks)

    def stages(self, crops: np.ndarray) -> np.ndarray:
        return self._checked(self._runners.get()(crops), len(crops))[:, None]


def load_backend(
    model: str | Path | keras.Model | Backend,
    crop: Any = None,
    scheme: Any = None,
    threads: int = 1,
    backend: str | None = None,
) -> Backend:
    """Makes a back end of a model in memory, a file or a preset.

    Args:
        model: What to run: a Keras model, a back end, the path of a ``.keras`` or ``.tflite`` file,
            or the name of a preset that ships with the package.
        crop, scheme: Used where the model does not tell its own.
        threads: CPU threads of a ``.tflite`` file's interpreters.
        backend: What runs it, ``"keras"`` or ``"tflite"``. A preset has both: its Keras model,
            which None takes, and its int8 file, which is faster on a CPU and knows no stages but
            the last. Whatever else is given has one.

    Raises:
        FileNotFoundError: If a path does not exist.
        ImportError: If ``backend`` is ``"tflite"`` and ai-edge-litert is not installed.
        ValueError: If a path has another ending and is no preset, the crop convention is unknown,
            or the model does not run on ``backend``.
    """
    found = _loaded(model, crop, scheme, threads, backend)
    of = {KerasBackend: "keras", TFLiteBackend: "tflite"}.get(type(found))
    if backend is not None and of != backend:
        raise ValueError(
            "`backend` must be 'keras' or 'tflite', and the model's own unless it is a preset, "
            f"which has both; mobile_export makes a .tflite of a Keras model. Received: "
            f"backend={backend!r}, model={found.name!r}"
        )
    return found


def _loaded(
    model: str | Path | keras.Model | Backend,
    crop: Any,
    scheme: Any,
    threads: int,
    backend: str | None,
) -> Backend:
    if isinstance(model, keras.Model):
        return KerasBackend(model, crop, scheme)
    if not isinstance(model, (str, Path)):
        return model
    path = Path(model)
    if str(model) in shipped_presets():
        preset: Backend
        if backend == "tflite":
            file = shipped_tflite(str(model))
            preset = TFLiteBackend(file, threads=threads, name=f"preset {model}, int8")
        else:
            preset = KerasBackend(load(str(model)), name=f"preset {model}")
        if "quality" in shipped_presets()[str(model)]:
            preset.calibration = QualityCalibration.of_preset(str(model))
        return preset
    if path.suffix not in (".keras", ".tflite"):
        raise ValueError(
            "A model must be a file that ends in .keras or .tflite, or one of the presets "
            f"{sorted(shipped_presets())}. Received: model={str(model)!r}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"A model file must exist. Received: model={str(model)!r}")
    if path.suffix == ".tflite":
        return TFLiteBackend(path, crop, scheme, threads)
    return KerasBackend(load_model(path), crop, scheme, name="/".join(path.parts[-2:]))


def _input_size(model: keras.Model) -> tuple[int, int]:
    shape = model.input_shape
    if len(shape) != 4 or None in shape[1:3]:
        raise ValueError(
            f"The input size of model {model.name!r} is not fixed: give `image_size`. Received: "
            f"input_shape={shape}"
        )
    return int(shape[1]), int(shape[2])


def _scheme(
    scheme: str | markup.LandmarkScheme | None, num_landmarks: int
) -> markup.LandmarkScheme | None:
    """Returns the scheme, or None for points without one; their number never chooses it."""
    if scheme is None:
        return None
    found = markup.get(scheme)
    if found.num_points != num_landmarks:
        raise ValueError(
            f"Scheme {found.name!r} has {found.num_points} points. Received: a model with "
            f"{num_landmarks}"
        )
    return found
