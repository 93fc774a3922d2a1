"""Trains from crops on disk and prints images per second and the process's memory.

    python tests/benchmarks/bench_train_on_disk.py --faces 10000 100000

Rendered faces are cropped once, and their crops repeated to the wanted numbers in a folder that is
removed afterwards (11 GB for 100,000 faces of an input of 112 pixels). Of each number one line:
faces, gigabytes on disk, images per second of processor time (so that other programs on the machine
do not count) of the batches alone and of training, and the resident memory (``VmRSS``) before the
first epoch and after the last one.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign import training
from tfalign.data import sets, synthetic
from tfalign.data.pipeline import CropCache, ImagesOnDisk, cache_on_disk
from tfalign.training import Execution


def resident() -> float:
    """Returns this process's resident memory in megabytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def repeated(cache: CropCache, count: int, folder: Path) -> CropCache:
    """Returns a cache of ``count`` faces on disk, those of ``cache`` again and again."""
    rows = np.arange(count) % len(cache)
    path = folder / f"{count}.npy"
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *cache.images.shape[1:]))
    for start in range(0, count, 500):
        images[start : start + 500] = cache.images[rows[start : start + 500]]
    images.flush()
    del images
    light = replace(cache, images=np.empty((len(cache), 0, 0, 3), np.uint8)).take(rows)
    on_disk: Any = ImagesOnDisk([path], [str(count)])
    return replace(light, images=on_disk)


def measure(cache: CropCache, steps: int, batch_size: int, out: Path) -> dict[str, float]:
    """Trains over the cache and returns what it took."""
    keras.utils.set_random_seed(0)
    model = training.make_model("gregnet", cache.scheme, cache.crop, width=0.25)
    model.set_mean_shape(cache.mean_shape)
    feed = training.CacheFeed(cache, batch_size, "greglref")
    began = time.process_time()
    for batch, _ in enumerate(feed.stream(0, 1), start=1):
        if batch == steps:
            break
    batches = steps * batch_size / (time.process_time() - began)
    settings = training.Settings(steps=steps)
    schedule = training.make_schedule(settings, model, feed.steps_per_epoch)
    # An epoch of 100,000 faces is long: as many steps as asked for, and no more.
    feed.steps_per_epoch = steps
    before = resident()
    began = time.process_time()
    training.fit(model, schedule, feed, out=out, execution=Execution(verbose=0))
    seconds = time.process_time() - began
    return {
        "faces": len(cache),
        "gigabytes": round(len(cache) * cache.images[:1].nbytes / 1e9, 2),
        "batches_images_per_processor_second": round(batches, 1),
        "training_images_per_processor_second": round(steps * batch_size / seconds, 1),
        "resident_before_mb": round(before),
        "resident_after_mb": round(resident()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faces", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rendered", type=int, default=200, help="Faces that are rendered.")
    parser.add_argument("--steps", type=int, default=100, help="Steps of training.")
    parser.add_argument("--batch-size", type=int, default=32, help="Faces in a step.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthetic.write_wflw(folder / "faces", arguments.rendered, 1, size=160)
        reader = sets.get("wflw").read(folder / "faces", "train")
        began = time.process_time()
        cache = cache_on_disk(reader, folder / "cache", "wflw")
        seconds = time.process_time() - began
        print(f"cropping: {len(cache) / seconds:.0f} faces per processor second", flush=True)
        for count in arguments.faces:
            faces = repeated(cache, count, folder)
            found = measure(faces, arguments.steps, arguments.batch_size, folder / f"run{count}")
            print(json.dumps(found), flush=True)
            faces.images.paths[0].unlink()


if __name__ == "__main__":
    main()
