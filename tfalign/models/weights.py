"""Weights that ship with the package, and weights from files."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfalign import markup
from tfalign.files import read_json, replacing, sha256
from tfalign.models.saved import load_model

if TYPE_CHECKING:
    from tfalign.models.landmark_model import LandmarkModel

WEIGHTS_DIR = Path(__file__).resolve().parent.parent / "weights"

# What a model may change without changing its weights.
FREE_ARGUMENTS = (
    *("name", "weights", "dropout", "crop", "box", "scheme", "stop_position_gradient"),
    "frozen",
)


@cache
def shipped_presets() -> dict[str, dict[str, Any]]:
    """Returns the sidecars of the shipped weights by preset name.

    A sidecar tells the model's class and configuration, where the weights come from, their licence
    and the measured error.
    """
    return {path.stem: read_json(path) for path in sorted(WEIGHTS_DIR.glob("*.json"))}


def digest_of(members: Sequence[str]) -> str:
    """Returns the SHA-256 of an ensemble of presets: that of its members' SHA-256, a line each."""
    lines = "".join(f"{shipped_presets()[name]['sha256']}\n" for name in members)
    return hashlib.sha256(lines.encode()).hexdigest()


def shipped_tflite(name: str) -> Path:
    """Returns the path of a preset's int8 file; its ``metadata.json`` lies beside it.

    It is the file of ``android_demo_assets``, for CPUs.

    Raises:
        ValueError: If there is no such preset, or it has none.
    """
    path = WEIGHTS_DIR / name / "int8" / "model.tflite"
    if name not in shipped_presets() or not path.is_file():
        remedy = ""
        if name in shipped_presets():
            remedy = (
                f"`tfalign export {name} --kind int8 --calibration rendered --out build/{name}` "
                "makes one of this preset; its model.tflite is what to give here. "
            )
        raise ValueError(
            f"Presets with an int8 file are {presets_with_tflite()}. {remedy}Received: {name!r}"
        )
    return path


def presets_with_tflite() -> list[str]:
    """Returns the names of the presets that `shipped_tflite` has a file of."""
    return sorted(folder.parent.name for folder in WEIGHTS_DIR.glob("*/int8"))


def load(model: str | os.PathLike[str] | keras.Model) -> Any:
    """Opens a model: the one way by which every command does.

    Args:
        model: The name of a preset that ships with the package (a key of ``shipped_presets()``),
            the path of a ``.keras`` file, see ``load_model``, or a model, which is returned.

    Raises:
        FileNotFoundError: If a path does not exist.
        ValueError: If it is neither, or the file is damaged, or brings code or unknown classes.
    """
    if isinstance(model, keras.Model):
        return model
    name = os.fspath(model)
    if name in shipped_presets():
        return load_preset(name)
    if not name.endswith(".keras"):
        raise ValueError(
            f"A model is the path of a .keras file or one of the presets "
            f"{sorted(shipped_presets())}. Received: model={name!r}"
        )
    return load_model(name)


def load_preset(name: str) -> LandmarkModel:
    """Returns a shipped model with its weights, see ``LandmarkModel.from_preset``."""
    presets = shipped_presets()
    if name not in presets:
        raise ValueError(f"Presets are {sorted(presets)}. Received: {name!r}")
    preset = presets[name]
    model = keras.saving.deserialize_keras_object(
        {
            "class_name": preset["class"],
            "registered_name": f"tfalign>{preset['class']}",
            "module": None,
            "config": preset["config"],
        }
    )
    if preset["file"] is not None:  # An ensemble's weights are those of the presets in it.
        load_weights(model, name)
    return model


