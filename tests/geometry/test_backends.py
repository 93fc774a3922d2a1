"""NumPy, the session's back end and JAX give the same numbers for every function."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import sys
import keras, numpy as np
from keras import ops
from tfalign import geometry as g

given = dict(np.load(sys.argv[1]))
if keras.backend.backend() == sys.argv[3]:
    given = {k: ops.convert_to_tensor(v) for k, v in given.items()}
maps, others, points, targets, boxes, images = (
    given[k] for k in ("maps", "others", "points", "targets", "boxes", "images"))
answers = {
    "compose": g.compose(maps, others),
    "invert": g.invert(maps),
    "transform": g.transform_points(maps, points),
    "affine": g.affine_from_points(points, targets),
    "similarity": g.similarity_from_points(points, targets),
    "about": g.about(maps, points[:, 0]),
    "box": g.box_from_landmarks(points),
    "pad": g.pad_box(boxes, (0.1, -0.123, 0.1, 0.077)),
    "square": g.square_box(boxes),
    "clip": g.clip_box(boxes, (40, 30)),
    "perturb": g.perturb_box(boxes, 1.2, points[:, 0] * 0.01),
    "crop": g.crop_from_image(boxes, (112, 96), points[:, 0, 0]),
    "unit": g.unit_from_pixel(points, (40, 30)),
    "signed": g.signed_from_unit(points),
    "sample": g.sample_bilinear(images, points),
    "sample_zero": g.sample_bilinear(images, points, "zero"),
    "warp": g.warp_affine(images, maps, (9, 7)),
}
np.savez(sys.argv[2], **{k: ops.convert_to_numpy(v) for k, v in answers.items()})
"""


@pytest.fixture
def given(rng, tmp_path):
    corner, extent = rng.uniform(0, 20, (5, 2)), rng.uniform(5, 30, (5, 2))
    path = tmp_path / "given.npz"
    arrays = {
        "maps": np.eye(2, 3) + rng.uniform(-0.3, 0.3, (5, 2, 3)),
        "others": np.eye(2, 3) + rng.uniform(-0.3, 0.3, (5, 2, 3)),
        "points": rng.uniform(0, 30, (5, 8, 2)),
        "targets": rng.uniform(0, 30, (5, 8, 2)),
        "boxes": np.concatenate([corner, corner + extent], axis=-1),
        "images": rng.uniform(size=(5, 30, 40, 3)),
    }
    np.savez(path, **{k: v.astype("float32") for k, v in arrays.items()})
    return path


@pytest.mark.slow
@pytest.mark.jax
def test_numpy_tensorflow_and_jax_agree(given, repository):
    pytest.importorskip("tensorflow")
    results = {}
    for backend, tensors in (("tensorflow", "none"), ("tensorflow", "tensorflow"), ("jax", "jax")):
        path = given.with_name(f"{backend}_{tensors}.npz")
        environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(repository)}
        command = [sys.executable, "-c", PROGRAM, str(given), str(path), tensors]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        results[backend, tensors] = dict(np.load(path))
    numpy, *others = results.values()
    assert len(numpy) == 17
    for other in others:
        for name, value in numpy.items():
            scale = max(1.0, float(np.abs(value).max()))
            np.testing.assert_allclose(
                other[name] / scale, value / scale, rtol=0, atol=2e-5, err_msg=name
            )


VARIABLE = """
import jax, keras, numpy as np
from tfalign import geometry as g

shape = keras.Variable(np.float32([[0.1, 0.2], [0.7, 0.4]]))

@jax.grad
def slope(value):
    with keras.StatelessScope([(shape, value)]):
        return keras.ops.sum(keras.ops.square(g.signed_from_unit(shape)))

np.testing.assert_allclose(slope(shape.value), 4 * (2 * np.array(shape.value) - 1), rtol=1e-6)
"""


@pytest.mark.slow
@pytest.mark.jax
def test_a_variable_is_a_tensor_on_jax_too(repository):
    """As the mean shape of a model of one's own is, which training differentiates."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", VARIABLE]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not ended.returncode, ended.stderr
