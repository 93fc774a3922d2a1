"""Packed arrays and TFRecord shards: round trips, damage, interruption."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tfalign import markup
from tfalign.data.pipeline import CropCache, ShardedCache, crop_cache, write_shards
from tfalign.data.pipeline.crop_cache import PER_FACE


def assert_equal(first, second):
    """Compares every field of two caches."""
    for name in PER_FACE:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
        assert getattr(first, name).dtype.kind == getattr(second, name).dtype.kind
    assert first.scheme is second.scheme
    assert first.image_size == second.image_size
    assert first.crop == second.crop


def damage(path, position):
    """Changes one byte of a file."""
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("mmap", [False, True])
def test_packed_round_trip(cache, tmp_path, mmap):
    cache.save(tmp_path / "deep" / "faces.npz")
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["faces.npy", "faces.npz"]
    loaded = CropCache.load(tmp_path / "deep" / "faces", mmap=mmap)
    assert_equal(cache, loaded)
    assert isinstance(loaded.images, np.memmap) == mmap


def test_packed_files_are_readable_with_numpy_alone(cache, tmp_path):
    cache.save(tmp_path / "faces")
    np.testing.assert_array_equal(np.load(tmp_path / "faces.npy"), cache.images)
    about = json.loads(str(np.load(tmp_path / "faces.npz")["about"]))
    assert about["scheme"] == cache.scheme.to_config()
    assert about["crop"] == cache.crop.get_config()


def with_own_scheme(cache):
    """The cache in a markup that no other process knows, with the name of one that it does."""
    names = tuple(f"own {i}" for i in range(98))
    own = markup.LandmarkScheme("ibug68", names, flip_pairs=((0, 5),), normalizer="side")
    return replace(cache, scheme=own)


def test_an_own_scheme_travels_with_the_faces(cache, tmp_path):
    pytest.importorskip("tensorflow")
    own = with_own_scheme(cache)
    own.save(tmp_path / "faces")
    assert CropCache.load(tmp_path / "faces").scheme == own.scheme
    write_shards(own, tmp_path / "shards", 2)
    assert ShardedCache(tmp_path / "shards").scheme == own.scheme
    assert ShardedCache(tmp_path / "shards").load().scheme == own.scheme


def test_files_of_version_0_1_name_their_scheme_and_still_open(cache, tmp_path):
    pytest.importorskip("tensorflow")
    cache.save(tmp_path / "faces")
    with np.load(tmp_path / "faces.npz") as table:
        arrays = dict(table)
    about = json.loads(str(arrays["about"]))
    about |= {"format": "tfalign crop cache 1", "scheme": "wflw98"}
    np.savez(tmp_path / "faces.npz", **{**arrays, "about": np.array(json.dumps(about))})
    assert_equal(cache, CropCache.load(tmp_path / "faces"))
    write_shards(cache, tmp_path / "shards", 2)
    manifest = json.loads((tmp_path / "shards/manifest.json").read_text())
    manifest |= {"format": "tfalign crop shards 1", "scheme": "wflw98"}
    (tmp_path / "shards/manifest.json").write_text(json.dumps(manifest))
    assert_equal(cache, ShardedCache(tmp_path / "shards").load())


def test_packed_damage_is_noticed(cache, tmp_path):
    cache.save(tmp_path / "faces")
    damage(tmp_path / "faces.npy", 5000)
    with pytest.raises(ValueError, match=r"faces\.npy must be the file"):
        CropCache.load(tmp_path / "faces")
    cache.save(tmp_path / "faces")
    with (tmp_path / "faces.npy").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"faces\.npy must be the file"):
        CropCache.load(tmp_path / "faces", mmap=True)
    (tmp_path / "faces.npz").write_bytes((tmp_path / "faces.npz").read_bytes()[:300])
    with pytest.raises(ValueError, match="damaged or no crop cache"):
        CropCache.load(tmp_path / "faces")
    np.savez(tmp_path / "faces.npz", something=np.zeros(3))
    with pytest.raises(ValueError, match="damaged or no crop cache"):
        CropCache.load(tmp_path / "faces")
    (tmp_path / "faces.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"faces\.npy"):
        CropCache.load(tmp_path / "faces")


def test_an_interrupted_save_leaves_the_old_files(cache, tmp_path, monkeypatch):
    cache.save(tmp_path / "faces")

    def interrupted(file, array):
        file.write(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(crop_cache.np, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.take([0]).save(tmp_path / "faces")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["faces.npy", "faces.npz"]
    assert_equal(cache, CropCache.load(tmp_path / "faces"))


def test_attributes_must_be_plain_data(cache, tmp_path):
    attributes = cache.attributes.copy()
    attributes[0] = {"pose": np.float32(3.5), "list": np.arange(2)}
    replace(cache, attributes=attributes).save(tmp_path / "faces")
    assert CropCache.load(tmp_path / "faces").attributes[0] == {"pose": 3.5, "list": [0, 1]}
    attributes[0] = {"pose": object()}
    with pytest.raises(TypeError, match="must be plain data"):
        replace(cache, attributes=attributes).save(tmp_path / "other")


@pytest.fixture
def shards(cache, tmp_path):
    """The cache as three shards."""
    pytest.importorskip("tensorflow")
    return write_shards(cache, tmp_path / "shards", 3, workers=2)


def test_shards_round_trip(cache, shards):
    assert len(shards.files) == 3
    assert len(shards) == 10
    assert_equal(cache, ShardedCache(shards.directory).load())


def test_shards_of_a_reader_are_built_piece_by_piece(samples, cache, tmp_path):
    pytest.importorskip("tensorflow")

    class Reader:
        """A reader of the samples that loses one face."""

        def __init__(self, records):
            self.records = records

        def __len__(self):
            return len(self.records)

        def __getitem__(self, chosen):
            return Reader(self.records[chosen])

        def try_load(self, record):
            return None if record == 6 else samples[record]

    written = write_shards(
        Reader(list(range(10))), tmp_path / "shards", 4, crop="300w", image_size=(32, 32)
    )
    assert len(written) == 9
    assert_equal(cache.take([0, 1, 2, 3, 4, 5, 7, 8, 9]), written.load())


def test_damaged_shards_are_noticed(shards):
    damage(shards.files[1], 9000)
    with pytest.raises(ValueError, match="faces-00001-of-00003.tfrecord is damaged"):
        shards.load()
    shards.files[1].unlink()
    with pytest.raises(FileNotFoundError, match="faces-00001-of-00003"):
        ShardedCache(shards.directory)


def test_unfinished_and_foreign_directories_are_refused(cache, shards, tmp_path):
    with pytest.raises(FileExistsError, match="already holds"):
        write_shards(cache, shards.directory, 2)
    manifest = shards.directory / "manifest.json"
    manifest.write_text(manifest.read_text()[:100])
    with pytest.raises(ValueError, match="damaged or no manifest"):
        ShardedCache(shards.directory)
    manifest.write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="`format` must be"):
        ShardedCache(shards.directory)
    manifest.unlink()
    with pytest.raises(FileNotFoundError, match="Not a finished directory"):
        ShardedCache(shards.directory)
    with pytest.raises(ValueError, match="`shards` must be between 1 and"):
        write_shards(cache, tmp_path / "many", 11)
