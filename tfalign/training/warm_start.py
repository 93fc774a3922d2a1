"""Starts a model from another one's weights, as far as they fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from tfalign.models.saved import load_model


@dataclass(frozen=True)
class WarmStart:
    """What was copied.

    Attributes:
        copied: Names of the variables that received values.
        kept: Names of those that kept their own, since the file has none of that name and shape.
    """

    copied: tuple[str, ...]
    kept: tuple[str, ...]

    def table(self) -> str:
        """Returns one line of text."""
        line = f"warm start: {len(self.copied)} variables copied, {len(self.kept)} kept"
        return line + (f" ({', '.join(self.kept)})" if self.kept else "")


def _by_name(model: Any) -> dict[str, keras.Variable]:
    return {"/".join(variable.path.split("/")[-2:]): variable for variable in model.weights}


def warm_start(model: Any, path: str | Path) -> WarmStart:
    """Copies every variable that fits.

    Where the file holds the same architecture for another markup, and the model knows how to
    (``start_from``), its landmark-wise weights are converted: a model of 98 points starts one of
    68 at nearly its own accuracy. Else every variable whose layer name and shape agree is copied.

    Args:
        model: The model to change.
        path: A ``.keras`` file of any model with layers of the same names, or a ``.weights.h5``
            file of exactly this model.

    Returns:
        What was copied.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the suffix is neither, or no variable fits.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Initial weights are a file. Received: path={str(path)!r}")
    if path.name.endswith(".weights.h5"):
        model.load_weights(path)
        return WarmStart(tuple(_by_name(model)), ())
    if path.suffix != ".keras":
        raise ValueError(
            "Initial weights must be a '.keras' or a '.weights.h5' file. "
            f"Received: path={str(path)!r}"
        )
    other_model = load_model(path)
    same_kind = type(other_model) is type(model) and hasattr(model, "start_from")
    if same_kind and other_model.num_landmarks != model.num_landmarks:
        model.start_from(other_model)
        return WarmStart(tuple(_by_name(model)), ())
    source = _by_name(other_model)
    copied, kept = [], []
    for name, variable in _by_name(model).items():
        other = source.get(name)
        if other is not None and tuple(other.shape) == tuple(variable.shape):
            variable.assign(keras.ops.convert_to_numpy(other))
            copied.append(name)
        else:
            kept.append(name)
    if not copied:
        raise ValueError(
            "The file must hold at least one variable of the model's layer names and shapes. "
            f"Received: path={str(path)!r}"
        )
    return WarmStart(tuple(copied), tuple(kept))
