"""What the tests of the commands share: small models, odd pictures, and running the program."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tfalign.data import synthetic
from tfalign.models import GRegNet
from tfalign_command import main


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def tfalign(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return run


def is_one_line(err: str) -> bool:
    """Whether an error was told in one line, without a traceback."""
    told = [line for line in err.strip().splitlines() if line.startswith("error: ")]
    return len(told) == 1 and err.strip().splitlines()[-1] == told[0] and "Traceback" not in err


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model of 68 points; untrained, so its points lie near the mean shape."""
    model = GRegNet(
        68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", name="small", scheme="ibug68"
    )
    path = tmp_path_factory.mktemp("models") / "small.keras"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def face() -> np.ndarray:
    """A rendered face that OpenCV's detector finds, (256, 256, 3) uint8 RGB."""
    from tfalign.inference import HaarDetector

    detector = HaarDetector()
    for index in range(40):
        image = synthetic.render(3, index, 256).image
        if len(detector(image)) == 1:
            return image
    raise AssertionError("none of 40 rendered faces was found")


def write_rgb(path: Path, image: np.ndarray) -> Path:
    """Writes (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey by the path's suffix."""
    if image.ndim == 3:
        image = np.concatenate([image[..., 2::-1], image[..., 3:]], axis=-1)
    assert cv2.imwrite(str(path), image)
    return path


def flat_png(path: Path, width: int, height: int) -> Path:
    """Writes a black grey PNG of any size without holding its pixels in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(9)
    row = bytes(width + 1)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


def with_orientation(path: Path, orientation: int) -> Path:
    """Puts an EXIF orientation into a JPEG file."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + bytes(4)
    segment = b"Exif\x00\x00" + tiff
    content = path.read_bytes()
    marker = b"\xff\xe1" + struct.pack(">H", len(segment) + 2)
    path.write_bytes(content[:2] + marker + segment + content[2:])
    return path
