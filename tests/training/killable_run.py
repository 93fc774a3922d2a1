"""A training program that is killed by the operating system at a chosen moment.

    python killable_run.py OUT [MOMENT [SCHEDULE]]

MOMENT is ``batch:EPOCH:STEP`` (before that batch), ``rename:EPOCH`` (the checkpoint after that
epoch is written but not yet in place), ``saved:EPOCH`` (just after it is in place) or
``draw:EPOCH`` (when a callback draws batches of that epoch for itself). SCHEDULE is a function of
``tiny``, ``schedule`` if not given.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from training import tiny

from tfalign import training
from tfalign.training import Execution


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killed(training.ArrayFeed):
    """A feed that kills the process before one batch."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(*tiny.arrays(), tiny.BATCH, 1)
        self.moment = (epoch, step)

    def stream(self, first_epoch: int, epochs: int, shard: Any = (0, 1)) -> Iterator[Any]:
        for count, batch in enumerate(super().stream(first_epoch, epochs, shard)):
            epoch, step = divmod(count, self.steps_per_epoch)
            if (first_epoch + epoch, step) == self.moment:
                die()
            yield batch


class KilledDrawing(training.ArrayFeed):
    """A feed that kills the process when batches of one epoch alone are asked for."""

    def __init__(self, epoch: int) -> None:
        super().__init__(*tiny.arrays(), tiny.BATCH, 1)
        self.epoch = epoch

    def stream(self, first_epoch: int, epochs: int, shard: Any = (0, 1)) -> Iterator[Any]:
        if (first_epoch, epochs) == (self.epoch, 1):
            die()
        return super().stream(first_epoch, epochs, shard)


def kill_at_save(epoch: int, before: bool) -> None:
    """Kills around the renaming of the checkpoint that follows an epoch."""
    rename = os.replace

    def replace(source: Any, target: Any) -> None:
        if Path(target).name == "checkpoint.npz":
            with np.load(source) as stored:
                state = json.loads(stored["state.json"].tobytes())
            if state["progress"]["rows"][-1]["epoch"] == epoch:
                if not before:
                    rename(source, target)
                die()
        rename(source, target)

    os.replace = replace


def main(out: str, moment: str = "", schedule: str = "schedule") -> None:
    kind, *numbers = moment.split(":")
    feed = tiny.feed()
    if kind == "batch":
        feed = Killed(int(numbers[0]), int(numbers[1]))
    elif kind == "draw":
        feed = KilledDrawing(int(numbers[0]))
    elif kind in ("rename", "saved"):
        kill_at_save(int(numbers[0]), before=kind == "rename")
    keras.utils.set_random_seed(7)
    model = tiny.Tiny()
    training.fit(
        model,
        getattr(tiny, schedule)(),
        feed,
        tiny.validation(),
        out=out,
        execution=Execution(verbose=0),
    )
    weights = {f"{i:03d}": np.asarray(v) for i, v in enumerate(model.training_model.variables)}
    np.savez(Path(out) / "final.npz", **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
