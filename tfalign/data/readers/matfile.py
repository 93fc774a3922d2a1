"""Reading MATLAB files up to version 7 (``scipy.io``), with their integrity checked first."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tfalign.data.readers.report import Problem
from tfalign.data.readers.text import read_bytes

_HEADER = 128
_COMPRESSED = 15  # miCOMPRESSED


def load_mat(path: Path, variables: tuple[str, ...]) -> dict[str, Any]:
    """Returns the named variables of a MATLAB file of version 5 to 7.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated or damaged, or lacks a variable.
    """
    import scipy.io  # not needed for landmarks of photographs, which load this room, too

    data = read_bytes(path)
    try:
        _check_integrity(data)
        content: dict[str, Any] = scipy.io.loadmat(path, variable_names=list(variables))
    # SciPy's parser trusts the file: a damaged one makes it raise anything from TypeError to
    # MemoryError. Whatever it is, the user's news is that the file cannot be read.
    except Exception as error:
        message = f"a MATLAB file of version 5 to 7 is needed. Received: {error!r}"
        raise Problem("unreadable-file", str(path), message).error() from error
    for variable in variables:
        if not isinstance(content.get(variable), np.ndarray):
            message = f"the file must hold {list(variables)}. Received: no {variable!r}"
            raise Problem("unreadable-file", str(path), message).error()
    return content


def real_matrix(content: dict[str, Any], variable: str, columns: int, path: Path) -> np.ndarray:
    """Returns a variable as a (rows, columns) float64 matrix.

    Raises:
        ValueError: If it is not a real matrix of that many columns.
    """
    matrix: np.ndarray = content[variable]
    if matrix.dtype.kind not in "fiu" or matrix.ndim != 2 or matrix.shape[1] != columns:
        message = (
            f"{variable} must be a real matrix with {columns} columns. "
            f"Received: shape={matrix.shape}, dtype={matrix.dtype}"
        )
        raise Problem("unreadable-file", str(path), message).error()
    return np.asarray(matrix, np.float64)


def _check_integrity(data: bytes) -> None:
    """Verifies that the elements fill the file, and each compressed one's checksum."""
    if len(data) <= _HEADER or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("no MATLAB 5 header")
    order = "<" if data[126:128] == b"IM" else ">"
    position = _HEADER
    while position < len(data):
        if len(data) < position + 8:
            raise ValueError("truncated")
        kind, length = struct.unpack_from(f"{order}II", data, position)
        element = data[position + 8 : position + 8 + length]
        if len(element) != length:
            raise ValueError("truncated")
        if kind == _COMPRESSED:
            zlib.decompress(element)  # raises zlib.error on a wrong checksum
        position += 8 + length
