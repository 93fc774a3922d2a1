"""The fine-tuning process: ``python -m mobile_export.tuning_process FOLDER``.

Reads ``model.keras``, ``job.json`` and the data from the folder and writes ``tuned.keras``. Started
by ``tuning.fine_tune`` with ``TF_USE_LEGACY_KERAS=1``.

A ``ValueError``, which a user can mend, ends the process with the status ``REFUSED`` and leaves its
message in ``refused.txt``, so that the starting process can raise it again.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfalign.files import read_json

CALIBRATION_BATCHES = 6
"""Batches from which quantization-aware training takes its first ranges."""
REFUSED, MESSAGE = 3, "refused.txt"
"""Exit status after a ``ValueError``, and the file of its message."""


def main(argv: Sequence[str]) -> int:
    """Carries out the job in the folder ``argv[0]``."""
    if os.environ.get("TF_USE_LEGACY_KERAS") != "1" or len(argv) != 1:
        print(
            "usage: TF_USE_LEGACY_KERAS=1 python -m mobile_export.tuning_process FOLDER",
            file=sys.stderr,
        )
        return 2
    folder = Path(argv[0])
    try:
        _tune(folder)
    except ValueError as error:
        traceback.print_exc()
        (folder / MESSAGE).write_text(str(error), encoding="utf-8")
        return REFUSED
    return 0


def _tune(folder: Path) -> None:
    import keras
    import tf_keras

    import tfalign.models  # noqa: F401 - registers the classes that the file names
    from mobile_export import tuning_copy, tuning_loop, tuning_methods
    from tfalign.training import Schedule

    job = read_json(folder / "job.json")
    tf_keras.utils.set_random_seed(job["seed"])
    model = keras.saving.load_model(folder / "model.keras")
    pair = tuning_copy.build(model.training_model)
    data = tuning_loop.Data(folder, job)
    phases = Schedule.from_config(job["schedule"]).phases
    how = tuning_methods.method(job)
    steps = sum(phase.length(data.steps) for phase in phases) * data.steps
    wrapped = how.apply(pair.model, steps)
    how.prepare(wrapped, pair, data.pictures(CALIBRATION_BATCHES))
    history = tuning_loop.run(wrapped, pair, model, phases, data, how)
    if not np.isfinite(history).all():
        raise ValueError(f"The loss is not finite; lower the learning rate. Received: {history}")
    for name, values in how.weights(wrapped, pair).items():
        for variable, value in zip(
            tuning_copy.weights_of(pair.originals[name]), values, strict=True
        ):
            variable.assign(value)
    model.save(folder / "tuned.keras")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
