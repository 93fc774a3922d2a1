"""Loading a saved model without running code of whoever saved it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import keras


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Loads a ``.keras`` file in Keras's safe mode, whatever the process has set.

    A ``.keras`` file may bring any Python function, as bytecode inside a ``Lambda`` layer. In safe
    mode only Keras's own classes and those registered with it are made; nothing is unpickled.

    Args:
        path: The file. Models, layers and losses of ``tfalign`` are known; others must have been
            registered with ``keras.saving.register_keras_serializable`` before.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ``.keras`` file, is damaged, or brings code or unknown classes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no such .keras file. Received: {str(path)!r}")
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(f"A saved model must be a .keras file of Keras 3. Received: {str(path)!r}")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        if "safe_mode" in str(error) or "Lambda" in str(error):
            raise ValueError(
                "A model file must not bring code of its own: Lambda layers and their like are "
                f"refused. Received: {str(path)!r}"
            ) from error
        raise ValueError(
            f"The file must be a whole model of registered classes. Received: {str(path)!r}: "
            f"{_first_line(error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