def load_weights(model: LandmarkModel, source: str | os.PathLike[str]) -> None:
    """Loads weights into a model.

    Args:
        model: The model, built.
        source: A preset's name, or the path of a ``.npz`` (see ``save_weights``), ``.weights.h5``
            or ``.keras`` file.

    Raises:
        FileNotFoundError: If a path does not exist, or the preset is in the wheel
            ``tfalign-weights`` and that is not installed.
        ValueError: If the weights belong to another class or configuration, the file is not one
            of the formats, or a preset's file is not the one that its sidecar tells of.
    """
    source = os.fspath(source)
    if source in shipped_presets():
        preset = shipped_presets()[source]
        _check_config(model, preset["class"], preset["config"], f"preset {source!r}")
        file = WEIGHTS_DIR / preset["file"]
        if not file.is_file():
            raise FileNotFoundError(
                f"The weights {source!r} are in a wheel of their own, which must be installed: "
                "python -m pip install .ci/weights_wheel in the folder of tfalign's repository. "
                f"Received: no file {file}"
            )
        if sha256(file) != preset["sha256"]:
            raise ValueError(
                f"{file} must hold the weights {source!r} of this version of tfalign; it is "
                "damaged or from another one. Install tfalign anew, and tfalign-weights of the "
                "same version. "
                f"Received: SHA-256 {sha256(file)}, not {preset['sha256']}"
            )
        _load_npz(model, file)
        return
    path = Path(source)
    known = (".npz", ".weights.h5", ".keras")
    if not source.endswith(known):
        raise ValueError(
            f"`weights` must be None, one of the presets {sorted(shipped_presets())}, or a path "
            f"ending in one of {known}. Received: weights={source!r}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"No weights file at {path}.")
    if source.endswith(".npz"):
        _load_npz(model, path)
    elif source.endswith(".keras"):
        other = load_model(path)
        _check_config(model, type(other).__name__, other.get_config(), str(path))
        model.set_weights(other.get_weights())
    else:
        try:
            model.load_weights(path)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(
                f"The weights in {path} do not fit {type(model).__name__} with "
                f"{model.get_config()}: {error}"
            ) from error


def save_weights(model: keras.Model, path: str | os.PathLike[str], dtype: str = "float16") -> None:
    """Writes all variables of a model to a compressed ``.npz``, by variable path.

    Half precision keeps 11 significant bits, far more than training determines, and halves the
    size; batch-normalisation variances, which may exceed its range, stay in float32. An ensemble's
    members are kept apart by ``member_1/``, ``member_2/`` and so on before the paths.

    Args:
        model: The model.
        path: File to write; written under a temporary name and renamed.
        dtype: ``"float16"`` or ``"float32"``.
    """
    arrays = {}
    for name, variable in _variables(model).items():
        value = np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float32)
        wide = dtype == "float32" or np.abs(value).max(initial=0.0) > 1000 or value.ndim < 2
        arrays[name] = value if wide else value.astype(dtype)
    with replacing(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _variables(model: keras.Model) -> dict[str, Any]:
    """Returns the model's weights by path, without the state of random generators."""
    members = getattr(model, "members", ())
    if members:  # of which two may have variables of the same paths
        return {
            f"member_{k}/{path}": variable
            for k, member in enumerate(members, start=1)
            for path, variable in _variables(member).items()
        }
    return {v.path: v for v in model.weights if not v.path.endswith("seed_generator_state")}


def _load_npz(model: keras.Model, path: Path) -> None:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a readable .npz file of weights: {error}") from error
    variables = _variables(model)
    missing = sorted(set(variables) - set(arrays))
    extra = sorted(set(arrays) - set(variables))
    wrong = [k for k in variables if k in arrays and variables[k].shape != arrays[k].shape]
    if missing or extra or wrong:
        shapes = [f"{k}: file {arrays[k].shape}, model {tuple(variables[k].shape)}" for k in wrong]
        raise ValueError(
            f"The weights in {path} do not fit {type(model).__name__} with num_landmarks="
            f"{getattr(model, 'num_landmarks', None)}. Missing in the file: {missing[:5]}; unknown "
            f"to the model: {extra[:5]}; other shapes: {shapes[:5]}"
        )
    for key, variable in variables.items():
        variable.assign(arrays[key].astype(variable.dtype))


def _check_config(
    model: LandmarkModel, class_name: str, config: Mapping[str, Any], origin: str
) -> None:
    """Raises ``ValueError`` naming every argument in which the model differs from the weights."""
    if type(model).__name__ != class_name:
        raise ValueError(
            f"{origin} holds weights of {class_name}; the model is a {type(model).__name__}."
        )
    mine, scheme = model.get_config(), config.get("scheme")
    keys = [k for k in config if k not in FREE_ARGUMENTS and mine.get(k) != config[k]]
    if keys:
        differences = ", ".join(f"{k}={mine.get(k)!r} (weights: {config[k]!r})" for k in keys)
        raise ValueError(f"{origin} holds weights of another configuration: {differences}.")
    if None not in (model.scheme, scheme) and model.scheme != markup.get(scheme):
        raise ValueError(
            f"{origin} holds weights of the scheme {markup.get(scheme).name!r}, the model's is "
            f"{model.scheme.name!r}: `tfalign.models.transfer` takes such weights over point by "
            "point."
        )
