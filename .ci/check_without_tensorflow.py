"""Imports and uses the installed package on JAX in an environment without TensorFlow."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

ROOMS = (
    "geometry",
    "markup",
    "layers",
    "models",
    "losses",
    "metrics",
    "callbacks",
    "macc",
    "training",
    "evaluation",
)


def main() -> None:
    """Imports every promised room, then trains, counts, saves and loads a small model."""
    if importlib.util.find_spec("tensorflow") or keras.backend.backend() != "jax":
        raise SystemExit("This program is for an environment with JAX and without TensorFlow.")
    import tfalign

    for room in ROOMS:
        importlib.import_module(f"tfalign.{room}")
    print("imported from", Path(tfalign.__file__).parent)

    model = tfalign.models.GRegLRef(num_landmarks=5, input_shape=(32, 32, 3), width=0.125)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    truth = np.full((4, 5, 2), 0.5, "float32")
    model.compile(optimizer="sgd", loss="mean_squared_error")
    history = model.fit(images, truth, epochs=2, verbose=0)
    if not np.isfinite(history.history["loss"]).all():
        raise SystemExit(f"training gave {history.history}")
    if tfalign.macc.count(model).macc <= 0:
        raise SystemExit("the counter found nothing")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    shipped = tfalign.models.GRegLRef(
        num_landmarks=68, trunk="compact", crop="300w", weights="300w", scheme="ibug68"
    )
    grey = np.full((1, *shipped.image_size, 3), 128, np.uint8)
    points = np.asarray(shipped(grey))[0]
    if not ((points > 0).all() and (points < 1).all() and np.ptp(points[:, 1]) > 0.5):
        raise SystemExit(f"the shipped weights give no face: {points}")
    command = Path(sys.executable).parent / "tfalign"
    subprocess.run([command, "--help"], check=True, stdout=subprocess.DEVNULL)
    print("trained, counted, saved and loaded on", keras.backend.backend())


if __name__ == "__main__":
    main()
