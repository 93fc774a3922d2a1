"""Writing an export's files all together or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(out: str | Path) -> Iterator[Path]:
    """Gives a temporary folder whose files move into ``out`` if, and only if, nothing fails.

    The temporary folder lies inside the target, so that each move is one rename. Files in folders
    below it move into the same folders of ``out``. Files of ``out`` that were not written anew
    stay.

    Args:
        out: The target folder; made if needed.

    Raises:
        PermissionError: If ``out`` cannot be made or written.
        NotADirectoryError: If ``out`` is a file.
    """
    target = Path(out)
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"`out` must be a folder. Received: out={str(target)!r}")
    try:
        target.mkdir(parents=True, exist_ok=True)
        if not os.access(target, os.W_OK):
            raise PermissionError(target)
        scratch = Path(tempfile.mkdtemp(prefix=".export-", dir=target))
    except OSError as error:
        raise PermissionError(
            f"The folder for the export cannot be written. Received: out={str(target)!r}"
        ) from error
    try:
        yield scratch
        for file in sorted(path for path in scratch.rglob("*") if path.is_file()):
            place = target / file.relative_to(scratch)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
