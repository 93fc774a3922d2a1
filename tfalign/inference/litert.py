"""Interpreters of .tflite files, one for each thread."""

from __future__ import annotations

import functools
from typing import Any

from tfalign.extras import how_to_install
from tfalign.inference.per_thread import PerThread


def interpreters(content: bytes, threads: int, name: str) -> PerThread[Any]:
    """Returns the interpreters of a file; the calling thread's is made at once.

    Args:
        content: The file's bytes.
        threads: CPU threads of each interpreter.
        name: The file's, for messages.

    Raises:
        ImportError: If ai-edge-litert is not installed.
        ValueError: If ``threads`` is not positive, or the file cannot be run.
    """
    if threads < 1:
        raise ValueError(f"`threads` must be positive. Received: threads={threads}")
    made: PerThread[Any] = PerThread(functools.partial(_interpreter, content, threads, name))
    made.get()
    return made


def _interpreter(content: bytes, threads: int, name: str) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(
            f"Running .tflite files needs ai-edge-litert. {how_to_install('mobile')}"
        ) from error
    try:
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{name} is not a .tflite file that can be run: {error}") from error
    return interpreter
