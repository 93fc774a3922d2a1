"""Fine-tuning before the export: quantization-aware, pruned, clustered.

The toolkit that does it knows ``tf_keras`` only, which a process that already runs Keras 3 as
``tf.keras`` cannot load. So it works in a process of its own (``tuning_process``), which receives
the model and the data as files and leaves a tuned Keras 3 model behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mobile_export import calibration as calibrating
from mobile_export import training_faces, tuning_process
from mobile_export.calibration import CalibrationPictures
from mobile_export.converter import picture_shape
from mobile_export.parity import check_unit
from tfalign.files import write_json
from tfalign.tflite import require

if TYPE_CHECKING:
    from tfalign.training import Schedule

BASES = ("float32", "float16", "dynamic", "int8")


@dataclass(frozen=True)
class Tuning:
    """How a model is fine-tuned.

    Attributes:
        schedule: Phases, as ``tfalign.training`` has them; None is ``default_schedule``. Learning
            rates that watch validation (``"plateau"``) and averaged weights are not available, and
            of a phase's switches only ``"dropout"``. Batch normalisation keeps its statistics.
        sparsity: For ``pruned``: share of zeros in every kernel, in (0, 1).
        clusters: For ``clustered``: different values in every kernel, at least 2.
        base: For ``pruned`` and ``clustered``: the kind in which the tuned model is exported.
        augment: Augmentation of a ``CropCache``, by a name or configuration that
            ``tfalign.data.pipeline.training_dataset`` takes; arrays are never augmented.
        batch_size: Pictures in a batch.
        seed: Of order and augmentation.
        environment: Variables for the process, e.g. the number of TensorFlow's threads.
        progress: Whether each epoch's loss is printed.
    """

    schedule: Schedule | None = None
    sparsity: float = 0.5
    clusters: int = 16
    base: str = "float32"
    augment: str | Mapping[str, Any] | None = "light"
    batch_size: int = 32
    seed: int = 0
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    progress: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.sparsity < 1.0:
            raise ValueError(f"`sparsity` must be in (0, 1). Received: sparsity={self.sparsity}")
        if self.clusters < 2:
            raise ValueError(f"`clusters` must be at least 2. Received: clusters={self.clusters}")
        if self.base not in BASES:
            raise ValueError(f"`base` must be one of {BASES}. Received: base={self.base!r}")
        if self.batch_size < 1:
            raise ValueError(
                f"`batch_size` must be positive. Received: batch_size={self.batch_size}"
            )

    def to_dict(self, kind: str) -> dict[str, Any]:
        """The settings that matter for ``kind``, as plain data."""
        schedule = self.schedule or default_schedule(None, kind)
        settings: dict[str, Any] = {
            "schedule": schedule.get_config(),
            "batch_size": self.batch_size,
            "augment": self.augment,
            "seed": self.seed,
            "base": base_kind(kind, self),
        }
        if kind == "pruned":
            settings["sparsity"] = self.sparsity
        if kind == "clustered":
            settings["clusters"] = self.clusters
        return settings


USUAL = {"int8_qat": (12, 1e-4), "pruned": (14, 5e-4), "clustered": (10, 2e-4)}
"""Kind → epochs and peak learning rate of the default schedule."""


def default_schedule(
    model: Any = None, kind: str = "int8_qat", epochs: int | None = None, rate: float | None = None
) -> Schedule:
    """Returns the schedule of a fine-tuning: one phase of Adam on every stage's mean distance.

    Args:
        model: The model to be tuned: where ``tfalign.training`` has a schedule ``"cpu"`` for it,
            that schedule's factors on the learning rate of single layers are taken over.
        kind: What the model is tuned for.
        epochs: Length; None takes the one of ``USUAL``.
        rate: Learning rate at its peak, after a twentieth of the steps, from where it falls to a
            hundredth; None takes the one of ``USUAL``.
    """
    from tfalign.models import ARCHITECTURES, architecture
    from tfalign.training import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule
    from tfalign.training.schedules import Budget, schedules_of

    length, peak = USUAL[kind]
    length, peak = length if epochs is None else epochs, peak if rate is None else rate
    factors: Mapping[str, float] = {}
    if any(type(model) is entry.kind for entry in ARCHITECTURES.values()):
        schedules = schedules_of(architecture(model))
        if "cpu" in schedules:
            usual = schedules["cpu"](model, Budget(1000, 100))
            factors = usual.phases[0].optimizer.rate_factors
    phase = Phase(
        "tune",
        {"stages": LossTerm("l2", arguments={"squared": False, "point_reduction": "mean"})},
        LearningRateSpec(peak, "cosine", warmup=0.05, final=peak / 100),
        OptimizerSpec("adam", clip_norm=1.0, rate_factors=factors),
        epochs=length,
        switches={"dropout": 0.0},
    )
    return Schedule("tuning", (phase,), source="ours")


def resolved(tuning: Tuning | None, model: Any, kind: str) -> Tuning:
    """Returns the settings with the schedule that will be run on ``model``."""
    tuning = tuning or Tuning()
    if tuning.schedule is not None:
        return tuning
    return replace(tuning, schedule=default_schedule(model, kind))


def base_kind(kind: str, tuning: Tuning | None) -> str:
    """Returns the kind in which a tuned model is exported."""
    return "int8" if kind == "int8_qat" else (tuning or Tuning()).base


def fine_tune(
    model: Any, kind: str, training: Any, fitted: CalibrationPictures | None, tuning: Tuning | None
) -> tuple[Any, CalibrationPictures | None]:
    """Trains a model on, in a process of its own.

    Args:
        model: A model of ``tfalign.models``; it is not changed.
        kind: ``"int8_qat"``, ``"pruned"`` or ``"clustered"``.
        training: ``(images, landmarks)``, (N, H, W, 3) in [0, 255] and (N, n, 2) in [0, 1]², or
            a ``CropCache``, or a path as ``training_faces.load_cache`` takes it.
        fitted: Calibration of the export that follows; where None and needed, training pictures
            are taken.
        tuning: Settings; None takes the defaults.

    Returns:
        The tuned model and the calibration to export it with.

    Raises:
        ValueError: If there is no training data, its names read as a test split, a setting is
            not available, or the loss leaves the finite numbers.
        ImportError: If the optional packages are missing.
        RuntimeError: If the process fails otherwise; its last lines are quoted.
    """
    require("tensorflow_model_optimization", "tf_keras")
    tuning = resolved(tuning, model, kind)
    if training is None:
        raise ValueError(
            f"Kind {kind!r} is fine-tuned and needs training data. Received: training=None"
        )
    height, width, _ = picture_shape(model)
    import keras

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = _write_data(folder, training, model, (height, width))
        model.save(folder / "model.keras")
        job = {"kind": kind, **tuning.to_dict(kind)}
        write_json(folder / "job.json", job)
        _run(folder, tuning)
        tuned = keras.saving.load_model(folder / "tuned.keras")
    if fitted is None and base_kind(kind, tuning) == "int8":
        fitted = calibrating.load(pictures, (height, width))
    return tuned, fitted


def _write_data(
    folder: Path, training: Any, model: Any, size: tuple[int, int]
) -> CalibrationPictures:
    """Writes the data for the worker; returns its pictures as possible calibration."""
    n = model.num_landmarks
    if isinstance(training, (str, Path)):
        training = training_faces.load_cache(training)
    if not isinstance(training, (tuple, list)):
        training_faces.check_crops(training, model)
        fitted = calibrating.load(training, size)
        training.save(folder / "cache")
        return CalibrationPictures(fitted.images, "training data")
    images, landmarks = (np.asarray(part) for part in training)
    fitted = calibrating.load(images, size, limit=max(1, len(images)))
    if landmarks.shape != (len(images), n, 2):
        raise ValueError(
            f"Training landmarks must be ({len(images)}, {n}, 2) in [0, 1]². Received: "
            f"shape={landmarks.shape}"
        )
    check_unit("Training landmarks", landmarks)
    np.savez(folder / "data.npz", images=fitted.images, landmarks=landmarks.astype(np.float32))
    return CalibrationPictures(fitted.images, "training data")


def _run(folder: Path, tuning: Tuning) -> None:
    environment = {
        **os.environ,
        **tuning.environment,
        "TF_USE_LEGACY_KERAS": "1",
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    process = subprocess.run(
        [sys.executable, "-m", "mobile_export.tuning_process", str(folder)],
        env=environment,
        stdout=None if tuning.progress else subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if process.returncode != 0 or not (folder / "tuned.keras").is_file():
        tail = "\n".join(process.stderr.strip().splitlines()[-12:])
        failure = RuntimeError(
            f"Fine-tuning failed with exit status {process.returncode}. Its last lines:\n{tail}"
        )
        if (
            process.returncode == tuning_process.REFUSED
            and (folder / tuning_process.MESSAGE).is_file()
        ):
            # The failure stays as its cause, with the place in the tuning_process.
            raise ValueError(
                (folder / tuning_process.MESSAGE).read_text(encoding="utf-8")
            ) from failure
        raise failure
