"""Decoding an image file into RGB, in the pixel order in which it was annotated."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from tfalign.data.readers.report import Problem

# 64 Mi pixels (192 MiB decoded). The largest photographs of the supported sets are far below; a
# few hundred bytes of PNG or JPEG can announce far more, so the header is read first.
MAX_PIXELS = 2**26

_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})


class ImageSource(Protocol):
    """Where a record's pixels come from."""

    def load(self) -> np.ndarray:
        """Returns (height, width, 3) uint8 RGB; raises ValueError or FileNotFoundError."""
        ...

    def identity(self) -> str:
        """Returns what a fingerprint should notice about the image without decoding it."""
        ...


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A JPEG or PNG file; ``where`` names the annotation that asks for it."""

    path: Path
    where: str

    def load(self) -> np.ndarray:
        """Returns (height, width, 3) uint8 RGB.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If it is truncated, damaged, of another format, or too large.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError as error:
            raise missing_image(self.path, self.where).error() from error
        except OSError as error:
            raise self._unreadable(str(error)).error() from error
        try:
            return decode_rgb(data)
        except ValueError as error:
            raise self._unreadable(str(error)).error() from error

    def identity(self) -> str:
        """Returns the file's size in bytes."""
        return str(self.path.stat().st_size) if self.path.is_file() else "missing"

    def _unreadable(self, reason: str) -> Problem:
        return Problem("unreadable-image", self.where, f"image {self.path}: {reason}")


def missing_image(path: Path, where: str) -> Problem:
    """Returns the problem of an annotation whose image is not there."""
    return Problem("missing-image", where, f"no such image. Received: {str(path)!r}", path.name)


def decode_rgb(data: bytes) -> np.ndarray:
    """Decodes a whole JPEG or PNG file to (height, width, 3) uint8 RGB.

    The EXIF orientation is ignored on purpose: every supported set annotates the pixels in the
    order in which they are stored. Grey images become three equal channels, an alpha channel is
    dropped. A PNG's checksums are verified; a JPEG has none, so damage inside its compressed data
    changes pixels unnoticed, but a truncated JPEG is refused.

    Raises:
        ValueError: If the data are truncated, damaged, of another format, or announce more than
            ``MAX_PIXELS`` pixels.
    """
    width, height = stated_size(data)
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(
            f"images must have between 1 and {MAX_PIXELS} pixels. Received: {width}×{height}"
        )
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f"the image cannot be decoded: {error}") from error
    if image is None or image.shape != (height, width, 3):
        raise ValueError(f"the image cannot be decoded to its stated size {width}×{height}")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def stated_size(data: bytes) -> tuple[int, int]:
    """Returns the (width, height) that the header of a whole JPEG or PNG file announces.

    Nothing is decoded, so that a file of a few bytes cannot ask for gigabytes.

    Raises:
        ValueError: If the data are truncated, damaged (see ``decode_rgb``) or of another format.
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_size(data)
    raise ValueError(f"images must be JPEG or PNG. Received: first bytes {data[:8]!r}")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Returns (width, height) from the frame header, and makes sure that the file has an end."""
    size = None
    position = 2
    try:
        while True:
            if data[position] != 0xFF:
                raise ValueError(f"damaged JPEG: no marker at byte {position}")
            while data[position] == 0xFF:  # any number of fill bytes may precede a marker
                position += 1
            marker = data[position]
            position += 1
            if marker in _JPEG_STANDALONE_MARKERS:
                continue
            if marker in (0x00, 0xD8, 0xD9):
                raise ValueError(f"damaged JPEG: marker 0x{marker:02x} before the image data")
            (length,) = struct.unpack_from(">H", data, position)
            if marker in _JPEG_FRAME_MARKERS:
                height, width = struct.unpack_from(">HH", data, position + 3)
                size = width, height
            position += length
            if marker == 0xDA:
                break
    except (IndexError, struct.error) as error:
        raise ValueError("truncated JPEG: it ends before the image data") from error
    # Inside the compressed data 0xFF is always followed by 0x00 or a restart marker.
    if data.find(b"\xff\xd9", position) < 0:
        raise ValueError("truncated JPEG: it has no end-of-image marker")
    if size is None:
        raise ValueError("damaged JPEG: no frame header")
    return size


def _png_size(data: bytes) -> tuple[int, int]:
    """Returns (width, height) from the header, and verifies every chunk's checksum."""
    size = (0, 0)
    position = 8
    while True:
        chunk = data[position + 4 : position + 8]
        try:
            (length,) = struct.unpack_from(">I", data, position)
            (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        except struct.error as error:
            raise ValueError("truncated PNG") from error
        if zlib.crc32(data[position + 4 : position + 8 + length]) != checksum:
            raise ValueError(f"damaged PNG: wrong checksum of chunk {chunk!r}")
        if position == 8:
            if chunk != b"IHDR" or length != 13:
                raise ValueError(f"damaged PNG: it must start with IHDR. Received: {chunk!r}")
            width, height = struct.unpack_from(">II", data, position + 8)
            size = width, height
        if chunk == b"IEND":
            return size
        position += 12 + length
