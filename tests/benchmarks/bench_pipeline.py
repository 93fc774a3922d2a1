"""Throughput of the training pipeline, and the share of each stage.

    python tests/benchmarks/bench_pipeline.py [--faces 1024] [--batch 128] [--threads 2]

Cached source crops → fetch → draw → warp → every pixel change (the "occlusion" preset: all effects
on) → uint8 → batch, at 112 px with 98 landmarks. The crops are smoothed noise: no stage's cost
depends on what is in the picture. Stages are timed alone, in one thread; their sum is the cost of
one image on one core. The whole is timed as tf.data runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Parses the arguments, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=1024, help="faces in the cache")
    parser.add_argument("--batch", type=int, default=128, help="faces in a batch")
    parser.add_argument("--threads", type=int, default=2, help="processors to use")
    parser.add_argument("--batches", type=int, default=40, help="batches to time")
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    # Before TensorFlow starts. One thread for each op: batches are augmented in parallel instead.
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
    os.environ["TF_NUM_INTEROP_THREADS"] = str(arguments.threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    cache = synthetic_cache(arguments.faces)
    stages = time_stages(cache, arguments.batch)
    total = sum(stages.values())
    print(f"{'stage':<26}{'ms/image':>10}{'share':>8}   (one thread)")
    for name, seconds in stages.items():
        print(f"{name:<26}{seconds * 1e3:>10.3f}{seconds / total:>8.1%}")
    print(f"{'sum':<26}{total * 1e3:>10.3f}{1:>8.1%}   = {1 / total:,.0f} images/s on one core")
    wall, busy = time_dataset(cache, arguments.batch, arguments.batches, arguments.threads)
    print(
        f"training_dataset: {1 / wall:,.0f} images/s with {arguments.threads} threads; "
        f"{busy * 1e3:.3f} ms of processor time per image = {1 / busy:,.0f} images/s per core"
    )
    if arguments.json:
        figures = {"stages_s": stages, "wall_s_per_image": wall, "cpu_s_per_image": busy}
        with open(arguments.json, "w") as file:
            json.dump(figures, file, indent=1)


def synthetic_cache(faces: int) -> Any:
    """Returns a cache of smoothed noise with 98 landmarks."""
    import cv2
    import numpy as np

    from tfalign.data import Sample
    from tfalign.data.pipeline import CropCache

    rng = np.random.default_rng(0)

    def sample(index: int) -> Sample:
        small = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        return Sample(
            image=cv2.resize(small, (320, 320), interpolation=cv2.INTER_CUBIC),
            landmarks=rng.uniform(80, 240, (98, 2)).astype(np.float32),
            visible=np.ones(98, bool),
            box=np.array([80, 80, 240, 240], np.float32),
            name=str(index),
            scheme="wflw98",
        )

    return CropCache.build((sample(i) for i in range(faces)), crop="wflw")


def time_stages(cache: Any, batch: int) -> dict[str, float]:
    """Returns seconds of processor time per image of each stage, timed alone."""
    import numpy as np
    import tensorflow as tf

    from tfalign import geometry
    from tfalign.data.augment import OCCLUSION, RandomAugment, sample_keys
    from tfalign.data.augment.draws import Draws
    from tfalign.data.augment.photometric import STAGES

    rows = np.random.default_rng(1).integers(0, len(cache), batch)
    keys = tf.constant(sample_keys(0, 0, np.arange(batch)))
    crop = tf.constant(cache.output_from_source[rows])
    sources = tf.constant(cache.images[rows])
    layer = RandomAugment(OCCLUSION, cache.scheme, cache.image_size, static_shapes=False)

    def maps(keys: Any, crop: Any) -> Any:
        draws = Draws(keys)
        return layer._augmented(crop, draws.chance("flip", 0.5), draws)

    def warp(sources: Any, crop: Any) -> Any:
        return geometry.warp_affine(sources, geometry.invert(crop), cache.image_size)

    seconds = {"fetch source crops": _time(lambda: cache.images[rows])}
    augmented = tf.function(maps)(keys, crop)
    images = tf.function(warp)(sources, augmented)
    seconds["draw and compose maps"] = _time(tf.function(maps), keys, crop)
    seconds["warp"] = _time(tf.function(warp), sources, augmented)
    # Drawn outside the timed functions, as the pipeline draws once for all stages.
    table = tf.function(lambda keys: Draws(keys)._table)(keys)
    for name, (_, stage) in STAGES.items():

        def run(images: Any, table: Any, keys: Any, stage: Any = stage) -> Any:
            draws = Draws.__new__(Draws)
            draws.keys, draws._table = keys, table
            return stage(OCCLUSION, images, draws, False)

        seconds[name] = _time(tf.function(run), images, table, keys)
    seconds["round to uint8"] = _time(tf.function(layer._quantised), images)
    return {name: value / batch for name, value in seconds.items()}


def _time(function: Callable[..., Any], *arguments: Any, repeats: int = 10) -> float:
    """Returns the least processor time of several calls, after one that traces."""
    function(*arguments)
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function(*arguments)
        times.append(time.process_time() - start)
    return min(times)


def time_dataset(cache: Any, batch: int, batches: int, threads: int) -> tuple[float, float]:
    """Returns wall-clock and processor seconds per image of the whole data set."""
    from tfalign.data.pipeline import training_dataset

    dataset = training_dataset(cache, batch, "occlusion", epochs=None, parallel_calls=threads)
    iterator = iter(dataset)
    for _ in range(4):
        next(iterator)
    wall, busy = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    images = batch * batches
    return (time.perf_counter() - wall) / images, (time.process_time() - busy) / images


if __name__ == "__main__":
    main()
