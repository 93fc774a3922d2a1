"""The lazy sequence: access, threads, policies at decoding, fingerprints, splits."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tfalign.data.readers import ytf
from tfalign.data.readers.reader import Reader, expand_splits


@pytest.fixture
def ytf_root(formats, tmp_path, rng):
    formats["ytf"].build(tmp_path, rng)
    return tmp_path


def test_length_index_slice_and_load_agree(ytf_root):
    reader = ytf.read(ytf_root)
    assert len(reader) == 2
    names = [sample.name for sample in reader]
    assert [reader[0].name, reader[-1].name] == names
    assert [sample.name for sample in reader[1:]] == names[1:]
    np.testing.assert_array_equal(reader.load(reader.records[1]).image, reader[1].image)
    with pytest.raises(IndexError):
        reader[2]


def test_samples_do_not_share_memory_with_records(ytf_root):
    reader = ytf.read(ytf_root)
    reader[0].landmarks[:] = 0
    assert reader[0].landmarks.min() > 0


def test_threads_decode_the_same(ytf_root, formats, tmp_path, rng):
    formats["cofw"].build(tmp_path / "cofw", rng)
    reader = formats["cofw"].read(tmp_path / "cofw")
    with ThreadPoolExecutor(4) as pool:
        samples = list(pool.map(reader.try_load, reader.records * 20))
    for sample, record in zip(samples, reader.records * 20, strict=True):
        np.testing.assert_array_equal(sample.image, reader.load(record).image)


def test_readers_can_go_to_other_processes(ytf_root):
    reader = ytf.read(ytf_root, on_error="skip")
    copy = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(copy[0].image, reader[0].image)
    assert copy.fingerprint() == reader.fingerprint()
    sorted((ytf_root / "training").iterdir())[0].unlink()
    assert len(list(copy)) == 1
    assert copy.report.counts == {"missing-image": 1}


def test_an_image_found_bad_at_decoding(ytf_root):
    bad = sorted((ytf_root / "training").iterdir())[0]
    bad.write_bytes(bad.read_bytes()[:-30])
    with pytest.raises(ValueError, match="damaged or truncated JPEG"):
        list(ytf.read(ytf_root))
    reader = ytf.read(ytf_root, on_error="skip")
    assert [len(list(reader)) for _ in range(2)] == [1, 1]  # twice the same, counted once
    assert reader.report.counts == {"unreadable-image": 1}
    assert reader.report.skipped[0].where.endswith(".csv:2")
    with pytest.raises(ValueError, match="truncated JPEG"):
        reader.load(reader.records[0])


def test_fingerprint_notices_annotations_and_file_sizes(ytf_root):
    before = ytf.read(ytf_root).fingerprint()
    assert before == ytf.read(ytf_root).fingerprint()
    assert ytf.read(ytf_root)[:1].fingerprint() != before
    image = sorted((ytf_root / "training").iterdir())[0]
    image.write_bytes(image.read_bytes() + b"\0")
    grown = ytf.read(ytf_root).fingerprint()
    table = ytf_root / ytf.FILES["training"]
    header, rows = table.read_text().split("\n", 1)
    table.write_text(f"{header}\n{rows.replace(',1', ',2')}")
    assert len({before, grown, ytf.read(ytf_root).fingerprint()}) == 3


def test_a_face_is_known_by_its_points_whatever_their_last_digits(ytf_root):
    reader = ytf.read(ytf_root)

    def moved(change):
        return reader.subset(
            [replace(record, landmarks=change(record.landmarks)) for record in reader.records]
        ).digests()

    known = reader.digests()
    assert len(set(known)) == len(reader)
    for towards in (-np.inf, np.inf):
        assert moved(lambda points, to=towards: np.nextafter(points, np.float32(to))) == known
    assert not set(moved(lambda points: points + np.float32(0.5))) & set(known)


def test_names_are_unique(ytf_root):
    reader = ytf.read(ytf_root)
    twin = pickle.loads(pickle.dumps(reader.records[0]))
    with pytest.raises(ValueError, match="names must be unique"):
        Reader("ytf", "ibug68", [*reader.records, twin], reader.report)


@pytest.mark.parametrize(
    ("splits", "expanded"),
    [(None, ["a"]), ("b", ["b"]), (["b", "a"], ["b", "a"]), ("all", ["a", "b"])],
)
def test_splits_expand(splits, expanded):
    assert expand_splits(splits, ["a", "b"], {"all": ("a", "b")}, ["a"]) == expanded


@pytest.mark.parametrize("splits", ["c", [], ["a", "a"], ["a", "all"]])
def test_splits_are_checked(splits):
    with pytest.raises(ValueError, match=r"`splits` must.*Received: splits="):
        expand_splits(splits, ["a", "b"], {"all": ("a", "b")}, ["a"])
