"""Reading MATLAB 7.3 files, which are HDF5: matrices and cell arrays of images."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from tfalign.data.readers.image import MAX_PIXELS
from tfalign.data.readers.report import Problem

T = TypeVar("T")

# One thread at a time: the library serialises most calls itself, but a direct read of a chunk from
# two threads at once failed now and then.
_LIBRARY = threading.RLock()


def read_hdf5(path: Path, use: Callable[[h5py.File], T]) -> T:
    """Opens a file, lets ``use`` read from it, and closes it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no HDF5 file, or ``use`` fails on it in whatever way.
    """
    if not path.is_file():
        raise Problem("missing-annotation", str(path), "no such annotation file.").error()
    try:
        with _LIBRARY, h5py.File(path, "r") as file:
            return use(file)
    # The HDF5 library reports damage as OSError, KeyError, RuntimeError, ValueError or TypeError,
    # depending on where it stumbles; MemoryError comes from a damaged shape.
    except Exception as error:
        message = f"a MATLAB 7.3 (HDF5) file is needed. Received: {error!r}"
        raise Problem("unreadable-file", str(path), message).error() from error


def matrix(file: h5py.File, name: str, columns: int) -> np.ndarray:
    """Returns a MATLAB matrix of doubles as (rows, columns) float64; HDF5 holds it transposed.

    Raises:
        ValueError: If it is anything else.
    """
    data = file[name]
    # Not only "is it a float": a damaged header can describe doubles with another exponent or
    # byte order, which h5py would convert in good faith.
    if not isinstance(data, h5py.Dataset) or not data.id.get_type().equal(h5py.h5t.IEEE_F64LE):
        raise ValueError(f"{name} must be a matrix of doubles")
    if data.ndim != 2 or data.shape[0] != columns or data.size > 10**8:
        raise ValueError(f"{name} must have {columns} columns. Received: {data.shape[::-1]}")
    _check_storage(data)
    return np.ascontiguousarray(data[()].T)


@dataclass(frozen=True, slots=True)
class CellImage:
    """Image ``index`` of a MATLAB 7.3 cell array; an ``ImageSource``.

    Attributes:
        path: The file.
        cell: Name of the cell array.
        index: 0-based place in it.
        size: (width, height), as found when the annotations were read.
    """

    path: Path
    cell: str
    index: int
    size: tuple[int, int]

    def load(self) -> np.ndarray:
        """Returns (height, width, 3) uint8 RGB; a grey image becomes three equal channels.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If it is damaged, or another image than when the annotations were read.
        """

        def use(file: h5py.File) -> np.ndarray:
            data = _image_dataset(file, file[self.cell][()].ravel()[self.index])
            if data.shape[-2:] != self.size:
                raise ValueError(f"{self.cell}{{{self.index + 1}}} has changed its size")
            _check_storage(data)
            pixels = data[()].T  # MATLAB stores columns first: ([3,] width, height)
            return np.ascontiguousarray(
                pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
            )

        return read_hdf5(self.path, use)

    def identity(self) -> str:
        """Returns the image's place and size."""
        return f"{self.cell}{self.index}:{self.size}"


def cell_images(file: h5py.File, path: Path, name: str) -> list[CellImage]:
    """Returns the images of a cell array without reading their pixels.

    Raises:
        ValueError: If the variable is no cell array of uint8 images, each a different one.
    """
    cell = file[name]
    if not isinstance(cell, h5py.Dataset) or cell.dtype != h5py.ref_dtype:
        raise ValueError(f"{name} must be a cell array")
    images, addresses = [], set()
    for index, reference in enumerate(cell[()].ravel()):
        data = _image_dataset(file, reference)
        # A damaged reference can point at another face's image.
        addresses.add(h5py.h5o.get_info(data.id).addr)
        width, height = data.shape[-2:]
        images.append(CellImage(path, name, index, (width, height)))
    if len(addresses) != len(images):
        raise ValueError(f"the images of {name} must all differ; one is referred to twice")
    return images


def _check_storage(data: h5py.Dataset) -> None:
    """Checks that every byte of an array is stored as its header says.

    HDF5 reads a chunk that a damaged index has lost as zeros, and one that the index calls
    unfiltered as its compressed bytes; it reports neither.
    """
    if data.chunks is None:
        if data.id.get_offset() is None or data.id.get_storage_size() != data.nbytes:
            raise ValueError("the array is not stored as a whole")
        return
    grid = (range(0, size, step) for size, step in zip(data.shape, data.chunks, strict=True))
    starts = list(itertools.product(*grid))
    if data.id.get_num_chunks() != len(starts):
        raise ValueError("some of the array's chunks are missing")
    plain = math.prod(data.chunks) * data.dtype.itemsize
    filtered = data.id.get_create_plist().get_nfilters() > 0
    for start in starts:
        # Looks the chunk up as reading does, but raises where that would give zeros.
        filter_mask, stored = data.id.read_direct_chunk(start)
        if filter_mask or (not filtered and len(stored) != plain):
            raise ValueError("the array's chunks are not stored as its header says")


def _image_dataset(file: h5py.File, reference: h5py.Reference) -> h5py.Dataset:
    data = file[reference]
    if not isinstance(data, h5py.Dataset) or not data.id.get_type().equal(h5py.h5t.STD_U8LE):
        raise ValueError("images must be uint8 arrays")
    if not (data.ndim == 2 or (data.ndim == 3 and data.shape[0] == 3)):
        raise ValueError(f"images must be grey or RGB. Received: shape={data.shape[::-1]}")
    pixels = math.prod(data.shape[-2:])
    if not 0 < pixels <= MAX_PIXELS:
        raise ValueError(f"images must have 1 to {MAX_PIXELS} pixels. Received: {pixels}")
    return data
