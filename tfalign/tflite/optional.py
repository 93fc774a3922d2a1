"""The optional packages behind ``.tflite`` files, and the one sentence that names them."""

from __future__ import annotations

import importlib.util

INSTALL = "pip install 'tfalign[mobile]'"


def require(*modules: str) -> None:
    """Checks that optional modules can be imported, without importing them.

    Args:
        modules: Top-level module names, e.g. ``"ai_edge_litert"``.

    Raises:
        ImportError: If one is missing; the message names the extra that brings it.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"Work with .tflite files needs the optional packages of this project: {INSTALL}. "
            f"Missing here: {', '.join(missing)}"
        )
