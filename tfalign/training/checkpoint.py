"""One file that holds everything a killed run needs, replaced in one step."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign.files import write_whole

_STATE = "state.json"


def save_checkpoint(path: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Writes arrays and plain data into one ``.npz`` file, atomically.

    Args:
        path: The file.
        arrays: Name to array.
        state: Data that JSON holds.
    """
    text = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    contents: dict[str, Any] = {**arrays, _STATE: text}
    np.savez(buffer, **contents)
    write_whole(path, buffer.getvalue(), durable=True)


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what `save_checkpoint` wrote.

    Returns:
        (arrays, state).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a checkpoint.
    """
    with np.load(path, allow_pickle=False) as stored:
        if _STATE not in stored.files:
            raise ValueError(f"Not a training checkpoint (no {_STATE} inside). Received: {path}")
        arrays = {name: stored[name] for name in stored.files if name != _STATE}
        state = json.loads(stored[_STATE].tobytes().decode())
    return arrays, state


def variables_of(*holders: Any) -> list[keras.Variable]:
    """Returns the variables of layers or models, each once, seed generators' states included."""
    found: dict[int, keras.Variable] = {}
    for holder in holders:
        for variable in holder.variables:
            found.setdefault(id(variable), variable)
    return list(found.values())


def read_variables(prefix: str, variables: Sequence[keras.Variable]) -> dict[str, np.ndarray]:
    """Returns the variables' values under names made of their place in the sequence."""
    return {
        f"{prefix}/{place:05d}": np.array(keras.ops.convert_to_numpy(variable))
        for place, variable in enumerate(variables)
    }


def assign_variables(
    prefix: str, variables: Sequence[keras.Variable], arrays: Mapping[str, np.ndarray]
) -> None:
    """Gives the variables the values that `read_variables` returned for them.

    Raises:
        ValueError: If number or shapes differ: the file belongs to another model or optimizer.
    """
    names = sorted(name for name in arrays if name.startswith(f"{prefix}/"))
    if len(names) != len(variables):
        raise ValueError(
            f"The checkpoint must hold one array for each of the {len(variables)} {prefix} "
            f"variables. Received: {len(names)} arrays"
        )
    for name, variable in zip(names, variables, strict=True):
        value = arrays[name]
        if tuple(value.shape) != tuple(variable.shape):
            raise ValueError(
                f"{prefix} variable {variable.path!r} has shape {tuple(variable.shape)}. "
                f"Received: an array of shape {tuple(value.shape)}"
            )
        variable.assign(value)
