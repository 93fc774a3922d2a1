"""Exact zeros of DSSD's detectors in exported files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import mobile_export
from contract.architectures import ARCHITECTURES
from tfalign.tflite import require


def stored(path: Path, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Returns the constants of a file that have one of the given shapes, unit axes left out."""
    require("ai_edge_litert")
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    found = []
    for details in interpreter.get_tensor_details():
        if tuple(size for size in details["shape"] if size != 1) not in shapes:
            continue
        try:
            found.append(np.squeeze(interpreter.get_tensor(details["index"])))
        except ValueError:
            continue  # not computed yet, so no constant
    return found


@pytest.fixture
def model(rng: np.random.Generator, like_trained: Any, make_pictures: Any) -> Any:
    line = ARCHITECTURES["DSSD"]
    keras.utils.set_random_seed(0)
    made = like_trained(line(), make_pictures(20, line.size), line.heads)
    for layer in made.detectors:
        for variable in (layer.basis, layer.codes):
            values = keras.ops.convert_to_numpy(variable).copy()
            values[rng.uniform(size=values.shape) < 0.4] = 0.0
            variable.assign(values)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_exact_zeros_stay(model: Any, kind: str, make_pictures: Any, tmp_path: Path) -> None:
    pictures = make_pictures(20, ARCHITECTURES["DSSD"].size)
    calibration = pictures if kind == "int8" else None
    result = mobile_export.export(
        model, kind, calibration, tmp_path, images=pictures, allow_loss=True
    )
    layer = model.get_layer("detectors")
    basis, codes = (keras.ops.convert_to_numpy(v) for v in (layer.basis, layer.codes))
    # The converter stores P transposed, and C landmark by landmark: (n, 2, G) or (n, G, 2).
    tasks, count = codes.shape[0], codes.shape[1] // 2
    by_landmark = codes.reshape(tasks, count, 2).transpose(1, 0, 2)
    turned = np.swapaxes(by_landmark, -1, -2)
    for wanted, *others in ((basis, basis.T), (by_landmark, turned)):
        candidates = [
            (form, array) for form in (wanted, *others) for array in stored(result.path, form.shape)
        ]
        # The zeros lie where they were, and no other number became one that was not tiny.
        matching = [
            array
            for expected, array in candidates
            if array.shape == expected.shape
            and np.all(array[expected == 0.0] == 0)
            and np.all(array[np.abs(expected) > 0.02 * np.abs(expected).max()] != 0)
        ]
        assert matching, f"no tensor of the file has the zeros of an array of {wanted.shape}"
