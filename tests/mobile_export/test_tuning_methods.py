"""What quantization-aware training rounds, in a process of its own as the toolkit needs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import json
import keras, numpy as np, tensorflow as tf
from mobile_export import tuning, tuning_copy, tuning_loop, tuning_methods
from mobile_export.pictures import noise_pictures
from tfalign.models import GRegLRef

rng = np.random.default_rng(0)
found = {}


def by_hand(kernel, axes):  # symmetric, 127 steps on each side, one scale for each output
    step = np.abs(kernel).max(axis=axes, keepdims=True) / 127
    return np.round(kernel / step) * step


for name, shape, axes in (
    ("conv", (3, 3, 4, 8), (0, 1, 2)), ("depthwise", (3, 3, 8, 1), (0, 1)), ("dense", (9, 5), 0),
):
    kernel = rng.normal(size=shape).astype("float32") * rng.uniform(0.01, 3, shape[-2:])
    rounded = tuning_methods.PerOutput()(tf.constant(kernel, tf.float32), True, {})
    found[name] = float(np.abs(rounded - by_hand(kernel, axes)).max() / np.abs(kernel).max())

keras.utils.set_random_seed(0)
model = GRegLRef(12, (32, 32, 3), width=0.5, trunk="mobile", crop="300w", dropout=0.5)
images = noise_pictures(4, (32, 32)).astype("float32")
pair, how = tuning_copy.build(model.training_model), tuning_methods.Quantized()
wrapped = how.apply(pair.model, 1)
how.prepare(wrapped, pair, [images[:2], images[2:]])
ranges = {}
for layer in wrapped.layers:
    if tuning_methods.range_of(layer):
        name = how.base_name(layer.name)
        values = np.asarray(keras.Model(model.input, model.get_layer(name).output)(images))
        low, high = (float(v) for v in tuning_methods.range_of(layer))
        ranges[name] = [low, high, float(values.min()), float(values.max())]
found["ranges"] = ranges
place = pair.output_names.index("stages")
outputs = np.asarray(wrapped(images, training=False)[place])
exact = np.asarray(model.training_model(images)["stages"])
found["moved"] = float(np.abs(outputs - exact).mean() / exact.std(axis=0).mean())
tuning_loop._switch(wrapped, tuning.default_schedule(model).phases[0])
once, again = (np.asarray(wrapped(images, training=True)[place]) for _ in range(2))
found["random"] = float(np.abs(once - again).max())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> Any:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={
            **os.environ,
            "TF_USE_LEGACY_KERAS": "1",
            "KERAS_BACKEND": "tensorflow",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense"])
def test_kernels_are_rounded_with_a_scale_for_each_output(found: Any, kind: str) -> None:
    assert found[kind] < 1e-6


def test_maps_are_rounded_in_the_range_that_the_model_reaches(found: Any) -> None:
    for low, high, smallest, largest in found["ranges"].values():
        assert low == pytest.approx(min(0.0, smallest), abs=1e-4)
        assert high == pytest.approx(largest, rel=1e-4)


def test_dropout_can_be_turned_off_inside_the_toolkits_wrappers(found: Any) -> None:
    # The ranges move by a thousandth from one call to the next; dropout moves everything.
    assert found["random"] < 0.02


def test_maps_end_blocks(found: Any) -> None:
    names = found["ranges"]
    assert "stem_relu" in names  # not between a convolution and what is merged into it
    assert "stem_conv" not in names
    assert "stem_bn" not in names
    assert any(name.endswith("_add") for name in names)
    assert not {"fc", "increment_1", "shape_1"} & set(names)  # coordinates stay float


def test_rounding_moves_little_before_training(found: Any) -> None:
    assert 0.0 < found["moved"] < 0.2
