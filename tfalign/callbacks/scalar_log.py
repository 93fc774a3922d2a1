"""Writes each epoch's numbers for TensorBoard."""

from __future__ import annotations

import importlib.util
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras


class ScalarLog(keras.callbacks.Callback):
    """Writes the epoch's logged numbers as TensorBoard scalars.

    `keras.callbacks.TensorBoard` starts from step 0 whenever ``fit`` is called; a run of several
    phases calls it several times, and a resumed one again. This one adds an offset. It needs
    TensorFlow (on any back end) but not TensorBoard, which is needed only to look at the files.

    Args:
        folder: Where the event file goes.
        first_epoch: Step of the epoch that ``fit`` calls 0.

    Raises:
        ModuleNotFoundError: At the first epoch, if TensorFlow is not installed (see
            `ScalarLog.available`).

    Reference:
        An event file is a TFRecord file of ``tensorflow.Event`` messages, the first of which has
        ``file_version="brain.Event:2"``.
    """

    def __init__(self, folder: str, first_epoch: int = 0) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.first_epoch = first_epoch
        self._writer: Any = None

    @staticmethod
    def available() -> bool:
        """Returns whether TensorFlow is installed."""
        return importlib.util.find_spec("tensorflow") is not None

    def _write(self, **fields: Any) -> None:
        import tensorflow as tf

        if self._writer is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
            self._writer = tf.io.TFRecordWriter(str(self.folder / name))
            self._write(file_version="brain.Event:2")
        event = tf.compat.v1.Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes the epoch's numbers and flushes the file."""
        import tensorflow as tf

        values = [
            tf.compat.v1.Summary.Value(tag=name, simple_value=float(value))
            for name, value in (logs or {}).items()
        ]
        self._write(step=self.first_epoch + epoch, summary=tf.compat.v1.Summary(value=values))
        self._writer.flush()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
