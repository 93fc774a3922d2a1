"""Helen-194: lists of names, annotation files, truncation."""

from __future__ import annotations

import shutil

import pytest

from tfalign.data.readers import helen194


@pytest.fixture
def root(formats, tmp_path, rng):
    formats["helen194"].build(tmp_path, rng)
    return tmp_path


def test_splits_follow_the_lists(root):
    names = [record.name for record in helen194.read(root, "test").records]
    assert names == ["helen_2/2267613_1.jpg"]
    assert len(helen194.read(root, ["train"])) == len(helen194.read(root)) == 2
    (root / "trainnames.txt").write_text("2267613_1\n999_1\n")
    with pytest.raises(FileNotFoundError, match=r"trainnames\.txt:2: no file in annotation/"):
        helen194.read(root, "train")
    report = helen194.read(root, "train", on_error="skip").report
    assert report.counts == {"missing-annotation": 1}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("malformed-line", lambda data: data[:-5]),
        ("malformed-line", lambda data: data.replace(b" , ", b" ; ", 1)),
        ("malformed-line", lambda data: b""),
        ("malformed-line", lambda data: data.replace(b".", b"x", 1)),
        ("wrong-number-of-points", lambda data: b"\n".join(data.split(b"\n")[:-2]) + b"\n"),
        ("wrong-encoding", lambda data: data.replace(b".", b"\xe9", 1)),
        ("duplicate", lambda data: data.replace(b"2267613_1", b"30844800_1")),
        ("missing-image", lambda data: data.replace(b"2267613_1", b"226_1")),
    ],
)
def test_bad_annotations(root, kind, change):
    path = root / "annotation" / "2.txt"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises((ValueError, FileNotFoundError), match=r"annotation/2\.txt") as caught:
        helen194.read(root)
    assert caught.value.problem.kind == kind
    reader = helen194.read(root, on_error="skip")
    assert len(reader) == 1
    assert reader.report.counts == {kind: 1}


def test_two_images_of_one_name(root):
    shutil.copytree(root / "helen_1", root / "again")
    with pytest.raises(ValueError, match="a name must belong to one image"):
        helen194.read(root)


def test_annotations_must_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="annotation"):
        helen194.read(tmp_path)
