"""Photographs as people have them: any common file, Pillow picture or array, safely as RGB."""

from __future__ import annotations

import functools
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tfalign.data.readers.image import (
    MAX_PIXELS,
    check_pixels,
    eight_bits,
    of_eight_bits,
    opened_picture,
)
from tfalign.extras import how_to_install
from tfalign.files import write_whole

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".ppm", ".pgm", ".pnm"),
)
"""How the names of pictures end, in small letters; a picture's content tells its true format."""

# Named one by one: some of Pillow's other readers start programs (EPS) or hold no photographs.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM")
_WRITABLE = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
_JPEG_QUALITY = 95
# An uncompressed 16-bit RGBA picture; no format needs much more than that for its pixels.
_MOST_BYTES_PER_PIXEL = 8
_ROOM_FOR_METADATA = 2**26


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads a photograph, in a format that its content and not its name tells.

    The formats are those of ``IMAGE_SUFFIXES``: AVIF where Pillow was built with it, HEIC where the
    package pillow-heif is installed. Of a file with several pictures (GIF, TIFF) the first is read.
    The number of pixels is taken from the header before anything is decoded. The picture is turned
    upright as its EXIF orientation says. Grey becomes three equal channels, CMYK becomes RGB,
    transparent pixels are laid over white; for more than 8 bits a channel see ``as_rgb``.

    Args:
        path: The file.
        max_pixels: Largest picture that is decoded.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder or a device, no picture of these formats, damaged, or too
            large.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"An image file must exist. Received: path={str(path)!r}")
    # Devices and pipes have no end, and a folder no bytes.
    if not path.is_file():
        raise ValueError(f"An image must be a regular file. Received: path={str(path)!r}")
    most = _MOST_BYTES_PER_PIXEL * max_pixels + _ROOM_FOR_METADATA
    if path.stat().st_size > most:
        raise ValueError(
            f"An image of at most {max_pixels} pixels must have at most {most} bytes. Received: "
            f"{str(path)!r} with {path.stat().st_size} bytes"
        )
    try:
        return decode_image(path.read_bytes(), max_pixels)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used as an image: {error}") from error


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes the bytes of a picture file; see ``read_image``."""
    if data[4:8] == b"ftyp" and data[8:12] not in (b"avif", b"avis") and not _heif_is_read():
        raise ValueError(
            f"HEIC is read where pillow-heif is installed. {how_to_install('media')} "
            f"Received: a file of type {data[8:12]!r}"
        )
    if data[4:12] in (b"ftypavif", b"ftypavis") and "AVIF" not in _formats():
        raise ValueError("AVIF is read by Pillow 11.3 or later: pip install -U pillow")
    with opened_picture(data, max_pixels, _formats()) as picture:
        if not (picture.info["deep"] and picture.mode in ("RGB", "RGBA")):
            return rgb_of_picture(picture, max_pixels)
        return rgb_of_picture(of_eight_bits(data, picture), max_pixels)


def rgb_of_picture(picture: Image.Image, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Converts a Pillow picture of any mode to (height, width, 3) uint8 RGB, turned upright.

    Raises:
        ValueError: If it is too large or of a mode that is no picture.
    """
    if max_pixels is not None:
        check_pixels(*picture.size, max_pixels)
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I"):
        values = np.asarray(upright)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError(
                "pixels of 32 bits must lie in [0, 65535]. Received: values from "
                f"{values.min()} to {values.max()}"
            )
        return as_rgb(values.astype(np.uint16), None)
    if upright.mode == "F":
        return as_rgb(np.asarray(upright), None)
    if upright.has_transparency_data:
        return as_rgb(np.asarray(upright.convert("RGBA")), None)
    return np.array(upright.convert("RGB"))


def as_rgb(image: Any, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Converts a picture in memory to what models take.

    Args:
        image: A Pillow picture, which is turned upright and converted; or an array or tensor
            (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA of uint8, uint16, bool, or floating
            point in [0, 1]. Of 16 bits as many count as the largest value needs, 8 at least:
            cameras store 10, 12 or 14 bits in them.
        max_pixels: Largest picture that is accepted; None for any size.

    Returns:
        (height, width, 3) uint8 RGB; the same array where it is one already.

    Raises:
        ValueError: If the shape, the type or the range is another.
    """
    if isinstance(image, Image.Image):
        return rgb_of_picture(image, max_pixels)
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:  # on a GPU, or with a gradient
        raise ValueError(
            f"An image must be what NumPy reads as an array: {error}. Received: "
            f"{type(image).__name__}"
        ) from error
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ValueError(
            "An image must be (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA. Received: "
            f"shape {np.shape(image)}"
        )
    any_size = max(1, array.shape[0] * array.shape[1])
    check_pixels(array.shape[1], array.shape[0], any_size if max_pixels is None else max_pixels)
    array = _as_uint8(array)
    if array.shape[2] == 3:
        return np.ascontiguousarray(array)
    if array.shape[2] == 4:
        alpha = array[..., 3:].astype(np.float32) / 255
        array = np.rint(array[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> Path:
    """Writes an RGB picture as PNG or JPEG, under a temporary name until it is whole.

    Raises:
        ValueError: If the suffix is not .png, .jpg or .jpeg, or the format cannot hold a picture of
            this size (JPEG ends at 65,500 pixels a side).
        OSError: If the file cannot be written.
    """
    path = Path(path)
    form = _WRITABLE.get(path.suffix.lower())
    if form is None:
        raise ValueError(
            f"A picture's name must end in one of {', '.join(_WRITABLE)}. Received: {str(path)!r}"
        )
    # The limit is for what is read: a picture in memory has passed it.
    rgb = as_rgb(image, max_pixels=None)
    stream = io.BytesIO()
    try:
        Image.fromarray(rgb).save(stream, form, quality=_JPEG_QUALITY)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be written: no {path.suffix} file holds a picture of "
            f"{rgb.shape[1]}×{rgb.shape[0]} pixels ({error})"
        ) from error
    write_whole(path, stream.getvalue())
    return path


@functools.cache
def _heif_is_read() -> bool:
    """Registers pillow-heif with Pillow; returns whether it is installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@functools.cache
def _formats() -> tuple[str, ...]:
    """Returns the formats that can be read here, by Pillow's names."""
    heif = ("HEIF",) if _heif_is_read() else ()
    Image.init()
    return tuple(form for form in (*_FORMATS, *heif) if form in Image.OPEN)


def _as_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return np.concatenate([eight_bits(array[..., :3]), eight_bits(array[..., 3:])], axis=-1)
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (np.isfinite([low, high]).all() and low >= 0 and high <= 1):
            raise ValueError(
                "Pixels of floating point must lie in [0, 1]; give [0, 255] as uint8. Received: "
                f"values from {low:g} to {high:g}"
            )
        return np.rint(array * 255).astype(np.uint8)
    raise ValueError(
        "Pixels must be uint8, uint16, bool, or floating point in [0, 1]. Received: "
        f"dtype={array.dtype}"
    )
