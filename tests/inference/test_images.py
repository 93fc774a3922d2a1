import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from tfalign.inference import images, read_image, write_image
from tfalign.inference.images import as_rgb, decode_image


@pytest.fixture
def photo(rng):
    return cv2.resize(rng.integers(0, 256, (5, 8, 3)).astype(np.uint8), (40, 24))


def encoded(image, form, **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def chunk(name, content):
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def bomb(width, height):
    """A few kilobytes of PNG that announce, and contain, a picture of that size."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    content = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", content), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM"])
def test_formats_by_content_as_pillow_reads_them(form, photo, tmp_path):
    data = encoded(Image.fromarray(photo), form)
    path = tmp_path / "named.anything"
    path.write_bytes(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_allclose(read_image(path).astype(int), expected, atol=1)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("value", range(1, 9))
def test_exif_orientation_as_pillow_turns_it(form, value, photo):
    exif = Image.Exif()
    exif[0x0112] = value
    data = encoded(Image.fromarray(photo), form, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    np.testing.assert_allclose(decode_image(data).astype(int), np.asarray(expected), atol=1)


def test_damaged_exif_is_no_reason_to_refuse(photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(photo), "PNG", exif=exif)
    start = data.index(b"eXIf")
    content = data[start + 4 : start + 12] + b"\xff\xff"
    length = struct.unpack(">I", data[start - 4 : start])[0]
    cut = data[: start - 4] + chunk(b"eXIf", content) + data[start + 8 + length :]
    assert decode_image(cut).shape == (24, 40, 3)


def test_grey_alpha_palette_and_sixteen_bits(photo):
    grey = Image.fromarray(photo[..., 0])
    np.testing.assert_array_equal(decode_image(encoded(grey, "PNG"))[..., 2], photo[..., 0])
    alpha = np.dstack([photo, np.linspace(0, 255, 40)[None].repeat(24, 0).astype(np.uint8)])
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        data = encoded(Image.fromarray(alpha), form, **options)
        white = Image.new("RGBA", (40, 24), "white")
        expected = Image.alpha_composite(white, Image.fromarray(alpha)).convert("RGB")
        np.testing.assert_allclose(decode_image(data).astype(int), np.asarray(expected), atol=1)
    palette = Image.fromarray(photo).convert("P")
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(decode_image(encoded(palette, "PNG")), expected)
    deep = photo.astype(np.uint16) * 257
    good, data = cv2.imencode(".png", cv2.cvtColor(deep, cv2.COLOR_RGB2BGR))
    assert good
    np.testing.assert_array_equal(decode_image(data.tobytes()), photo)


def test_one_pixel():
    data = encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")
    np.testing.assert_array_equal(decode_image(data), [[[1, 2, 3]]])


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "JPEG"])
def test_pixels_are_counted_before_decoding(form, photo, monkeypatch):
    data = encoded(Image.fromarray(photo), form)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ValueError, match=r"between 1 and 900 pixels .* Received: 40×24"):
        decode_image(data, max_pixels=900)


def test_deep_pictures_are_scaled_by_their_real_range(photo):
    # A 12-bit camera's values in a 16-bit file: the upper byte alone would be nearly black.
    deep = photo.astype(np.uint16) << 4
    deep[0, 0] = 4095
    for picture in (deep, deep[..., 0]):
        rgb = picture[..., ::-1] if picture.ndim == 3 else picture
        data = {form: cv2.imencode(form, rgb)[1].tobytes() for form in (".png", ".tiff")}
        for content in data.values():
            expected = (picture if picture.ndim == 3 else picture[..., None]) >> 4
            np.testing.assert_array_equal(
                decode_image(content), np.broadcast_to(expected, photo.shape)
            )
    transparent = np.dstack([deep, np.full(deep.shape[:2], 65535, np.uint16)])
    np.testing.assert_array_equal(as_rgb(transparent), deep >> 4)


def test_pillow_pictures_bring_their_orientation_and_colours(photo):
    picture = Image.fromarray(photo)
    picture.getexif()[0x0112] = 6
    turned = Image.open(io.BytesIO(encoded(picture, "PNG", exif=picture.getexif())))
    np.testing.assert_array_equal(as_rgb(turned), np.rot90(photo, -1))
    cmyk = Image.fromarray(photo).convert("CMYK")
    np.testing.assert_allclose(as_rgb(cmyk).astype(int), photo, atol=2)
    np.testing.assert_array_equal(as_rgb(cmyk), decode_image(encoded(cmyk, "TIFF")))
    with pytest.raises(ValueError, match="between 1 and 10 pixels"):
        as_rgb(cmyk, max_pixels=10)
    palette = Image.fromarray(photo).convert("P")
    np.testing.assert_array_equal(as_rgb(palette), np.asarray(palette.convert("RGB")))


def test_heic_is_read_or_the_remedy_is_told(photo, monkeypatch, tmp_path):
    header = bytes.fromhex("00000018") + b"ftypheic" + bytes(12)
    (tmp_path / "IMG.HEIC").write_bytes(header)
    with pytest.raises(ValueError, match=r"IMG\.HEIC"):
        read_image(tmp_path / "IMG.HEIC")
    monkeypatch.setattr(images, "_heif_is_read", lambda: False)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[media\]'"):
        read_image(tmp_path / "IMG.HEIC")
    monkeypatch.undo()
    pytest.importorskip("pillow_heif").register_heif_opener()
    grey = photo[..., :1].repeat(3, axis=2)  # colours are stored at half the resolution
    data = encoded(Image.fromarray(grey), "HEIF", quality=100)
    np.testing.assert_allclose(decode_image(data).astype(int), grey, atol=3)


def test_programs_are_not_started_for_a_picture(tmp_path):
    # Pillow hands PostScript to Ghostscript.
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(ValueError, match="images must be"):
        read_image(tmp_path / "a.jpg")


def test_a_hundred_megapixels_are_refused_with_the_limit(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(10000, 10000))
    assert path.stat().st_size < 50_000
    with pytest.raises(ValueError, match=r"bomb\.png .*\(67 megapixels.*10000×10000 = 100 mega"):
        read_image(path)
    # Small ones of the same make are pictures: it is the size alone that is refused.
    assert decode_image(bomb(64, 48)).shape == (48, 64, 3)


def test_what_is_no_image(tmp_path, photo):
    with pytest.raises(FileNotFoundError, match="must exist"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ValueError, match="regular file"):
        read_image(tmp_path)
    with pytest.raises(ValueError, match="regular file"):
        read_image("/dev/zero")
    data = encoded(Image.fromarray(photo), "JPEG")
    for name, content in (
        ("text.jpg", b"no picture"),
        ("empty.png", b""),
        ("cut.jpg", data[: len(data) // 2]),
        ("head.bmp", b"BM12"),
        ("damaged.webp", b"RIFF\x20\0\0\0WEBPVP9 " + bytes(20)),
        ("lies.bmp", encoded(Image.fromarray(photo), "BMP")[:60]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read_image(tmp_path / name)
    sparse = tmp_path / "huge.jpg"
    with sparse.open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(ValueError, match="at most .* bytes"):
        read_image(sparse)


def test_arrays():
    grey = np.array([[0, 255]], np.uint8)
    np.testing.assert_array_equal(as_rgb(grey)[..., 1], grey)
    np.testing.assert_array_equal(as_rgb(grey[..., None] > 0)[..., 0], grey)
    np.testing.assert_array_equal(as_rgb(grey.astype(np.uint16) * 257)[..., 0], grey)
    np.testing.assert_array_equal(as_rgb(grey / 255.0)[..., 0], grey)
    clear = np.zeros((1, 2, 4), np.uint8)
    assert (as_rgb(clear) == 255).all()
    rgb = np.zeros((2, 3, 3), np.uint8)
    assert as_rgb(rgb) is rgb


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), "between 1 and"),
        (np.full((2, 2, 3), 7.0), "from 7 to 7"),
        (np.full((2, 2, 3), np.nan), r"in \[0, 1\]"),
        (np.zeros((2, 2, 3), np.int32), "dtype=int32"),
        (np.array("x"), "shape"),
    ],
)
def test_arrays_that_are_no_images(array, message):
    with pytest.raises(ValueError, match=message):
        as_rgb(array)


def test_pictures_of_any_size_are_written_if_their_format_holds_them(tmp_path):
    # More pixels than are read without asking.
    wide = np.broadcast_to(np.uint8(90), (8200, 8200, 3))
    with pytest.raises(ValueError, match="between 1 and"):
        as_rgb(wide)
    path = write_image(tmp_path / "large.jpg", wide)
    assert read_image(path, max_pixels=wide.size // 3).shape == wide.shape
    # JPEG counts a side in 16 bits.
    with pytest.raises(ValueError, match=r"long\.jpg cannot be written"):
        write_image(tmp_path / "long.jpg", np.zeros((1, 66_000, 3), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["large.jpg"]


def test_pictures_are_written_whole_or_not_at_all(tmp_path, photo, monkeypatch):
    path = write_image(tmp_path / "a.png", photo)
    np.testing.assert_array_equal(read_image(path), photo)
    with pytest.raises(ValueError, match=r"\.gif"):
        write_image(tmp_path / "a.gif", photo)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_image(tmp_path / "folder.png", photo)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "folder.png"]


@pytest.mark.parametrize("suffix", [".jp2", ".png"])
@pytest.mark.parametrize("bits", [10, 16])
def test_sixteen_bit_colour_is_read_by_its_real_range(tmp_path, rng, suffix, bits):
    coarse = rng.uniform(0, 1, (6, 8, 3)).astype(np.float32)
    values = cv2.resize(coarse, (80, 60)) * (2**bits - 1)
    values[0, 0] = 2**bits - 1
    path = tmp_path / f"deep{suffix}"
    lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000] if suffix == ".jp2" else []
    assert cv2.imwrite(str(path), values[..., ::-1].astype(np.uint16), lossless)
    difference = read_image(path) - values / 2 ** (bits - 8)
    assert np.abs(difference).max() <= 1
