"""Photographs as people have them: any common file or array, safely to uint8 RGB."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tfalign.data.readers.image import MAX_PIXELS, stated_size
from tfalign.files import write_whole
from tfalign.inference import exif

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_WRITABLE = (".jpg", ".jpeg", ".png")
_JPEG_QUALITY = 95
# An uncompressed 16-bit RGBA picture; no format needs much more than that for its pixels.
_MOST_BYTES_PER_PIXEL = 8
_ROOM_FOR_METADATA = 2**26


def read_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads a photograph: JPEG, PNG, WebP or BMP, told by its content and not by its name.

    The number of pixels is taken from the header before anything is decoded. The picture is turned
    upright as its EXIF orientation says. 16-bit values are reduced to 8, grey becomes three equal
    channels, transparent pixels are laid over white.

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
    width, height = _announced_size(data)
    check_pixels(width, height, max_pixels)
    # Only these formats have transparency, and only unchanged decoding keeps it. The orientation is
    # applied here, as which formats OpenCV applies it to depends on its version.
    layers = data.startswith((b"\x89PNG", b"RIFF"))
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED if layers else flags
        )
    except cv2.error as error:
        raise ValueError(f"it cannot be decoded: {error}") from error
    if image is None or image.shape[:2] != (height, width):
        raise ValueError(f"it cannot be decoded to its stated size {width}×{height}")
    if image.ndim == 3:
        codes = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}
        image = cv2.cvtColor(image, codes[image.shape[2]])
    return exif.upright(as_rgb(image, max_pixels), exif.orientation(data))


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises ``ValueError`` unless a picture has between 1 and ``max_pixels`` pixels."""
    if not 0 < width * height <= max_pixels:
        raise ValueError(
            f"an image must have between 1 and {max_pixels} pixels ({max_pixels / 1e6:.0f} "
            f"megapixels; `max_pixels` sets the limit). Received: {width}×{height} = "
            f"{width * height / 1e6:.0f} megapixels"
        )


def as_rgb(image: Any, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Converts a picture in memory to what models take.

    Args:
        image: (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA; uint8, uint16 (whose full range
            is white), bool, or floating point in [0, 1].
        max_pixels: Largest picture that is accepted; None for any size.

    Returns:
        (height, width, 3) uint8 RGB; the same array where it is one already.

    Raises:
        ValueError: If the shape, the type or the range is another.
    """
    array = np.asarray(image)
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


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Returns the picture files of a folder, by name; folders in it are not entered.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If it is no folder.
        ValueError: If it holds no file with one of ``IMAGE_SUFFIXES``.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"A folder of images must exist. Received: {str(folder)!r}")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and path.name[0] != "."
    )
    if not found:
        raise ValueError(
            f"A folder must hold images ({', '.join(IMAGE_SUFFIXES)}). Received: {str(folder)!r}, "
            "which has none"
        )
    return found


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> Path:
    """Writes an RGB picture as PNG or JPEG, under a temporary name until it is whole.

    Raises:
        ValueError: If the suffix is not .png, .jpg or .jpeg, or the format cannot hold a picture of
            this size (JPEG ends at 65,500 pixels a side).
        OSError: If the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _WRITABLE:
        raise ValueError(
            f"A picture's name must end in one of {', '.join(_WRITABLE)}. Received: {str(path)!r}"
        )
    quality = [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    # The limit is for what is read: a picture in memory has passed it.
    rgb = as_rgb(image, max_pixels=None)
    try:
        good, data = cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), quality)
    except cv2.error as error:
        raise ValueError(f"{path} cannot be written: {error}") from error
    if not good:
        raise ValueError(
            f"{path} cannot be written: no {suffix} file holds a picture of "
            f"{rgb.shape[1]}×{rgb.shape[0]} pixels"
        )
    write_whole(path, data.tobytes())
    return path


def _as_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
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


def _announced_size(data: bytes) -> tuple[int, int]:
    """Returns (width, height) from the header of a JPEG, PNG, WebP or BMP file."""
    try:
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data.startswith(b"BM"):
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(width), abs(height)  # a negative height stores the rows from the top
    except struct.error as error:
        raise ValueError("it is truncated inside its header") from error
    if not data.startswith((b"\xff\xd8", b"\x89PNG\r\n\x1a\n")):
        raise ValueError(f"it must be JPEG, PNG, WebP or BMP. Received: first bytes {data[:8]!r}")
    return stated_size(data)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Reads the first chunk of a WebP file (RFC 9649, sections 2.5 to 2.7)."""
    kind = data[12:16]
    if kind == b"VP8X":
        low = struct.unpack_from("<HBHB", data, 24)
        return 1 + low[0] + (low[1] << 16), 1 + low[2] + (low[3] << 16)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError(f"damaged WebP: unknown first chunk {kind!r}")
