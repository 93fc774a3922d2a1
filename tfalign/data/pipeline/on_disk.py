"""Crop caches that are never in memory as a whole: cropped once into a folder, read face by face.

One format serves TensorFlow and JAX, and is the one that ``CropCache.save`` writes: every batch
reads its own rows, so an epoch is shuffled over all faces, order and augmentation are those of a
cache in memory, and a run continues as exactly. Reading is by position and not through a memory
map, whose pages would count as the process's memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import geometry
from tfalign.data.pipeline.crop_cache import CropCache, concatenate, write_table
from tfalign.data.readers.reader import Reader
from tfalign.files import claimed, replacing

_FACES = 512  # Cropped and written at once: bounds the memory that building takes.
_HEADER = 128  # Bytes; NumPy pads headers to a multiple of 64, and these need more than one.


class ImagesOnDisk:
    """The source crops of one or several ``.npy`` files, as an array that reads what is indexed.

    It has an array's ``shape``, ``dtype`` and ``ndim``; indexing by an integer array, a boolean
    mask or a slice returns an array in memory. Threads may share it.

    Args:
        paths: Files of (N, S, S, 3) uint8, all of one S.
        digests: SHA-256 of each file's pixels, in hexadecimal.

    Raises:
        ValueError: If a file holds something else.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, paths: Sequence[Path], digests: Sequence[str]) -> None:
        self.paths, self.digests = tuple(paths), tuple(digests)
        shapes = []
        self._files, self._offsets = [], []
        for path in self.paths:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if (
                array.dtype != self.dtype
                or array.ndim != self.ndim
                or array.shape[1:] != (shapes[0][1:] if shapes else array.shape[1:])
            ):
                raise ValueError(
                    f"Images on disk must be (N, S, S, 3) uint8 of one size. Received: {path} with "
                    f"shape {array.shape}, dtype {array.dtype}"
                )
            shapes.append(array.shape)
            self._offsets.append(array.offset)
            self._files.append(path.open("rb", buffering=0))
        self._starts = np.cumsum([0, *(shape[0] for shape in shapes)])
        self.shape = (int(self._starts[-1]), *shapes[0][1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        rows = np.arange(len(self))[index]
        if rows.ndim == 0:
            return self[rows[None]][0]
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        size = images[:1].nbytes
        parts = np.searchsorted(self._starts, rows, side="right") - 1
        for image, row, part in zip(images, rows, parts, strict=True):
            place = self._offsets[part] + int(row - self._starts[part]) * size
            if os.preadv(self._files[part].fileno(), [image], place) != size:
                raise OSError(f"{self.paths[part]} has become shorter since it was opened")
        return images

    @property
    def digest(self) -> str:
        """What tells these pixels from others; of one file, the SHA-256 of its pixels."""
        if len(self.digests) == 1:
            return self.digests[0]
        return hashlib.sha256(" ".join(self.digests).encode()).hexdigest()

    def joined(self, others: Sequence[ImagesOnDisk]) -> ImagesOnDisk:
        """Returns these images followed by others."""
        everything = (self, *others)
        return ImagesOnDisk(
            [path for part in everything for path in part.paths],
            [digest for part in everything for digest in part.digests],
        )


def cache_on_disk(
    source: Reader,
    directory: str | PathLike[str],
    crop: str | geometry.CropConvention | Mapping[str, Any],
    image_size: Sequence[int] = (112, 112),
    margin: float = 0.3,
    workers: int | None = None,
) -> CropCache:
    """Returns the crops of a reader's faces, from a folder in which they are made once.

    The folder may hold caches of several sets and sizes, and any number of runs, processes and
    hosts may share it: the first that asks makes the cache and the others wait for it. A cache that
    is whole is recognised by its faces' fingerprint, crop convention and sizes, and by when the
    images' files were changed last.

    Args:
        source: The faces.
        directory: The folder; made if needed. It is on a file system with POSIX locks.
        crop, image_size, margin, workers: See ``CropCache.build``.

    Returns:
        A cache whose ``images`` are `ImagesOnDisk`; everything else of it is in memory.

    Raises:
        ValueError: As ``CropCache.build``; also for a face that a cache made earlier lacks, unless
            the reader cannot read it either and may skip it.
        OSError: If the folder cannot be written.
    """
    convention = geometry.crop_convention(crop)
    faces = [source.fingerprint(), _changed(source)]
    told = [*faces, convention.get_config(), list(image_size), margin]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    folder = Path(directory) / f"{source.dataset}-{key}"
    path = folder / "faces.npz"
    while not path.is_file():
        with claimed(folder) as free:
            if not free:
                time.sleep(0.5)
            elif not path.is_file():
                print(f"cropping {len(source)} faces into {folder}, once", flush=True)
                _build(source, path, convention, image_size, margin, workers)
    cache = CropCache.load(path, mmap=True)
    _meet_missing(source, cache, folder)
    digest = (folder / "pixels.sha256").read_text(encoding="ascii")
    images: Any = ImagesOnDisk([path.with_suffix(".npy")], [digest])
    return replace(cache, images=images)


def _meet_missing(source: Reader, cache: CropCache, folder: Path) -> None:
    """Reads again what could not be read when the cache was made.

    That may have been in another run, which was allowed to leave faces out: this reader's policy
    says whether it is, too, and its report must have them.

    Raises:
        FileNotFoundError, ValueError: If the reader must not leave a face out, or can read it now.
    """
    cached = set(cache.names.tolist())
    for record in source.records:
        if record.name not in cached and source.try_load(record) is not None:
            raise ValueError(
                "Crops on disk must hold every face that can be read: delete the folder, and they "
                f"are made anew. Received: {folder}, without {record.name!r}"
            )


def _changed(source: Reader) -> list[int]:
    """Returns when each image's file was changed last, in nanoseconds.

    A fingerprint must be the same for every copy of a data set, so that it does not know: an image
    that is replaced by one of as many bytes leaves it as it is.
    """
    files = {getattr(record.image, "path", None) for record in source.records}
    there = sorted(path for path in files if path is not None and path.is_file())
    return [path.stat().st_mtime_ns for path in there]


def _build(
    source: Reader,
    path: Path,
    crop: geometry.CropConvention,
    image_size: Sequence[int],
    margin: float,
    workers: int | None,
) -> None:
    """Writes a cache part by part; the table comes last and says that it is whole."""
    parts: list[CropCache] = []
    pixels = hashlib.sha256()
    with replacing(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
        file.write(bytes(_HEADER))
        for start in range(0, len(source), _FACES):
            chosen = source.records[start : start + _FACES]
            skipped = len(source.report.skipped)
            try:
                part = CropCache.build(
                    source.subset(chosen), crop, image_size, margin, workers=workers
                )
            except ValueError:
                if len(source.report.skipped) - skipped < len(chosen):
                    raise
                continue  # all of these faces are bad, and listed
            content = np.ascontiguousarray(part.images).data
            pixels.update(content)
            file.write(content)
            # Without the pixels, also not as the memory behind an empty view of them.
            parts.append(replace(part, images=np.empty((len(part), 0, 0, 3), np.uint8)))
        if not parts:
            raise ValueError(f"A crop cache needs at least one face. Received: none from {source}")
        side = content.shape[1]
        faces = concatenate(parts)
        file.seek(0)
        file.write(_header((len(faces), side, side, 3)))
    (path.parent / "pixels.sha256").write_text(pixels.hexdigest(), encoding="ascii")
    write_table(faces, path, side)


def _header(shape: tuple[int, ...]) -> bytes:
    """Returns the header of a ``.npy`` file of version 1.0, `_HEADER` bytes long."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    length = _HEADER - 10
    return (
        b"\x93NUMPY\x01\x00"
        + length.to_bytes(2, "little")
        + text.ljust(length - 1).encode()
        + b"\n"
    )
