"""Decoding: pixels against Pillow, stored order, truncation, damage, bombs."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tfalign.data.readers.image import MAX_PIXELS, ImageFile, decode_rgb
from tfalign.inference.images import read_image


def encode(pixels: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def pixels(rng) -> np.ndarray:
    return rng.integers(0, 256, (20, 24, 3), np.uint8)


def test_png_is_rgb_in_order(pixels):
    np.testing.assert_array_equal(decode_rgb(encode(pixels, "PNG")), pixels)


def test_gray_and_alpha_become_three_channels(pixels):
    gray = pixels[..., 0]
    np.testing.assert_array_equal(
        decode_rgb(encode(gray, "PNG")), np.repeat(gray[..., None], 3, axis=2)
    )
    alpha = np.concatenate([pixels, np.full((20, 24, 1), 255, np.uint8)], axis=2)
    np.testing.assert_array_equal(decode_rgb(encode(alpha, "PNG")), pixels)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("colours", [1, 3, 4])
def test_16_bits_are_read_as_photographs_are(pixels, bits, colours, tmp_path):
    """A camera's 12 bits in a PNG of 16, as OpenCV writes it: not nearly black."""
    value = pixels.astype(np.uint16)
    value[0, 0] = 255
    alpha = np.full((20, 24, 1), 65535, np.uint16)
    deep = np.concatenate([value << (bits - 8), alpha], axis=2)[..., :colours]
    bgr = deep if colours == 1 else deep[..., [2, 1, 0, 3][:colours]]
    path = tmp_path / "deep.png"
    assert cv2.imwrite(str(path), bgr)
    expected = np.broadcast_to(value[..., : min(colours, 3)], (20, 24, 3))
    found = decode_rgb(path.read_bytes())
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(read_image(path), found)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_agrees_with_pillow(rng, progressive):
    smooth = np.asarray(
        Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8)).resize((48, 40), 3)
    )
    data = encode(smooth, "JPEG", quality=95, progressive=progressive, subsampling=0)
    theirs = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert np.abs(decode_rgb(data).astype(int) - theirs).max() <= 2  # two inverse transforms


def test_exif_orientation_is_ignored(pixels):
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to show"
    assert decode_rgb(encode(pixels, "JPEG", exif=exif)).shape == (20, 24, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_truncation_is_refused(pixels, kind):
    data = encode(pixels, kind)
    for length in range(len(data) - 1):
        with pytest.raises(ValueError, match=r"truncated|damaged|must be JPEG or PNG"):
            decode_rgb(data[:length])


def test_every_flipped_bit_of_a_png_is_noticed(pixels):
    data = encode(pixels[:6, :6], "PNG")
    for position in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(ValueError, match=r"truncated|damaged|must be JPEG or PNG"):
            decode_rgb(bytes(damaged))


def test_decompression_bomb_is_refused_before_decoding():
    side = int(MAX_PIXELS**0.5) + 1

    def chunk(name: bytes, body: bytes) -> bytes:
        tail = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + tail

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match=f"at most|between 1 and {MAX_PIXELS}"):
        decode_rgb(bomb)


def test_other_formats_are_refused(pixels):
    with pytest.raises(ValueError, match="JPEG or PNG"):
        decode_rgb(encode(pixels, "BMP"))


def test_a_file_names_its_annotation(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(FileNotFoundError, match=r"list\.txt:3.*a\.png"):
        ImageFile(path, "list.txt:3").load()
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"list\.txt:3.*a\.png.*JPEG or PNG"):
        ImageFile(path, "list.txt:3").load()
    assert ImageFile(path, "").identity() == "8"
