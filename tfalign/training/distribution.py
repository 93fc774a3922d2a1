"""Data parallelism: several devices of one host, or several processes and hosts.

=================  ==========  ==================================================================
strategy           back end    what it is
=================  ==========  ==================================================================
``"mirrored"``     TensorFlow  ``tf.distribute.MirroredStrategy`` over the devices of this host
``"data_parallel"``  JAX       ``keras.distribution.DataParallel`` over all devices of all processes
=================  ==========  ==================================================================

The batch size a user gives is the global one in every case: each device computes its share, and the
mean loss and the gradients equal those of one device with the whole batch. Batch normalisation
differs: under ``"mirrored"`` each replica normalises by the statistics of its own share, unless the
layer was made with ``synchronized=True``; under ``"data_parallel"`` the program is one program over
the global batch, so statistics are those of the global batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True)
class Distribution:
    """How a run is spread over devices; `connect` makes it.

    Attributes:
        strategy: ``"none"``, ``"mirrored"`` or ``"data_parallel"``.
        replicas: Devices that share a batch.
        process: Number of this process, from 0; process 0 alone writes files.
        processes: Processes in the run.
        handle: The TensorFlow strategy or Keras distribution, or None.
    """

    strategy: str = "none"
    replicas: int = 1
    process: int = 0
    processes: int = 1
    handle: Any = None

    @property
    def writes(self) -> bool:
        """Whether this process writes the run's files."""
        return self.process == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the context in which models must be made and compiled."""
        if self.handle is None:
            return contextlib.nullcontext()
        scope: contextlib.AbstractContextManager[Any] = self.handle.scope()
        return scope

    def shard(self, batch_size: int) -> tuple[int, int]:
        """Returns (worker, workers): which share of each batch this process feeds.

        Raises:
            ValueError: If the devices cannot share the batch evenly.
        """
        if batch_size % self.replicas:
            raise ValueError(
                f"The global batch must divide evenly over {self.replicas} devices. "
                f"Received: batch_size={batch_size}"
            )
        return self.process, self.processes


def connect(
    strategy: str = "none",
    devices: Sequence[str] | None = None,
    coordinator: str | None = None,
    processes: int = 1,
    process: int = 0,
) -> Distribution:
    """Prepares the devices. Call it before any model is made, and on JAX before any computation.

    Args:
        strategy: See the module's docstring; ``"none"`` uses the default device.
        devices: For ``"mirrored"``: names such as ``"GPU:0"``; None takes every GPU, or the CPU
            where there is none.
        coordinator: ``"host:port"`` of process 0, where the run spans processes.
        processes: How many processes the run has.
        process: Number of this one.

    Returns:
        The distribution, for `tfalign.training.fit`.

    Raises:
        ValueError: If the strategy is unknown or not one of the running back end, or a device does
            not exist (TensorFlow itself would wait for it without end).
    """
    backend = keras.backend.backend()
    if strategy == "none":
        if processes != 1:
            raise ValueError(
                "A run of several processes needs strategy='data_parallel'. "
                f"Received: strategy='none', processes={processes}"
            )
        return Distribution()
    needed = {"mirrored": "tensorflow", "data_parallel": "jax"}
    if needed.get(strategy) != backend:
        raise ValueError(
            "`strategy` must be 'none', 'mirrored' (TensorFlow back end) or 'data_parallel' (JAX "
            f"back end). Received: strategy={strategy!r}, back end {backend!r}"
        )
    if strategy == "mirrored":
        import tensorflow as tf

        mirrored = tf.distribute.MirroredStrategy(_existing(devices) if devices else None)
        return Distribution("mirrored", int(mirrored.num_replicas_in_sync), handle=mirrored)
    return _connect_jax(coordinator, processes, process)


def _existing(devices: Sequence[str]) -> list[str]:
    """Returns TensorFlow's devices by their short names, "GPU:0", after a check that they exist."""
    import tensorflow as tf

    found = {device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()}
    wanted = [device.upper().removeprefix("/").removeprefix("DEVICE:") for device in devices]
    if len(set(wanted)) < len(wanted) or (missing := [d for d in wanted if d not in found]):
        told = f"{', '.join(missing)} not there" if set(wanted) - found else "one of them twice"
        raise ValueError(
            f"`devices` must be different ones of {', '.join(sorted(found))}. Received: "
            f"devices={list(devices)}, {told}"
        )
    return wanted


def _connect_jax(coordinator: str | None, processes: int, process: int) -> Distribution:
    import jax

    if processes > 1:
        if coordinator is None or not 0 <= process < processes:
            raise ValueError(
                "Several processes need `coordinator` and a `process` from 0 to processes - 1. "
                f"Received: coordinator={coordinator!r}, processes={processes}, process={process}"
            )
        # The CPU's own collectives work within one process only.
        configuration: Any = jax.config
        configuration.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(coordinator, processes, process)
    devices = jax.devices()
    mesh = keras.distribution.DeviceMesh((len(devices),), ["batch"], devices)
    # Every process feeds its own share of the global batch, see `Distribution.shard`.
    parallel = keras.distribution.DataParallel(device_mesh=mesh, auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
    return Distribution("data_parallel", len(devices), process, processes, None)
