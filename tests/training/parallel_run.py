"""A training program for several devices or processes; writes losses and weights.

python parallel_run.py OUT STRATEGY [COORDINATOR PROCESSES PROCESS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from training import tiny

from tfalign import training
from tfalign.training import Execution


def main(
    out: str, strategy: str, coordinator: str = "", processes: str = "1", process: str = "0"
) -> None:
    if strategy == "mirrored":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    distribution = training.connect(
        strategy,
        devices=["CPU:0", "CPU:1"],
        coordinator=coordinator or None,
        processes=int(processes),
        process=int(process),
    )
    keras.utils.set_random_seed(7)
    with distribution.scope():
        # Dropout draws differently on each device and cannot be compared.
        on_tensorflow = keras.backend.backend() == "tensorflow"
        model = tiny.Tiny(synchronized=on_tensorflow)
    result = training.fit(
        model,
        tiny.schedule(dropout=0.0),
        tiny.feed(),
        tiny.validation(),
        out=out,
        distribution=distribution,
        execution=Execution(verbose=0),
    )
    if distribution.writes:
        rows = [[row["loss"], row["val_nme"]] for row in result.rows]
        weights = {
            f"{i:03d}": np.asarray(keras.ops.convert_to_numpy(v))
            for i, v in enumerate(model.training_model.weights)
        }
        np.savez(Path(out) / "final.npz", rows=rows, replicas=distribution.replicas, **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
