"""Several processes that share the runs of one folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Claims a folder for this process until the block ends or the process dies, however it dies.

    The claim is the operating system's lock on ``folder/.lock``, so nothing is left to clear away
    after a kill; it needs a POSIX system, and on a network file system one that locks.

    Args:
        folder: The folder; made if missing.

    Yields:
        Whether the folder was free and is now claimed.
    """
    import fcntl  # not on Windows: the rest of the room works there

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
