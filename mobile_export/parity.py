"""How far an exported model's landmarks are from the Keras model's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tfalign.tflite import Runner


@dataclass(frozen=True)
class Parity:
    """Distances between the landmarks of the file and of the Keras model.

    Attributes:
        mean_px: Mean distance in pixels of the model's input.
        max_px: Largest distance in pixels of the model's input.
        images: Number of pictures compared.
        nme: Normalised mean error of the file as a fraction, where the truth was given.
        keras_nme: The same of the Keras model.
        protocol: The protocol of both errors, None without truth.
    """

    mean_px: float
    max_px: float
    images: int
    nme: float | None = None
    keras_nme: float | None = None
    protocol: str | None = None

    @property
    def nme_drop(self) -> float | None:
        """How much larger the file's error is than the Keras model's, as a fraction."""
        if self.nme is None or self.keras_nme is None:
            return None
        return self.nme - self.keras_nme

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {**asdict(self), "nme_drop": self.nme_drop}

    def __str__(self) -> str:
        text = f"mean {self.mean_px:.4f} px, max {self.max_px:.4f} px on {self.images} pictures"
        if self.nme is not None and self.keras_nme is not None:
            text += f"; NME {100 * self.nme:.3f} % (Keras {100 * self.keras_nme:.3f} %)"
        return text


def compare(
    lite: Runner | np.ndarray,
    model: Any,
    images: np.ndarray,
    truth: np.ndarray | None = None,
    protocol: str | None = None,
) -> Parity:
    """Runs both models on the same pictures.

    Args:
        lite: The exported model, or its landmarks (N, n, 2) in [0, 1]² where it already ran.
        model: The Keras model, or its landmarks (N, n, 2) in [0, 1]².
        images: (N, H, W, 3), RGB in [0, 255], of the model's input size.
        truth: Annotated landmarks (N, n, 2) in [0, 1]² of the pictures, or None.
        protocol: A protocol of ``tfalign.evaluation`` by which both errors are measured.

    Raises:
        ValueError: If there are no pictures, or truth comes without a protocol.
    """
    if not len(images):
        raise ValueError("Parity needs at least one picture. Received: images of length 0")
    if truth is not None and protocol is None:
        raise ValueError(
            "An error needs its protocol, e.g. '300w_inter_ocular'. Received: protocol=None"
        )
    size = np.array([images.shape[2], images.shape[1]], np.float32)
    found = lite if isinstance(lite, np.ndarray) else lite(images)
    expected = model if isinstance(model, np.ndarray) else keras_landmarks(model, images)
    distance = np.linalg.norm((found - expected) * size, axis=-1)
    errors: dict[str, Any] = {}
    if truth is not None and protocol is not None:
        from tfalign.evaluation import score

        pixels = np.asarray(truth) * size
        errors = {
            "nme": float(score(found * size, pixels, protocol=protocol).nme),
            "keras_nme": float(score(expected * size, pixels, protocol=protocol).nme),
            "protocol": protocol,
        }
    return Parity(float(distance.mean()), float(distance.max()), len(images), **errors)


def keras_landmarks(model: Any, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Returns the Keras model's landmarks (N, n, 2) in [0, 1]² for (N, H, W, 3) pictures."""
    batches = [
        np.asarray(model(images[at : at + batch_size].astype(np.float32), training=False))
        for at in range(0, len(images), batch_size)
    ]
    return np.concatenate(batches).astype(np.float32)
