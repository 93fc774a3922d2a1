"""Writes reference vectors of tensorflow-addons 0.23, whose last release needs TensorFlow 2.15.

It runs in an environment of its own, never in the project's:

    python3.11 -m venv /tmp/tfa
    /tmp/tfa/bin/pip install tensorflow-cpu==2.15.1 tensorflow-addons==0.23 'numpy<2' \
        nvidia-cuda-runtime-cu12==12.2.140
    /tmp/tfa/bin/python tests/golden/make_tfa_golden.py

The files are small, written beside this script and kept under version control; the tests compare
with them and never need tensorflow-addons. The seed fixes every value.

tensorflow-addons' compiled resampler registers GPU kernels when it is loaded, also on a machine
without a GPU; tensorflow-cpu lacks the three symbols of the CUDA runtime that this needs, hence the
fourth package.
"""

from __future__ import annotations

import ctypes
import sysconfig
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

HERE = Path(__file__).resolve().parent
SEED = 11
CUDA_RUNTIME = Path(sysconfig.get_path("purelib")) / "nvidia/cuda_runtime/lib/libcudart.so.12"


def save(name: str, **arrays: np.ndarray) -> None:
    """Writes one file and says what it holds."""
    path = HERE / f"{name}.npz"
    np.savez_compressed(path, tfa_version=tfa.__version__, tf_version=tf.__version__, **arrays)
    print(path.name, path.stat().st_size, "bytes", {k: v.shape for k, v in arrays.items()})


def resampler(rng: np.random.Generator) -> None:
    """``tfa.image.resampler`` and its two gradients.

    Its positions are (x, y) with the centre of pixel i at i, and everything outside is zero.
    """
    data = rng.uniform(size=(2, 7, 9, 3)).astype(np.float32)
    warp = rng.uniform([-2.5, -2.5], [10.5, 8.5], size=(2, 40, 2)).astype(np.float32)
    weight = rng.normal(size=(2, 40, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        data_t, warp_t = tf.constant(data), tf.constant(warp)
        tape.watch([data_t, warp_t])
        values = tfa.image.resampler(data_t, warp_t)
        total = tf.reduce_sum(values * weight)
    data_gradient, warp_gradient = tape.gradient(total, [data_t, warp_t])
    save(
        "tfa_resampler",
        data=data,
        warp=warp,
        weight=weight,
        values=values.numpy(),
        data_gradient=data_gradient.numpy(),
        warp_gradient=warp_gradient.numpy(),
    )


def transform(rng: np.random.Generator) -> None:
    """``tfa.image.transform``, bilinear, with both ways to fill what lies outside.

    Its eight numbers [a0, a1, a2, b0, b1, b2, 0, 0] take an output index (x, y) to the input index
    (a0 x + a1 y + a2, b0 x + b1 y + b2); pixel centres are at whole numbers.
    """
    images = rng.uniform(size=(4, 12, 16, 3)).astype(np.float32)
    # Drawn like augmentations, and with irregular numbers, so that no sample falls on a pixel's
    # centre or border, where rounding would decide.
    angle = rng.uniform(-0.6, 0.6, size=4)
    scale = rng.uniform(0.7, 1.3, size=4)
    linear = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=-1)
    linear = (linear * scale[:, None]).reshape(4, 2, 2) + rng.uniform(-0.1, 0.1, (4, 2, 2))
    offset = rng.uniform(-3, 3, size=(4, 2))
    matrix = np.concatenate([linear, offset[..., None]], axis=-1).astype(np.float32)
    eight = np.concatenate([matrix.reshape(4, 6), np.zeros((4, 2), np.float32)], axis=-1)
    outputs = {
        mode.lower(): tfa.image.transform(
            images,
            eight,
            interpolation="BILINEAR",
            fill_mode=mode,
            output_shape=(10, 13),
        ).numpy()
        for mode in ("CONSTANT", "NEAREST")
    }
    save("tfa_transform", images=images, matrix=matrix, **outputs)


def proximal_adagrad(rng: np.random.Generator) -> None:
    """Five steps of ``tfa.optimizers.ProximalAdagrad``: Adagrad, then soft-threshold and shrink."""
    start = rng.normal(scale=0.3, size=(6, 5)).astype(np.float32)
    gradients = rng.normal(scale=0.5, size=(5, 6, 5)).astype(np.float32)
    settings = {
        "learning_rate": 0.05,
        "initial_accumulator_value": 0.1,
        "l1_regularization_strength": 0.8,
        "l2_regularization_strength": 0.3,
    }
    optimizer = tfa.optimizers.ProximalAdagrad(**settings)
    variable = tf.Variable(start)
    steps = []
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        steps.append(variable.numpy().copy())
    numbers = {key: np.float32(value) for key, value in settings.items()}
    save("tfa_proximal_adagrad", start=start, gradients=gradients, steps=np.stack(steps), **numbers)


if __name__ == "__main__":
    ctypes.CDLL(str(CUDA_RUNTIME), mode=ctypes.RTLD_GLOBAL)
    generator = np.random.default_rng(SEED)
    resampler(generator)
    transform(generator)
    proximal_adagrad(generator)
