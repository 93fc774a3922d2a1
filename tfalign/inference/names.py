"""Names of files, from paths of any kind."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

_LONGEST_STEM = 150  # bytes; leaves room for endings within a file system's 255


def shown(path: str | os.PathLike[str]) -> str:
    """Returns a path as text that can be written anywhere: bytes that are no UTF-8 as ``\\xE9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class Names:
    """Gives every picture a name for its outputs: safe, of bounded length, and no two the same.

    ``photo.jpg`` becomes ``photo``; a second one of that name gets its folder before it, and a
    number if that is taken too. Names have no dot, so that what follows one is an ending of ours:
    ``photo.2.pts`` is the second face of ``photo``, and ``photo_2.pts`` the one of another picture.
    Upper and lower case count as equal, as they do on some file systems.

    Args:
        taken: Names that earlier runs gave.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.lower() for name in taken}

    def give(self, path: str | os.PathLike[str]) -> str:
        """Returns the name of a picture's outputs."""
        stem = _safe(Path(path).stem) or "image"
        parent = _safe(Path(os.path.abspath(path)).parent.name)
        candidate, number = stem, 1
        if candidate.lower() in self._taken and parent:
            stem = candidate = _cut(f"{parent}_{stem}")
        while candidate.lower() in self._taken:
            number += 1
            candidate = f"{stem}-{number}"
        self._taken.add(candidate.lower())
        return candidate


def _safe(name: str) -> str:
    """Replaces what is no letter, digit, dash or underscore; nothing leads out of a folder."""
    return _cut(re.sub(r"[^\w-]", "_", shown(name)).lstrip("-"))


def _cut(name: str) -> str:
    data = name.encode()
    if len(data) <= _LONGEST_STEM:
        return name
    mark = hashlib.blake2b(data, digest_size=4).hexdigest()
    return f"{data[: _LONGEST_STEM - 9].decode('utf-8', 'ignore')}-{mark}"
