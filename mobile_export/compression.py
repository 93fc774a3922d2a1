"""Fine-tuning before the export: quantization-aware, pruned, clustered.

The toolkit that does it knows ``tf_keras`` only, which a process that already runs Keras 3 as
``tf.keras`` cannot load. So it works in a process of its own (``worker``), which receives the model
and the data as files and leaves a tuned Keras 3 model behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mobile_export import calibration as calibrating
from mobile_export.calibration import Calibration
from mobile_export.converter import picture_shape
from mobile_export.extras import require

if TYPE_CHECKING:
    from tfalign.training import Schedule

BASES = ("float32", "float16", "dynamic", "int8")


@dataclass(frozen=True)
class Tuning:
    """How a model is fine-tuned.

    Attributes:
        schedule: Phases, as ``tfalign.training`` has them; None is ``default_schedule``. Learning
            rates that watch validation (``"plateau"``) and averaged weights are not available.
        sparsity: For ``pruned``: share of zeros in every kernel, in (0, 1).
        clusters: For ``clustered``: different values in every kernel, at least 2.
        base: For ``pruned`` and ``clustered``: the kind in which the tuned model is exported.
        augment: Augmentation of a ``CropCache``, by a name or configuration that
            ``tfalign.data.pipeline.training_dataset`` takes; arrays are never augmented.
        batch_size: Pictures in a batch.
        seed: Of order and augmentation.
        environment: Variables for the process, e.g. the number of TensorFlow's threads.
    """

    schedule: Schedule | None = None
    sparsity: float = 0.5
    clusters: int = 16
    base: str = "float32"
    augment: str | Mapping[str, Any] | None = None
    batch_size: int = 32
    seed: int = 0
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

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
        schedule = self.schedule or default_schedule()
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


def default_schedule() -> Schedule:
    """Returns three epochs of Adam at 1e-4, falling to zero, on every stage's ℓ2 loss."""
    from tfalign.training import LearningRateSpec, LossTerm, OptimizerSpec, Phase, Schedule

    phase = Phase(
        "tune",
        {"stages": LossTerm("l2")},
        LearningRateSpec(1e-4, "cosine"),
        OptimizerSpec("adam"),
        epochs=3,
    )
    return Schedule("tuning", (phase,), source="ours")


def base_kind(kind: str, tuning: Tuning | None) -> str:
    """Returns the kind in which a tuned model is exported."""
    return "int8" if kind == "int8_qat" else (tuning or Tuning()).base


def fine_tune(
    model: Any, kind: str, training: Any, fitted: Calibration | None, tuning: Tuning | None
) -> tuple[Any, Calibration | None]:
    """Trains a model on, in a process of its own.

    Args:
        model: A model of ``tfalign.models``; it is not changed.
        kind: ``"int8_qat"``, ``"pruned"`` or ``"clustered"``.
        training: ``(images, landmarks)``, (N, H, W, 3) in [0, 255] and (N, n, 2) in [0, 1]², or
            a ``CropCache`` or the path of one.
        fitted: Calibration pictures of the export that follows; where None and needed, training
            pictures are taken.
        tuning: Settings; None takes the defaults.

    Returns:
        The tuned model and the calibration to export it with.

    Raises:
        ValueError: If there is no training data, its names read as a test split, or a setting is
            not available.
        ImportError: If the optional packages are missing.
        RuntimeError: If the process fails; its last lines are quoted.
    """
    require("tensorflow_model_optimization", "tf_keras")
    tuning = tuning or Tuning()
    if training is None:
        raise ValueError(
            f"Kind {kind!r} is fine-tuned and needs training data. Received: training=None"
        )
    height, width, _ = picture_shape(model)
    import keras

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = _write_data(folder, training, (width, height), model.num_landmarks)
        model.save(folder / "model.keras")
        job = {"kind": kind, **tuning.to_dict(kind)}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        _run(folder, tuning)
        tuned = keras.saving.load_model(folder / "tuned.keras")
    if fitted is None and base_kind(kind, tuning) == "int8":
        fitted = calibrating.load(pictures, (width, height))
    return tuned, fitted


def _write_data(folder: Path, training: Any, size: tuple[int, int], n: int) -> Calibration:
    """Writes the data for the worker; returns its pictures as possible calibration."""
    if isinstance(training, (str, Path)):
        from tfalign.data.pipeline import CropCache

        calibrating.refuse_test_split([str(training)])
        training = CropCache.load(training)
    if not isinstance(training, (tuple, list)):
        fitted = calibrating.load(training, size)
        training.save(folder / "cache")
        return Calibration(fitted.images, "training data")
    images, landmarks = (np.asarray(part) for part in training)
    fitted = calibrating.load(images, size, limit=max(1, len(images)))
    if landmarks.shape != (len(images), n, 2):
        raise ValueError(
            f"Training landmarks must be ({len(images)}, {n}, 2) in [0, 1]². Received: "
            f"shape={landmarks.shape}"
        )
    np.savez(folder / "data.npz", images=fitted.images, landmarks=landmarks.astype(np.float32))
    return Calibration(fitted.images, "training data")


def _run(folder: Path, tuning: Tuning) -> None:
    environment = {
        **os.environ,
        **tuning.environment,
        "TF_USE_LEGACY_KERAS": "1",
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    process = subprocess.run(
        [sys.executable, "-m", "mobile_export.worker", str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode != 0 or not (folder / "tuned.keras").is_file():
        tail = "\n".join(process.stderr.strip().splitlines()[-12:])
        raise RuntimeError(
            f"Fine-tuning failed with exit status {process.returncode}. Its last lines:\n{tail}"
        )
