"""The optional packages that exporting needs, and the one sentence that names them."""

from __future__ import annotations

import importlib.util

INSTALL = "pip install 'tfalign[mobile]'"


def require(*modules: str) -> None:
    """Checks that optional modules can be imported, without importing them.

    Args:
        modules: Top-level module names, e.g. ``"ai_edge_litert"``.

    Raises:
        ImportError: If one is missing; the message names the extra that brings it.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"Exporting to .tflite needs the optional packages of this project: {INSTALL}. "
            f"Missing here: {', '.join(missing)}"
        )


def require_tensorflow_backend() -> None:
    """Checks that Keras runs on TensorFlow, the only back end that converts to ``.tflite``.

    Raises:
        ValueError: If Keras runs on another back end.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Models are exported with Keras on the TensorFlow back end: save the model as .keras "
            "and run the export with KERAS_BACKEND=tensorflow. Received: "
            f"backend={keras.backend.backend()!r}"
        )
