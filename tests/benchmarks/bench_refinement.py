"""What refinement costs: GRegLRef's forward pass beside GRegNet's, full size, one face, one thread.

    python tests/benchmarks/bench_refinement.py [--repeats 40] [--trunk resnet18] [--json FILE]

The two run in turn in one process, so that a machine whose speed drifts slows both alike; the
figure is the median of the ratios pair by pair. The paper calls the cost "barely noticeable".
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def timed(function: Any, image: Any) -> float:
    start = time.perf_counter()
    function(image).numpy()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--num-landmarks", type=int, default=98)
    parser.add_argument("--trunk", default="resnet18", choices=("resnet18", "mobile", "compact"))
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()

    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from tfalign import macc, models

    image = tf.constant(
        np.random.default_rng(0).integers(0, 256, (1, 112, 112, 3)).astype("float32")
    )
    passes, counts = {}, {}
    for name in ("GRegNet", "GRegLRef"):
        model = getattr(models, name)(arguments.num_landmarks, trunk=arguments.trunk)
        model.set_mean_shape(np.full((arguments.num_landmarks, 2), 0.5))
        passes[name] = tf.function(lambda x, model=model: model(x, training=False))
        counts[name] = macc.count(model).macc
    for function in passes.values():
        for _ in range(5):
            function(image)
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(arguments.repeats):
        for name, function in passes.items():
            seconds[name].append(timed(function, image))
    pairs = zip(seconds["GRegLRef"], seconds["GRegNet"], strict=True)
    result = {
        "milliseconds": {k: round(1e3 * statistics.median(v), 3) for k, v in seconds.items()},
        "time_ratio": round(statistics.median(a / b for a, b in pairs), 4),
        "macc": counts,
        "macc_ratio": round(counts["GRegLRef"] / counts["GRegNet"], 4),
        "tensorflow": tf.__version__,
        "threads": 1,
    }
    for name, value in result["milliseconds"].items():
        print(f"{name:<9} {value:8.2f} ms   {counts[name] / 1e9:.4f} GMACC")
    print(f"GRegLRef / GRegNet: time {result['time_ratio']:.3f}, MACC {result['macc_ratio']:.4f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
