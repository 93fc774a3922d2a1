"""300-W: folders, aliases, ``.pts`` files, official boxes."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from tfalign.data.readers import w300


@pytest.fixture
def root(formats, tmp_path, rng):
    formats["w300"].build(tmp_path, rng)
    return tmp_path


def rewrite(root, change):
    path = root / "afw" / "a_1.pts"
    path.write_text(change(path.read_text()))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("n_points:  68", "n_points: 68"),
        lambda text: text.replace("n_points:  68", "n_points:68 "),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("{", "{  ").replace(" ", "   ") + "\n\n",
        lambda text: text.replace(" ", "\t"),
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace("version: 1\n", ""),
    ],
)
def test_blanks_in_pts_mean_nothing(root, change):
    before = w300.parse_pts(root / "afw" / "a_1.pts")
    np.testing.assert_array_equal(w300.parse_pts(rewrite(root, change)), before)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("malformed-line", lambda text: text.replace("}", "")),
        ("malformed-line", lambda text: text[:-40]),
        ("malformed-line", lambda text: text.replace("{", "(")),
        ("malformed-line", lambda text: text.replace("version", "vession")),
        ("malformed-line", lambda text: re.sub(r" (?=[0-9.]+\n\})", " 1 ", text)),
        ("malformed-line", lambda text: ""),
        ("wrong-number-of-points", lambda text: text.replace("68", "67")),
        ("wrong-number-of-points", lambda text: re.sub(r"\{\n.*\n", "{\n", text)),
        ("not-finite", lambda text: re.sub(r"\{\n\S+", "{\nNaN", text)),
        ("wrong-encoding", lambda text: text + "\0"),
    ],
)
def test_bad_pts(root, kind, change):
    rewrite(root, change)
    with pytest.raises(ValueError, match=r"afw/a_1\.pts") as caught:
        w300.read(root)
    assert caught.value.problem.kind == kind
    reader = w300.read(root, on_error="skip")
    assert [record.name for record in reader.records] == ["afw/image_092 _01.jpg"]
    assert reader.report.counts == {kind: 1}


def test_an_image_needs_one_annotation_and_the_other_way_round(root):
    (root / "afw" / "a_1.png").rename(root / "afw" / "b_1.png")
    with pytest.raises(FileNotFoundError, match=r"b_1\.png: every image needs"):
        w300.read(root)
    report = w300.read(root, on_error="skip").report
    assert report.counts == {"missing-annotation": 1, "missing-image": 1}


def test_metadata_of_macos_is_no_face_and_capitals_are_suffixes(root):
    for name in ("a_1.pts", "a_1.png", "image_092 _01.jpg"):
        (root / "afw" / f"._{name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (root / "afw/a_1.pts").rename(root / "afw/a_1.PTS")
    (root / "afw/a_1.png").rename(root / "afw/a_1.PNG")
    assert [sample.name for sample in w300.read(root)] == ["afw/a_1.PNG", "afw/image_092 _01.jpg"]


def test_two_images_of_one_name(root):
    shutil.copy(root / "afw" / "a_1.png", root / "afw" / "a_1.jpg")
    with pytest.raises(ValueError, match="a name must belong to one image"):
        w300.read(root)


def test_aliases_and_folders(root):
    for folder in w300.FOLDERS:
        if folder != "afw":
            shutil.copytree(root / "afw", root / folder)
    sizes = {split: len(w300.read(root, split)) // 2 for split in w300.ALIASES}
    assert sizes == {"train": 3, "common": 2, "challenging": 1, "full": 3, "private": 2}
    assert len(w300.read(root)) == 2 * len(w300.FOLDERS)
    assert w300.read(root, "ibug")[0].attributes == {"folder": "ibug"}
    with pytest.raises(ValueError, match="none twice"):
        w300.read(root, ["full", "ibug"])


def test_only_the_folders_asked_for_must_exist(root):
    assert len(w300.read(root, ["afw"])) == 2
    with pytest.raises(FileNotFoundError, match="ibug"):
        w300.read(root, "challenging", on_error="skip")


def test_official_boxes(formats, tmp_path, rng):
    formats["w300_boxes"].build(tmp_path, rng)
    truth, detector = w300.read(tmp_path), w300.read(tmp_path, box="detector")
    np.testing.assert_allclose(truth[0].box - detector[0].box, 1)
    assert truth[0].box_source == "landmarks"  # by the definition of the official ground truth
    assert detector[0].box_source == "file"
    tight = w300.read(tmp_path, box="landmarks")[0]
    assert tight.box_source == "landmarks"
    np.testing.assert_array_equal(tight.box[:2], tight.landmarks.min(axis=0))
    with pytest.raises(ValueError, match="Received: box='tight'"):
        w300.read(tmp_path, box="tight")


def test_counts_of_the_protocol():
    size = {alias: sum(map(w300.FOLDERS.get, of)) for alias, of in w300.ALIASES.items()}
    assert (size["train"], size["common"], size["challenging"], size["full"]) == (
        *(3148, 554),
        *(135, 689),
    )
