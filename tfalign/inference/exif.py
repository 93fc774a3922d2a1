"""Which way up a photograph was taken: the Exif orientation of JPEG, PNG and WebP files."""

from __future__ import annotations

import struct

import numpy as np

_ORIENTATION_TAG, _SHORT = 0x0112, 3


def orientation(data: bytes) -> int:
    """Returns the Exif orientation, 1 to 8, of a picture file; 1 (upright) where none is told.

    Metadata that are damaged tell nothing: they are no reason to refuse a picture that decodes.
    """
    block = _exif_block(data)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, start)
        for index in range(entries):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, start + 2 + 12 * index)
            if tag == _ORIENTATION_TAG and kind == _SHORT:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1  # the list of tags ends before the file says it does
    return 1


def upright(image: np.ndarray, value: int) -> np.ndarray:
    """Turns stored pixels (H, W, …) the way an orientation 1 to 8 asks (Exif 2.3, section 4.6.4).

    Values 5 to 8 exchange width and height.
    """
    if value >= 5:
        image = np.swapaxes(image, 0, 1)
    # 5 to 8 are 1, 4, 2 and 3 after transposing.
    after = {5: 1, 6: 2, 7: 3, 8: 4}.get(value, value)
    if after in (2, 3):
        image = image[:, ::-1]
    if after in (3, 4):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _exif_block(data: bytes) -> bytes:
    """Returns the TIFF structure that holds the Exif tags, or b"" where there is none."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_block(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        # (length, name, content, checksum) until the end.
        return _chunk(data, 8, b"eXIf", ">I", length_first=True)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        block = _chunk(data, 12, b"EXIF", "<I", length_first=False)
        return block.removeprefix(b"Exif\0\0")  # some writers put JPEG's prefix there
    return b""


def _jpeg_block(data: bytes) -> bytes:
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0xDA:
            break
        (length,) = struct.unpack_from(">H", data, position + 2)
        segment = data[position + 4 : position + 2 + length]
        if marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            return segment[6:]
        position += 2 + length
    return b""


def _chunk(data: bytes, position: int, wanted: bytes, number: str, length_first: bool) -> bytes:
    """Returns the content of the first chunk of a name in a PNG or RIFF file."""
    while position + 8 <= len(data):
        first, second = data[position : position + 4], data[position + 4 : position + 8]
        length_bytes, name = (first, second) if length_first else (second, first)
        (length,) = struct.unpack(number, length_bytes)
        if name == wanted:
            return data[position + 8 : position + 8 + length]
        # PNG chunks end in a checksum, RIFF chunks are filled up to an even length.
        position += 8 + length + (4 if length_first else length % 2)
    return b""
