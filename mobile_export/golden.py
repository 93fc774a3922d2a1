"""Golden files: a few pictures and the landmarks an exported model gave for them.

``golden.npz`` lies beside every exported model. It holds ``images`` (k, H, W, 3) uint8, the
file's own ``landmarks`` (k, n, 2) and the Keras model's ``keras_landmarks`` (k, n, 2), both in
[0, 1]². An app replays it as a regression test: same file, same pixels, same points.

The pictures are rendered faces, never calibration pictures: the file travels with apps, and
training photographs seldom may.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobile_export.parity import Limit, Parity, compare, limit_of
from tfalign.tflite import Runner

COUNT = 4
"""Number of pictures."""

TOLERANCE_PX = {
    "float32": 0.01,
    "float16": 0.05,
    "dynamic": 0.5,
    "int8": 0.5,
}
"""Largest difference in input pixels between two machines running the same file. Float kernels
add in different orders; int8 ones round at different ends of a tie, which later layers carry on."""
QUANTIZED_TOLERANCE_PX = 0.5
"""Of the kinds that are not listed: their weights or activations are int8."""


@dataclass(frozen=True)
class Replay:
    """What replaying golden outputs gave.

    Attributes:
        max_px: Largest distance to the stored landmarks, in pixels of the model's input.
        tolerance_px: What is allowed.
        keras: Distances to the landmarks that the Keras model gave.
        limit: What is allowed of these.
        loss_allowed: Whether the export was told to pass whatever it loses.
    """

    max_px: float
    tolerance_px: float
    keras: Parity
    limit: Limit
    loss_allowed: bool = False

    @property
    def passed(self) -> bool:
        """Whether the file still gives the stored landmarks, and those of its Keras model."""
        kept = self.loss_allowed or self.keras.within(self.limit)
        return self.max_px <= self.tolerance_px and kept

    def __str__(self) -> str:
        allowed = (
            "any loss was allowed"
            if self.loss_allowed
            else (f"allowed {self.limit.mean_px:g} and {self.limit.p95_px:g} px")
        )
        return (
            f"{'passed' if self.passed else 'FAILED'}, {self.max_px:.4f} px from its golden "
            f"outputs (allowed {self.tolerance_px:g} px); from the Keras model mean "
            f"{self.keras.mean_px:.4f} px, 95 % {self.keras.p95_px:.4f} px ({allowed})"
        )


def write(path: Path, images: np.ndarray, found: np.ndarray, expected: np.ndarray) -> None:
    """Writes pictures (k, H, W, 3) uint8 and both models' landmarks (k, n, 2) in [0, 1]²."""
    np.savez_compressed(
        path,
        images=images.astype(np.uint8),
        landmarks=found.astype(np.float32),
        keras_landmarks=expected.astype(np.float32),
    )


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a golden file.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is damaged or lacks an array.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no golden file here. Received: path={str(path)!r}")
    try:
        with np.load(path) as data:
            return {key: data[key] for key in ("images", "landmarks", "keras_landmarks")}
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            "A golden file holds images, landmarks and keras_landmarks. Received: "
            f"path={str(path)!r} ({error})"
        ) from error


def replay(
    model: str | Path | Runner, golden: str | Path, kind: str, loss_allowed: bool = False
) -> Replay:
    """Runs a model on the golden pictures and compares its landmarks with the stored ones.

    Args:
        model: The exported file or the loaded model.
        golden: Path of its ``golden.npz``.
        kind: The export's kind, which sets what is allowed.
        loss_allowed: Whether the export was told to pass whatever it loses.
    """
    stored = read(golden)
    runner = model if isinstance(model, Runner) else Runner(model)
    found, size = runner(stored["images"]), runner.image_size
    return Replay(
        compare(found, stored["landmarks"], size).max_px,
        TOLERANCE_PX.get(kind, QUANTIZED_TOLERANCE_PX),
        compare(found, stored["keras_landmarks"], size),
        limit_of(kind, size),
        loss_allowed,
    )
