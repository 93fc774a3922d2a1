"""Speed of the synthetic renderer on one core.

    python tests/benchmarks/bench_synthetic.py [--images 200] [--size 256] [--minimum 60]

Prints images per second of one thread's processor time (so that other programs on the machine do
not count) and of wall-clock time, and fails below ``--minimum`` images per second of processor
time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import cv2  # noqa: E402 (after the variables that it reads)

from tfalign.data.synthetic import render  # noqa: E402


def measure(images: int, size: int, seed: int) -> tuple[float, float]:
    """Renders ``images`` faces; returns images per second by processor and by wall clock."""
    cv2.setNumThreads(1)
    for index in range(5):  # builds the mesh, the masks and the noise
        render(seed + 1, index, size)
    wall, processor = time.perf_counter(), time.process_time()
    for index in range(images):
        render(seed, index, size)
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    return images / processor, images / wall


def main() -> int:
    """Runs the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minimum", type=float, default=60.0)
    arguments = parser.parse_args()
    processor, wall = measure(arguments.images, arguments.size, arguments.seed)
    print(f"size {arguments.size}, {arguments.images} images, one thread")
    print(f"{processor:.1f} images/s of processor time, {wall:.1f} images/s of wall-clock time")
    return int(processor < arguments.minimum)


if __name__ == "__main__":
    sys.exit(main())
