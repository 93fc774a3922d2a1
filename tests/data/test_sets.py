"""The registry of data sets: what is registered, how splits, boxes, schemes and hold-outs work."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest

from tfalign import geometry, markup
from tfalign.data import sets
from tfalign.data.readers import wflw

PUBLISHED = {
    "wflw": (7500, 2500),
    "300w": (3148, 689),
    "cofw": (1345, 507),
    "cofw68": (0, 507),
    "aflw19": (20_000, 4386),
    "lfpw29": (1132, 300),
    "helen194": (2000, 330),
    "ytf": (3462, 770),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sets_tell_all_that_programs_need(name):
    found = sets.get(name)
    train = sum(found.counts[split] for split in found.training)
    test = sum(found.counts[split] for split in found.expand("test"))
    assert (train, test) == PUBLISHED[name]
    assert not found.is_for_training("test")
    assert all(found.is_for_training(split) for split in found.training)
    assert found.crop in geometry.CROP_PRESETS
    assert set(found.counts) <= set(found.files)
    for fact in (found.licence, found.where, found.citation, found.scheme.name):
        assert fact in found.table()
    assert sets.get(found) is found


def test_menpo_has_its_semi_frontal_faces(tmp_path):
    faces = []
    for index, count in enumerate((68, 39, 68)):
        points = np.random.default_rng(index).uniform(10, 50, (count, 2)).round(3)
        name = tmp_path / "release" / f"face_{index}.jpg"
        name.parent.mkdir(exist_ok=True)
        PIL.Image.new("RGB", (64, 64)).save(name)
        rows = "".join(f"{x} {y}\n" for x, y in points)
        text = f"version: 1\nn_points: {count}\n{{\n{rows}}}\n"
        name.with_suffix(".pts").write_text(text)
        faces.append(points)
    reader = sets.get("menpo").read(tmp_path, "train")
    assert [record.name for record in reader.records] == [f"release/face_{i}.jpg" for i in (0, 2)]
    for record, points in zip(reader.records, faces[::2], strict=True):
        np.testing.assert_allclose(record.landmarks, points - 0.5, atol=1e-4)
    (profile,) = reader.report.noted
    assert "face_1" in str(profile)
    with pytest.raises(ValueError, match="'train' alone"):
        sets.get("menpo").read(tmp_path, "test")
    for name in ("face_0.pts", "face_2.pts"):
        (tmp_path / "release" / name).unlink()
        (tmp_path / "release" / name).with_suffix(".jpg").unlink()
    with pytest.raises(FileNotFoundError, match="68 points"):
        sets.get("menpo").read(tmp_path)


def test_wflw_subsets_are_those_of_the_release():
    assert set(sets.get("wflw").counts) == set(wflw.FILES)


@pytest.mark.parametrize(
    ("form", "name", "split"),
    [
        ("wflw", "wflw", "train"),
        ("w300", "300w", "afw"),
        ("cofw", "cofw", "train"),
        ("cofw68", "cofw68", "test"),
        ("lfpw29", "lfpw29", "train"),
        ("helen194", "helen194", ["train"]),
        ("ytf", "ytf", "train"),
    ],
)
def test_reads_the_native_formats(formats, form, name, split, tmp_path, rng):
    expected = formats[form].build(tmp_path, rng)
    found = sets.get(name)
    reader = found.read(tmp_path, split)
    assert reader.scheme == found.scheme
    assert {sample.name for sample in reader} == set(expected)
    for sample in found.read(tmp_path, split, box="landmarks"):
        np.testing.assert_array_equal(sample.landmarks, expected[sample.name].landmarks)
        tight = [*sample.landmarks.min(axis=0), *sample.landmarks.max(axis=0)]
        np.testing.assert_array_equal(sample.box, tight)
        assert sample.box_source == "landmarks"
    assert found.available(tmp_path, split) == found.expand(split)


def test_reads_the_boxes_and_the_scheme_that_are_asked_for(formats, tmp_path, rng):
    expected = formats["w300_boxes"].build(tmp_path, rng)
    found = sets.get("300w")
    for sample in found.read(tmp_path, "afw"):
        np.testing.assert_allclose(sample.box, expected[sample.name].box)
    for sample in found.read(tmp_path, "afw", box="file"):
        np.testing.assert_allclose(sample.box, expected[sample.name].box - 1)
    inner = found.read(tmp_path, "afw", scheme="ibug51")
    assert inner.scheme is markup.IBUG51
    np.testing.assert_array_equal(
        inner[0].landmarks, expected[inner.records[0].name].landmarks[17:]
    )
    assert found.available(tmp_path, "train") == ["afw"]
    with pytest.raises(ValueError, match="`box` must be among.*Received: box='mtcnn'"):
        found.read(tmp_path, "afw", box="mtcnn")
    with pytest.raises(ValueError, match="splits='afwx'"):
        found.read(tmp_path, "afwx")
    with pytest.raises(FileNotFoundError, match="absent"):
        found.read(tmp_path / "absent", "afw")


def test_a_tight_box_is_that_of_the_annotated_points():
    reader = faces("test", ["a"])
    (record,) = reader.records
    points = np.array([[4, 6], [0, 0], [9, 8]], np.float32)
    masked = replace(
        record, landmarks=points, annotated=np.array([True, False, True]), box_source="file"
    )
    (tight,) = sets.tight_boxes(reader.subset([masked])).records
    np.testing.assert_array_equal(tight.box, [4, 6, 9, 8])


def test_options_of_a_reader(formats, tmp_path, rng):
    formats["coco"].build(tmp_path, rng)
    coco, afw = sets.get("coco"), sets.get("300w")
    assert list(coco.options) == ["category", "part", "images", "first_pixel", "upright"]
    assert "first_pixel=0.0" in coco.table()
    given = coco.parse_options(["first_pixel=0.5", "category=7", "upright=false"])
    assert given == {"first_pixel": 0.5, "category": "7", "upright": False}
    assert sets.get("aflw19").parse_options(["train_faces=3"]) == {"train_faces": 3}
    moved = coco.read(tmp_path, "train", first_pixel=0.5)
    plain = coco.read(tmp_path, "train")
    np.testing.assert_array_equal(moved[0].landmarks, plain[0].landmarks - 0.5)
    for words in (["first_pixel"], ["first=1"], ["upright=true", "upright=true"]):
        with pytest.raises(ValueError, match=r"NAME=VALUE, each once: category, part, .*Received"):
            coco.parse_options(words)
    for words in (["first_pixel=a"], ["upright=1"]):
        with pytest.raises(ValueError, match=r"must be of type (float|bool)\. Received"):
            coco.parse_options(words)
    with pytest.raises(ValueError, match="it has none"):
        afw.parse_options(["first_pixel=1"])
    with pytest.raises(ValueError, match=r"Options of 300w's reader are none\. Received: part"):
        afw.read(tmp_path, "afw", part="face")


def faces(dataset, names, **attributes):
    """A reader of faces with these names, without images."""
    from tfalign.data.readers import Reader, ReadingReport, Record

    points = np.array([[1, 1], [5, 4]], np.float32)
    records = [
        Record(
            name,
            image=None,
            landmarks=points,
            visible=np.ones(2, bool),
            box=np.array([1, 1, 5, 4], np.float32),
            box_source="landmarks",
            where=name,
            attributes={key: values[i] for key, values in attributes.items()},
        )
        for i, name in enumerate(names)
    ]
    return Reader(dataset, markup.LandmarkScheme.unnamed(2), records, ReadingReport("raise"))


def held(dataset, names, amount, by=None, **attributes):
    reader = faces("test", names, **attributes)
    train, watched = sets.get(dataset).hold_out(reader, amount, by)
    return [r.name for r in train.records], [r.name for r in watched.records]


def test_the_last_names_are_held_out_without_relatives():
    names = ["helen/trainset/a_1.jpg", "helen/trainset/b_2.jpg", "helen/trainset/b_1.jpg"]
    # b_1 shares its photograph with the held-out b_2: it is on neither side.
    assert held("300w", ["lfpw/z.jpg", *names], 1) == (["lfpw/z.jpg", names[0]], [names[1]])
    assert held("wflw", ["b", "a", "b#2", "c"], 0.25) == (["b", "a", "b#2"], ["c"])
    assert held("wflw", ["c", "a", "c#2"], 1) == (["a"], ["c#2"])
    # A folder's own # does not make one photograph of all in it.
    names = ["Session #1/a.jpg", "Session #1/b.jpg", "Session #2/c.jpg", "Session #2/c.jpg#2"]
    assert held("coco", names, 1) == (names[:2], names[3:])


def test_groups_stand_on_one_side():
    names = ["ann/1", "bob/1", "ann/2", "cid/1", "bob/2"]
    assert held("wflw", names, 2, "folder") == (["ann/1", "ann/2"], ["bob/1", "cid/1", "bob/2"])
    person = ["x", "x", "x", "y", "y"]
    assert held("wflw", names, 1, "person", person=person) == (names[:3], names[3:])


@pytest.mark.parametrize(
    ("amount", "by", "message"),
    [
        (0, None, "leave faces to train on"),
        (3, None, "leave faces to train on"),
        (1.5, None, "must be whole"),
        (-0.1, None, "between 0 and 1"),
        (2, "folder", "share neither"),
        (1, "person", "grouped by.*Received: by='person'"),
    ],
)
def test_a_hold_out_that_cannot_be_is_refused(amount, by, message):
    with pytest.raises(ValueError, match=message):
        held("wflw", ["a/1", "a/2", "a/3"], amount, by)


def test_registering(monkeypatch):
    monkeypatch.setattr(sets, "SETS", dict(sets.SETS))
    mine = sets.DataSet(name="mine", summary="My faces", reader=wflw.read)
    assert sets.register(mine) is sets.get("mine")
    assert sets.register(mine) is mine
    with pytest.raises(ValueError, match="must be new"):
        sets.register(sets.DataSet(name="mine", summary="Others", reader=wflw.read))
    with pytest.raises(ValueError, match="one of wflw, 300w.*Received: dataset='celeba'"):
        sets.get("celeba")


def test_a_number_in_300w_is_that_of_a_face_or_of_a_photograph():
    photograph = sets.get("300w").photograph
    names = ["afw/a_1.jpg", "afw/a_2.jpg", "lfpw/trainset/image_0001.png"]
    names += [
        "lfpw/trainset/image_0002.png",
        "01_Indoor/indoor_001.png",
        "01_Indoor/indoor_002.png",
    ]
    keys = [photograph(SimpleNamespace(name=name)) for name in names]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 5
