"""Decoding an image file into RGB, in the pixel order in which it was annotated."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tfalign.data.readers.report import Problem

# 64 Mi pixels (192 MiB decoded). The largest photographs of the supported sets are far below; a
# few hundred bytes of PNG or JPEG can announce far more, so the header is read first.
MAX_PIXELS = 2**26

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk: its length, name and checksum
OTHER_FOLDER = " Where all pictures lie in another folder, --reader images=FOLDER names it."
"""The remedy of readers that have the option ``images``."""

_ORIENTATION = 0x0112  # EXIF's tag; 2 to 8 are turned or mirrored
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
    """A JPEG or PNG file.

    Attributes:
        path: The file.
        where: The annotation that asks for it, for errors.
        size: (width, height) that the annotation states for the image as it is loaded, or None.
        upright: Whether the image is turned as its EXIF orientation says, as annotation tools show
            it; see ``decode_rgb``. Where only the stored image has the stated size, it is not.
            None, where nothing tells: images that would be turned are refused.
    """

    path: Path
    where: str
    size: tuple[int, int] | None = None
    upright: bool | None = False

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
            image = decode_rgb(data, self.upright)
            if self.upright and self.size not in (None, image.shape[1::-1]):
                image = decode_rgb(data)
        except ValueError as error:
            raise self._unreadable(str(error)).error() from error
        if self.size is not None and self.size != image.shape[1::-1]:
            message = (
                f"its annotation is for {self.size[0]}×{self.size[1]} pixels. Received: "
                f"{image.shape[1]}×{image.shape[0]}; annotate or resize anew"
            )
            raise self._unreadable(message).error()
        return image

    def identity(self) -> str:
        """Returns the file's size in bytes, and whether it is turned upright."""
        size = str(self.path.stat().st_size) if self.path.is_file() else "missing"
        return f"{size} upright" if self.upright else size

    def _unreadable(self, reason: str) -> Problem:
        return Problem("unreadable-image", self.where, f"image {self.path}: {reason}")


def is_metadata(path: Path) -> bool:
    """Whether a file is macOS's AppleDouble twin of another, which holds no picture or points."""
    return path.name.startswith("._")


def missing_image(path: Path, where: str, remedy: str = "") -> Problem:
    """Returns the problem of an annotation whose image is not there.

    Args:
        path: The file that should be there.
        where: The annotation.
        remedy: What a user can do, as a sentence after a space.
    """
    message = (
        f"the picture that it names must be there.{remedy} Received: {str(path)!r}, no such file."
    )
    return Problem("missing-image", where, message, path.name)


def image_folder(annotations: Path, images: str | Path | None, names: Sequence[str]) -> Path:
    """Returns the folder that the image names of an annotation file are relative to.

    Args:
        annotations: The file.
        images: The folder, where a user gave it.
        names: The image names; the folder is that of the first, if it is found beside the file, in
            ``images/`` beside it or its folder, or one folder up.
    """
    if images is not None:
        return Path(images)
    beside = annotations.parent
    places = (beside, beside / "images", beside.parent / "images", beside.parent)
    there = [place for place in places if names and (place / names[0]).is_file()]
    # Where the first image is missing, errors name the usual place.
    return (there or [place for place in places[1:3] if place.is_dir()] or [beside])[0]


def find_image(folder: Path, name: str, where: str, remedy: str = "") -> Path:
    r"""Returns the image file that an annotation means by ``name``.

    Lists made on Windows have ``\`` between folders, and suffixes in other letters than the file
    (``.jpg`` for ``.JPG``); both are followed.

    Args:
        folder: The folder that names are relative to.
        name: As the annotation has it.
        where: The annotation.
        remedy: What a user can do where there is no such file, as a sentence after a space.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the name leads out of the folder, or fits two files.
    """
    relative = PurePosixPath(name.replace("\\", "/"))
    windows = PureWindowsPath(name)
    if relative.is_absolute() or windows.drive or ".." in relative.parts or "\0" in name:
        rule = f"image names must be relative to {folder}, and stay below it."
        message = f"{rule}{remedy} Received: {name!r}"
        raise Problem("malformed-line", where, message, name).error()
    path = folder / relative
    found = [p for p in (folder / name, path) if os.path.isfile(p)][:1]
    if not found:
        suffixes = {path.suffix.lower(), path.suffix.upper(), path.suffix.capitalize()}
        # On a disk that ignores letters' case all of them are one file.
        alike = {p.resolve(): p for s in suffixes if os.path.isfile(p := path.with_suffix(s))}
        found = sorted(alike.values())
    if len(found) > 1:
        message = f"a name must fit one image. Received: {name!r} for {[p.name for p in found]}"
        raise Problem("duplicate", where, message, name).error()
    if not found:
        raise missing_image(path, where, remedy).error()
    return found[0]


