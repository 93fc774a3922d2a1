"""The optional packages behind ``.tflite`` files."""

from __future__ import annotations

import importlib.util

from tfalign.extras import how_to_install


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
            f"Work with .tflite files needs {', '.join(missing)}. {how_to_install('mobile')}"
        )
