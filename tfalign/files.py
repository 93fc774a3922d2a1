"""Files that a reader sees whole or not at all, however the program ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path that takes the place of ``path`` when the block ends without error.

    A reader sees the old file or the new one, never a part of one. After an error or Ctrl-C the
    temporary file is gone; only a killed process leaves it behind, hidden beside ``path``.

    Args:
        path: The file to write; its folder exists.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes a file, text as UTF-8, see ``replacing``.

    Args:
        path: The file to write; its folder exists.
        content: What.

    Raises:
        OSError: If the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
