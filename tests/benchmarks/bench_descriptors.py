"""Times HOG and SIFT-like descriptors of a face, in processor time on one core.

    python tests/benchmarks/bench_descriptors.py [--landmarks 68] [--size 128] [--json FILE]

Rows: response maps and integral images of an image (once per face), the descriptors of all
landmarks (once per local layer), their gradient in the landmarks, and HOG; for one face and for a
batch, per face. KERAS_BACKEND chooses the back end.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landmarks", type=int, default=68)
    parser.add_argument("--size", type=int, default=128, help="side of the image in pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", help="also write the figures, in seconds, to this file")
    arguments = parser.parse_args()
    # Before the libraries start: processor time of one thread is time per core.
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    figures = {}
    for batch in (1, arguments.batch):
        found = measure(batch, arguments.landmarks, arguments.size, arguments.repeats)
        figures[str(batch)] = found
        for what, seconds in found.items():
            print(f"batch {batch:3d}  {what:<32}{1e3 * seconds:8.3f} ms per face")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(figures, file, indent=1)


def measure(batch: int, landmarks: int, size: int, repeats: int) -> dict[str, float]:
    """Returns seconds of processor time per face, by what is computed."""
    import keras
    import numpy as np
    from keras import ops

    from tfalign.layers import HOG, BoxHistogram, OrientationIntegral

    rng = np.random.default_rng(0)
    images = ops.convert_to_tensor(rng.uniform(0, 255, (batch, size, size, 1)).astype("float32"))
    points = ops.convert_to_tensor(rng.uniform(0, 1, (batch, landmarks, 2)).astype("float32"))
    integral, histogram, hog = OrientationIntegral(), BoxHistogram(32), HOG()
    integrals = integral(images)
    weights = rng.normal(size=(batch, landmarks, 128)).astype("float32")

    def described(points: Any) -> Any:
        return ops.sum(histogram([integrals, points]) * weights)

    if keras.backend.backend() == "jax":
        import jax

        compiled, gradient = jax.jit, jax.grad(described)
    else:
        import tensorflow as tf

        compiled = tf.function

        def gradient(points: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(points)
                value = described(points)
            return tape.gradient(value, points)

    def descriptors(integrals: Any, points: Any) -> Any:
        return histogram([integrals, points])

    timed = {
        "response maps, integral images": (compiled(integral.call), (images,)),
        f"{landmarks} descriptors": (compiled(descriptors), (integrals, points)),
        "descriptors and their gradient": (compiled(gradient), (points,)),
        "HOG": (compiled(hog.call), (images,)),
    }
    return {
        name: least(lambda f=function, a=inputs: ops.convert_to_numpy(f(*a)), repeats) / batch
        for name, (function, inputs) in timed.items()
    }


def least(function: Callable[[], Any], repeats: int) -> float:
    """Returns the least processor time of several calls, after one that compiles."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()
