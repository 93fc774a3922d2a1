"""Decoding an image file into RGB, in the pixel order in which it was annotated."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from tfalign.data.readers.report import Problem

# 64 Mi pixels (192 MiB decoded). The largest photographs of the supported sets are far below; a
# few hundred bytes of PNG or JPEG can announce far more, so the header is read first.
MAX_PIXELS = 2**26

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk: its length, name and checksum
_ANNOTATED_FORMATS = ("JPEG", "PNG")  # in which the supported sets come
# Whatever Pillow and the codecs behind it raise on damaged data.
_DAMAGE = (OSError, SyntaxError, ValueError, IndexError, OverflowError, EOFError, TypeError)


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
    dropped, of 16 bits the upper eight are kept. A PNG's checksums are verified; a JPEG has none,
    so damage inside its compressed data changes pixels unnoticed, but a truncated JPEG is refused.

    Raises:
        ValueError: If the data are truncated, damaged, of another format, or announce more than
            ``MAX_PIXELS`` pixels.
    """
    with opened_picture(data, MAX_PIXELS, _ANNOTATED_FORMATS) as picture:
        if picture.mode.startswith("I"):
            grey = (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(picture.convert("RGB"))


@contextmanager
def opened_picture(data: bytes, max_pixels: int, formats: Sequence[str]) -> Iterator[Image.Image]:
    """Opens the bytes of a picture file with Pillow and decodes it, once its size is known.

    The header is read first, so that a file of a few bytes cannot ask for gigabytes.

    Args:
        data: The whole file.
        max_pixels: Most pixels that are decoded.
        formats: Pillow's names of the formats that are accepted.

    Yields:
        The picture, decoded, in its own mode and stored order. ``picture.info["deep"]`` tells
        whether the file has 16 bits a channel, of which Pillow keeps eight in colour pictures.

    Raises:
        ValueError: If the data are truncated, damaged, of another format, or announce more pixels.
    """
    with warnings.catch_warnings():
        # Pillow warns of its own, higher limit; ours has decided by then.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            picture = Image.open(io.BytesIO(data), formats=formats)
        except UnidentifiedImageError as error:
            raise ValueError(
                f"images must be {' or '.join(formats)}. Received: first bytes {data[:8]!r}"
            ) from error
        except Image.DecompressionBombError as error:
            raise ValueError(
                f"images of more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels must be allowed "
                f"in Pillow, too (PIL.Image.MAX_IMAGE_PIXELS): {error}"
            ) from error
        except _DAMAGE as error:
            raise ValueError(f"damaged or truncated image: {error}") from error
    with picture:
        check_pixels(*picture.size, max_pixels)
        try:
            if picture.format == "PNG":  # the checksums and the end, which decoding does not need
                with Image.open(io.BytesIO(data)) as copy:
                    copy.verify()
                if _PNG_END not in data:
                    raise OSError("it has no end")
            deep = any(";16" in str(tile[3]) for tile in picture.tile)
            picture.load()
            picture.info["deep"] = deep
        except _DAMAGE as error:
            raise ValueError(f"damaged or truncated {picture.format}: {error}") from error
        yield picture


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises ``ValueError`` unless a picture has between 1 and ``max_pixels`` pixels."""
    if not 0 < width * height <= max_pixels:
        raise ValueError(
            f"an image must have between 1 and {max_pixels} pixels ({max_pixels / 1e6:.0f} "
            f"megapixels; `max_pixels` sets the limit). Received: {width}×{height} = "
            f"{width * height / 1e6:.0f} megapixels"
        )
