"""The configuration of a run, kept beside its results so that no other run continues it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfalign.training.checkpoint import write_atomically

_MISSING = "(absent)"


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key in sorted(value):
            yield from _flatten(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from _flatten(item, f"{path}[{place}]")
    else:
        yield path, value


def differing_keys(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``{dotted key: (stored value, wanted value)}`` for every difference."""
    old, new = dict(_flatten(stored)), dict(_flatten(wanted))
    return {
        key: (old.get(key, _MISSING), new.get(key, _MISSING))
        for key in sorted({*old, *new})
        if old.get(key, _MISSING) != new.get(key, _MISSING)
    }


def claim_folder(folder: Path, config: Mapping[str, Any], write: bool = True) -> None:
    """Makes the folder this run's, or checks that it already is.

    Args:
        folder: The run's output folder; made if absent.
        config: Everything that decides the run's result, as plain data.
        write: Whether this process may write (one process of a run does).

    Raises:
        ValueError: If the folder holds a run of another configuration; the message names the keys.
    """
    record = folder / "run.json"
    plain = json.loads(json.dumps(config))
    if record.exists():
        different = differing_keys(json.loads(record.read_text()), plain)
        if different:
            lines = "\n".join(
                f"  {key}: there {old!r}, wanted {new!r}" for key, (old, new) in different.items()
            )
            raise ValueError(
                "An output folder belongs to one run: give a new folder, repeat the command that "
                f"made this one, or delete it. Received: out={str(folder)!r}, which differs in\n"
                f"{lines}"
            )
    elif write:
        write_atomically(record, (json.dumps(plain, indent=2) + "\n").encode())