def decode_rgb(data: bytes, upright: bool | None = False) -> np.ndarray:
    """Decodes a whole JPEG or PNG file to (height, width, 3) uint8 RGB.

    The EXIF orientation is ignored on purpose, unless ``upright``: every published set annotates
    the pixels in the order in which they are stored. With None images that would be turned are
    refused. Grey images become three equal channels, an alpha channel is dropped, 16 bits are
    reduced by ``eight_bits``, as photographs' are. A PNG's checksums are verified; a JPEG has none,
    so damage inside its compressed data changes pixels unnoticed, but a truncated JPEG is refused.

    Raises:
        ValueError: If the data are truncated, damaged, of another format, or announce more than
            ``MAX_PIXELS`` pixels.
    """
    with opened_picture(data, MAX_PIXELS, _ANNOTATED_FORMATS) as picture:
        if upright is None and (turned := picture.getexif().get(_ORIENTATION)) in range(2, 9):
            raise ValueError(
                "whether points lie on the image as it is stored or as it is shown must be told "
                "where the two differ: --reader upright=true where they were put on the upright "
                "image, upright=false where on the stored pixels. Received: EXIF orientation "
                f"{turned}"
            )
        if picture.info["deep"] and picture.mode in ("RGB", "RGBA"):
            picture = of_eight_bits(data, picture)
        if upright:
            picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):
            grey = eight_bits(np.asarray(picture).astype(np.uint16))
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(picture.convert("RGB"))


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Reduces uint16 values by as many bits as their largest has beyond eight.

    Cameras store 10, 12 or 14 bits in 16; the upper eight of these would be nearly black.
    """
    bits = int(values.max(initial=0)).bit_length()
    return (values >> max(0, bits - 8)).astype(np.uint8)


def of_eight_bits(data: bytes, picture: Image.Image) -> Image.Image:
    """Returns a picture of 16-bit colours, of which Pillow keeps the upper bytes, reduced by
    ``eight_bits``: RGB or RGBA, in stored order, with its EXIF data.

    Args:
        data: The whole file.
        picture: What Pillow makes of it.

    Raises:
        ValueError: If its pixels cannot be decoded.
    """
    import cv2  # Only here: readers do without it.

    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.shape[:2] != picture.size[::-1]:
        raise ValueError(f"damaged {picture.format}: its 16-bit pixels cannot be decoded")
    colours, alpha = deep[..., 2::-1], deep[..., 3:]
    reduced = Image.fromarray(np.concatenate([eight_bits(colours), eight_bits(alpha)], axis=-1))
    reduced.info["exif"] = picture.getexif().tobytes()
    return reduced


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
            picture = Image.open(io.BytesIO(data), formats=tuple(formats))
        except UnidentifiedImageError as error:
            raise ValueError(
                f"images must be {' or '.join(formats)}. Received: "
                + (f"first bytes {data[:8]!r}" if data else "an empty file")
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
            deep = any(";16" in str(tile[3]) for tile in picture.tile) or _deep_jpeg2000(data)
            picture.load()
            picture.info["deep"] = deep
        except _DAMAGE as error:
            raise ValueError(f"damaged or truncated {picture.format}: {error}") from error
        yield picture


def _deep_jpeg2000(data: bytes) -> bool:
    """Whether this is JPEG 2000 of more than 8 bits a channel, which Pillow's tiles do not tell."""
    begin = data.find(b"\xff\x4f\xff\x51")  # the codestream, which begins with its sizes
    if begin < 0 or not (begin == 0 or data[4:8] == b"jP  "):
        return False
    channels = int.from_bytes(data[begin + 40 : begin + 42], "big")
    depths = data[begin + 42 : begin + 42 + 3 * channels : 3]
    return any((depth & 0x7F) + 1 > 8 for depth in depths)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises ``ValueError`` unless a picture has between 1 and ``max_pixels`` pixels."""
    if not 0 < width * height <= max_pixels:
        raise ValueError(
            f"an image must have between 1 and {max_pixels} pixels ({max_pixels / 1e6:.0f} "
            f"megapixels; `max_pixels` sets the limit). Received: {width}×{height} = "
            f"{width * height / 1e6:.0f} megapixels"
        )
