"""Crops on disk give the batches of crops in memory, are made once and stay out of memory."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tfalign.data import sets, synthetic
from tfalign.data.pipeline import (
    CropCache,
    ImagesOnDisk,
    cache_on_disk,
    concatenate,
    device_batches,
    evaluation_arrays,
    on_disk,
    training_dataset,
)
from tfalign.data.readers import Reader, ReadingReport, wflw
from tfalign.data.readers.image import ImageFile
from tfalign.data.readers.record import build_record
from tfalign.markup import LandmarkScheme
from tfalign.training.feed import cache_fingerprint


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = synthetic.write_wflw(tmp_path_factory.mktemp("faces"), 11, 1, size=96, seed=3)
    return wflw.read(folder, "train")


@pytest.fixture(scope="module")
def memory(faces: Reader) -> CropCache:
    return CropCache.build(faces, "wflw", (32, 48))


@pytest.fixture
def disk(faces: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CropCache:
    monkeypatch.setattr(on_disk, "_FACES", 4)  # three parts, the last one smaller
    return cache_on_disk(faces, tmp_path, "wflw", (32, 48))


@pytest.mark.slow
def test_the_same_faces(memory: CropCache, disk: CropCache, tmp_path: Path) -> None:
    assert isinstance(disk.images, ImagesOnDisk)
    np.testing.assert_array_equal(disk.images[:], memory.images)
    rows = np.array([7, 0, 7, 10])
    np.testing.assert_array_equal(disk.images[rows], memory.images[rows])
    np.testing.assert_array_equal(disk.images[2], memory.images[2])
    np.testing.assert_array_equal(disk.images[-3::2], memory.images[-3::2])
    np.testing.assert_array_equal(disk.take(rows).images, memory.images[rows])
    for name in ("landmarks", "visible", "annotated", "names", "boxes", "source_from_image"):
        np.testing.assert_array_equal(getattr(disk, name), getattr(memory, name))
    for received, expected in zip(evaluation_arrays(disk), evaluation_arrays(memory), strict=True):
        np.testing.assert_array_equal(received, expected)
    assert cache_fingerprint(disk) == cache_fingerprint(memory)
    # NumPy and the class itself open what was written.
    (file,) = tmp_path.glob("*/faces.npy")
    np.testing.assert_array_equal(np.load(file), memory.images)
    np.testing.assert_array_equal(CropCache.load(file).images, memory.images)


@pytest.mark.slow
def test_the_same_batches(memory: CropCache, disk: CropCache) -> None:
    on_tensorflow = keras.backend.backend() == "tensorflow"
    make = training_dataset if on_tensorflow else device_batches
    for epoch in (0, 5):
        batches = [make(cache, 3, "greglref", seed=1, epoch=epoch) for cache in (disk, memory)]
        for received, expected in zip(*batches, strict=True):
            for one, other in zip(received, expected, strict=True):
                np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_an_image_that_was_changed_at_equal_size_is_cropped_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    points = [[20, 20], [40, 20], [30, 40]]
    record = build_record(
        name="a.png", image=ImageFile(file, ""), points=points, num_points=3, where="", shift=0
    )
    reader = Reader("set", LandmarkScheme.unnamed(3), [record], ReadingReport())

    def crops(grey: int) -> np.ndarray:
        Image.fromarray(np.full((64, 64, 3), grey, np.uint8)).save(file, compress_level=0)
        os.utime(file, ns=(0, grey))  # Discs and tests may be faster than a clock's ticks.
        return np.asarray(cache_on_disk(reader, tmp_path / "cache", "300w", (16, 16)).images[:])

    assert crops(50).max() == 50
    before = reader.fingerprint()
    assert crops(200).max() == 200
    assert reader.fingerprint() == before  # which other copies of the set have, too


def test_faces_that_another_run_left_out_are_not_left_out_in_silence(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.png", "b.png")]
    Image.fromarray(np.full((64, 64, 3), 50, np.uint8)).save(files[0])
    picture = files[0].read_bytes()
    files[1].write_bytes(bytes(len(picture)))
    records = [
        build_record(
            name=file.name, image=ImageFile(file, ""), points=[[20, 20], [40, 20], [30, 40]],
            num_points=3, where="", shift=0,
        )
        for file in files
    ]  # fmt: skip

    def crops(on_error: str) -> tuple[CropCache, Reader]:
        reader = Reader("set", LandmarkScheme.unnamed(3), records, ReadingReport(on_error))
        return cache_on_disk(reader, tmp_path / "cache", "300w", (16, 16)), reader

    for _ in range(2):  # made, and then found
        cache, reader = crops("skip")
        assert cache.names.tolist() == ["a.png"]
        assert ["b.png" in problem.message for problem in reader.report.skipped] == [True]
    with pytest.raises(ValueError, match=r"b\.png"):
        crops("raise")
    # A disk that failed then, and works again.
    changed = files[1].stat().st_mtime_ns
    files[1].write_bytes(picture)
    os.utime(files[1], ns=(changed, changed))
    with pytest.raises(ValueError, match=r"delete the folder.*without 'b\.png'"):
        crops("skip")
    (folder,) = tmp_path.glob("cache/*")
    shutil.rmtree(folder)
    assert crops("raise")[0].names.tolist() == ["a.png", "b.png"]


@pytest.mark.slow
def test_made_once(faces: Reader, disk: CropCache, tmp_path: Path, monkeypatch) -> None:
    def build(*_: object) -> None:
        raise AssertionError("the faces were cropped again")

    monkeypatch.setattr(on_disk, "_build", build)
    again = cache_on_disk(faces, tmp_path, "wflw", (32, 48))
    np.testing.assert_array_equal(again.images[:3], disk.images[:3])
    with pytest.raises(AssertionError):  # another size is another cache
        cache_on_disk(faces, tmp_path, "wflw", (32, 32))
    with pytest.raises(AssertionError):
        cache_on_disk(faces[:9], tmp_path, "wflw", (32, 48))


def test_an_unfinished_one_is_made_anew(faces: Reader, tmp_path: Path, monkeypatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(on_disk, "write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            cache_on_disk(faces, tmp_path, "wflw", (32, 48))
    assert not list(tmp_path.glob("*/*.npz"))
    assert len(cache_on_disk(faces, tmp_path, "wflw", (32, 48))) == len(faces)


def test_joined(memory: CropCache, disk: CropCache) -> None:
    both = concatenate([disk, disk])
    assert isinstance(both.images, ImagesOnDisk)
    rows = np.array([12, 3, 21, 0])
    np.testing.assert_array_equal(both.images[rows], memory.images[rows % len(memory)])
    mixed = concatenate([disk, memory])
    np.testing.assert_array_equal(mixed.images[rows], memory.images[rows % len(memory)])


def test_a_file_cut_short_is_an_error(disk: CropCache, tmp_path: Path) -> None:
    (file,) = tmp_path.glob("*/faces.npy")
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 5)
    with pytest.raises(OSError, match="shorter"):
        disk.images[10]
    with pytest.raises(ValueError, match="bytes"):
        CropCache.load(file, mmap=True)


def test_crops_of_tight_boxes_are_made_anew_where_the_sets_boxes_differ(faces, tmp_path):
    # As of a file whose boxes were corrected: the crops stay, errors are divided by its boxes.
    tight = sets.tight_boxes(faces[:3])
    grown = tight.subset([replace(r, own_box=r.box + [-9, -9, 9, 9]) for r in tight.records])
    for reader in (tight, grown):
        cache = cache_on_disk(reader, tmp_path, "wflw", (32, 32))
        assert np.array_equal(cache.boxes, np.float32([r.own_box for r in reader.records]))
