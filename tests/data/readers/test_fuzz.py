"""Damaged data sets: a reader gives the right sample or a clean error, never anything else.

What "right" means depends on what a format can show. Compressed MATLAB files and PNG images carry
checksums: whatever is returned must equal the undamaged original. Text has none, so a digit that
became another digit is what the file now says; the oracle then is an independent reading of the
damaged bytes: the sample's numbers must stand there in one run, in order. JPEG damage may change
pixels, never the annotation.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

CORRUPTIONS = 300  # of the annotations of each format; the images get 100 more
JUNK = (b"nan", b"-inf", b"1e999", b"", b"abc", b"1_0", "٣".encode(), b"12.5.1", b"0x1F", b"--3")
NUMBER = re.compile(rb"[-+]?[0-9]+(?:\.[0-9]+)?")


def damage_any(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage that any file can suffer: flipped, overwritten, lost, inserted bytes; truncation."""
    at = int(rng.integers(len(data)))
    length = int(rng.integers(1, 9))
    noise = rng.bytes(length)
    match int(rng.integers(6)):
        case 0:
            return data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1 :]
        case 1:
            return data[:at] + noise + data[at + length :]
        case 2:
            return data[:at] + data[at + length :]
        case 3:
            return data[:at] + noise + data[at:]
        case 4:
            return data[:at]
        case _:
            return data[:at] + bytes(length) + data[at + length :]


def damage_text(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage of tokens, lines and encoding."""
    tokens = re.split(rb"([ ,\t\r\n]+)", data)
    i, j = (2 * int(k) for k in rng.integers(0, (len(tokens) + 1) // 2, 2))
    lines = data.splitlines(keepends=True)
    row, other = (int(k) for k in rng.integers(0, len(lines), 2))
    match int(rng.integers(9)):
        case 0:
            tokens[i], tokens[j] = tokens[j], tokens[i]
            return b"".join(tokens)
        case 1 | 2:
            tokens[i] = JUNK[int(rng.integers(len(JUNK)))]
            return b"".join(tokens)
        case 3:
            return b"".join(tokens[:i] + tokens[i + 2 :])
        case 4:
            return b"".join(lines[:row] + lines[row + 1 :])
        case 5:
            return b"".join([*lines[:row], lines[other], *lines[row:]])
        case 6:
            tokens[i] += "é".encode("latin-1")
            return b"".join(tokens)
        case 7:
            return data.decode("utf-8").encode("utf-16")
        case _:
            return damage_any(data, rng)


def samples_or_error(native, root: Path):
    """Reads everything with both policies and returns the samples of skipping.

    Anything but a ValueError or a FileNotFoundError ends the test.
    """
    try:
        return list(native.read(root))
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
    assert str(root) in message or "`worker`" in message, message
    try:
        reader = native.read(root, on_error="skip")
    except (ValueError, FileNotFoundError):  # a file without which nothing can be read
        return []
    samples = list(reader)
    assert reader.report.skipped
    return samples


def stated(native, sample, numbers: list[float]) -> bool:
    """Whether the sample's numbers stand in one run among the file's."""
    shift = native.shift
    points = sample.landmarks.astype(np.float64) - shift
    if native.runs is not None:
        runs = native.runs(sample, points, sample.box - shift)
    elif "types" in sample.attributes:  # LFPW: x, y, t; the ears lie between the mouth and the chin
        points = np.column_stack([points, sample.attributes["types"]])
        runs = [points[:28].ravel(), points[28:].ravel()]
    elif sample.box_source == "file":
        runs = [np.concatenate([points.ravel(), sample.box - shift])]
    else:
        runs = [points.ravel()]
    text = np.asarray(numbers)
    return all(
        any(
            np.allclose(
                text[start : start + len(run)][~np.isnan(run)],
                run[~np.isnan(run)],
                rtol=1e-6,
                atol=1e-6,
            )
            for start in np.flatnonzero(np.isnan(run[0]) | (np.abs(text - run[0]) < 1e-5))
            if start + len(run) <= len(text)
        )
        for run in runs
    )


def unchanged(sample, faces, pixels: bool = True) -> bool:
    face = faces.get(sample.name)
    return face is not None and all(
        np.array_equal(getattr(sample, field), getattr(face, field))
        for field in ("landmarks", "box", "visible", *(("image",) if pixels else ()))
    )


@pytest.fixture
def pristine(native, tmp_path, rng):
    """A data set and its faces; the root may be damaged by the test."""
    root = tmp_path / "set"
    root.mkdir()
    return root, native.build(root, rng)


def test_damaged_annotations_give_the_right_sample_or_a_clean_error(native, pristine, rng):
    root, faces = pristine
    files = [path for pattern in native.annotations for path in sorted(root.glob(pattern))]
    contents = {path: path.read_bytes() for path in files}
    refused = 0
    for trial in range(CORRUPTIONS):
        path = files[trial % len(files)]
        damage = damage_any if native.binary else damage_text
        if trial % 50 == 49 and not native.optional:
            path.unlink()
        else:
            path.write_bytes(damage(contents[path], rng))
        samples = samples_or_error(native, root)
        refused += len(samples) < len(faces)
        changed = [sample for sample in samples if not unchanged(sample, faces)]
        if native.binary:
            assert not changed, f"trial {trial}: {changed[0].name} differs from the original"
        elif changed:
            said = b"\n".join(file.read_bytes() for file in files if file.exists())
            # A flipped byte can also turn a letter of a path into a digit: such runs of digits
            # do no harm to the search for a run of coordinates.
            numbers = [float(token) for token in NUMBER.findall(said)]
            for sample in changed:
                assert stated(native, sample, numbers), (
                    f"trial {trial}: {sample.name} is not in the file"
                )
        path.write_bytes(contents[path])
    assert refused > CORRUPTIONS // 4  # the damage was real
    assert all(unchanged(sample, faces) for sample in native.read(root))  # and is undone


@pytest.mark.slow
def test_damaged_images_never_change_an_annotation(native, pristine, rng):
    root, faces = pristine
    images = [path for path in sorted(root.rglob("*")) if path.suffix in (".png", ".jpg")]
    if not images:
        pytest.skip("the images of this set lie inside the annotation file")
    for trial in range(100):
        path = images[trial % len(images)]
        original = path.read_bytes()
        match trial % 10:
            case 0:
                path.unlink()
            case 1:
                path.write_bytes(b"")
            case 2:
                path.write_bytes(b"<html>404 Not Found</html>")
            case 3 | 4:
                path.write_bytes(original[: int(rng.integers(1, len(original) - 1))])
            case _:
                path.write_bytes(damage_any(original, rng))
        for sample in samples_or_error(native, root):
            assert unchanged(sample, faces, pixels=path.suffix == ".png"), (trial, sample.name)
        path.write_bytes(original)
    shutil.rmtree(root)
