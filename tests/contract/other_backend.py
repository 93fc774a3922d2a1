"""A process on another Keras back end that repeats computations.

Run as a program it serves requests: a line with a folder's name in, a line "done" or "failed" out.
One process serves the whole test session, because starting it costs seconds.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parents[1]


class OtherBackend:
    """Hands (serialised object, weights, inputs) to a process and reads what it computed.

    Args:
        backend: Name of the Keras back end, e.g. ``"jax"``.
    """

    def __init__(self, backend: str) -> None:
        environment = dict(os.environ)
        environment["KERAS_BACKEND"] = backend
        environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS.parent)])
        environment["JAX_PLATFORMS"] = "cpu"
        # What it computes is small and computed once: compiling takes nearly all of the time.
        environment.setdefault(
            "XLA_FLAGS",
            "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0 "
            "--xla_llvm_disable_expensive_passes=true",
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "contract.other_backend"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        atexit.register(self.close)

    def close(self) -> None:
        """Ends the process."""
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait(timeout=30)

    def compute(
        self,
        folder: Path,
        serialized: dict[str, Any],
        weights: list[np.ndarray],
        inputs: list[np.ndarray],
        structure: Any,
        cotangents: list[np.ndarray],
        modules: tuple[str, ...],
    ) -> dict[str, list[np.ndarray]]:
        """Returns ``outputs``, ``weight_gradients`` and ``input_gradients`` of the other process.

        Raises:
            AssertionError: With the other process's traceback, if it failed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        request = {"object": serialized, "structure": structure, "modules": modules}
        (folder / "request.json").write_text(json.dumps(request))
        write_arrays(folder / "request.npz", weights=weights, inputs=inputs, cotangents=cotangents)
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if answer != "done":
            log = folder / "error.txt"
            raise AssertionError(log.read_text() if log.exists() else "the other process ended")
        return read_arrays(folder / "answer.npz")


@functools.cache
def other_backend(name: str) -> OtherBackend:
    """Returns the session's process for a back end, started when first asked for."""
    return OtherBackend(name)


def write_arrays(path: Path, **groups: list[np.ndarray]) -> None:
    """Writes named lists of arrays."""
    arrays = {f"{k}/{i}": a for k, group in groups.items() for i, a in enumerate(group)}
    counts = {f"count/{k}": np.array(len(group)) for k, group in groups.items()}
    np.savez(path, **arrays, **counts)


def read_arrays(path: Path) -> dict[str, list[np.ndarray]]:
    """Reads what ``write_arrays`` wrote."""
    with np.load(path) as file:
        counts = {k.removeprefix("count/"): int(file[k]) for k in file if k.startswith("count/")}
        return {k: [file[f"{k}/{i}"] for i in range(n)] for k, n in counts.items()}


def _answer(folder: Path) -> None:
    """Computes one request in this process."""
    import importlib

    import keras

    from contract.gradients import compiled_call, gradients, numpy_of

    request = json.loads((folder / "request.json").read_text())
    arrays = read_arrays(folder / "request.npz")
    for module in request["modules"]:
        importlib.import_module(module)
    instance = keras.saving.deserialize_keras_object(request["object"])
    flat = iter(arrays["inputs"])
    inputs = keras.tree.map_structure(lambda _: next(flat), request["structure"])
    if not instance.built:
        instance(inputs, training=False)
    instance.set_weights(arrays["weights"])
    outputs = numpy_of(compiled_call(instance, inputs))
    of_weights, of_inputs = [], []
    if arrays["cotangents"]:
        of_weights, of_inputs = gradients(instance, inputs, arrays["cotangents"])
    write_arrays(
        folder / "answer.npz",
        outputs=outputs,
        weight_gradients=[np.zeros(0) if x is None else x for x in of_weights],
        input_gradients=[np.zeros(0) if x is None else x for x in of_inputs],
    )


def _serve() -> None:
    # The answers go to the real standard output; whatever a library prints goes to the errors.
    channel, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        folder = Path(line.strip())
        try:
            _answer(folder)
        except Exception:
            # The asking process reports it, with the object that it asked about.
            (folder / "error.txt").write_text(traceback.format_exc())
            print("failed", file=channel, flush=True)
        else:
            print("done", file=channel, flush=True)


if __name__ == "__main__":
    _serve()
