import json
import os

import numpy as np
import pandas as pd
import pytest

from tfalign import markup
from tfalign.data.readers.w300 import parse_pts
from tfalign.inference import Face, Faces, Names


def face(rng, image=0, source=None, **more):
    landmarks = rng.uniform(0, 300, (68, 2))
    return Face(
        landmarks, np.array([1.0, 2, 3, 4]), landmarks[None], 0.75, 0.03, markup.IBUG68,
        image, source, **more,
    )  # fmt: skip


@pytest.fixture
def faces(rng):
    sources = ["in/a.jpg", "in/b.png", None]
    found = [face(rng, 0, sources[0]), face(rng, 2), face(rng, 2)]
    return Faces(found, sources, 68)


def test_sequence(faces):
    assert len(faces[1:]) == 2
    assert faces[-1] is list(faces)[2]
    assert faces.landmarks.shape == (3, 68, 2)
    np.testing.assert_array_equal(faces.quality, [0.75] * 3)
    groups = faces.by_image()
    assert [len(group) for group in groups] == [1, 0, 2]
    assert groups[2].by_image()[0].landmarks.shape == (2, 68, 2)
    (image,) = groups[2].to_dict()["images"]
    assert (image["image"], image["source"], image["height"]) == (2, None, None)


def test_one_entry_of_every_image(faces):
    assert faces.left_out == (0, 0, 0)
    sizes = [(10, 20), None, (30, 40)]
    counted = Faces(list(faces), faces.sources, 68, left_out=[1, 0, 2], sizes=sizes)
    assert [group.sizes[0] for group in counted.by_image()] == sizes
    assert Faces.joined(counted.by_image(), 68).sizes == tuple(sizes)
    assert counted[1:].left_out == (1, 0, 2)
    assert [group.left_out for group in counted.by_image()] == [(1,), (0,), (2,)]
    with pytest.raises(ValueError, match=r"\[2, 3, 3\] entries for 3 images"):
        Faces(list(faces), faces.sources, 68, left_out=[1, 0])


def test_table_and_csv(faces, tmp_path):
    table = faces.to_frame()
    assert table["image"].tolist() == [0, 2, 2]
    assert table["x3"].tolist() == [f.landmarks[3, 0] for f in faces]
    read = pd.read_csv(faces.write_csv(tmp_path / "faces.csv"))
    assert read.columns.tolist() == table.columns.tolist()
    np.testing.assert_allclose(read["y67"], table["y67"], atol=1e-4)
    assert read["track"].isna().all()
    empty = faces[:0].to_frame()
    assert len(empty) == 0
    assert empty.columns.tolist() == table.columns.tolist()


def test_json(faces, tmp_path):
    data = json.loads(faces.write_json(tmp_path / "faces.json").read_text())
    assert data["images"][1] == {
        "image": 1, "source": "in/b.png", "height": None, "width": None, "error": None,
        "left_out": 0,
    }  # fmt: skip
    skipped = Faces([], ["a.jpg", None], 68, left_out=[0, 2], errors=["no picture", None])
    told = [(image["error"], image["left_out"]) for image in skipped.to_dict()["images"]]
    assert told == [("no picture", 0), (None, 2)]
    np.testing.assert_allclose(data["faces"][2]["landmarks"], faces[2].landmarks, atol=1e-4)
    assert data["faces"][0]["scheme"] == "ibug68"
    assert json.loads(faces[:0].to_json())["faces"] == []


def test_numbers_that_json_lacks(rng):
    broken = face(rng)
    broken.landmarks[0] = np.nan
    data = json.loads(Faces([broken], [None], 68).to_json())
    assert data["faces"][0]["landmarks"][0] == [None, None]


def test_pts_are_read_back_by_the_300w_reader(faces, tmp_path):
    paths = faces.write_pts(tmp_path)
    assert [path.name for path in paths] == ["a.pts", "image_2.1.pts", "image_2.2.pts"]
    for path, one in zip(paths, faces, strict=True):
        # 1-based with the first pixel's centre at 1; in memory that centre is at 0.5.
        np.testing.assert_allclose(parse_pts(path) - 0.5, one.landmarks, atol=5.1e-4)
    with pytest.raises(NotADirectoryError, match="folder="):
        faces.write_pts(tmp_path / "none")


def test_names_stay_in_the_folder_and_differ():
    sources = ["x/a.jpg", "y/A.png", "../../etc/passwd", "..", "/", None, "a b\n.jpg", "a" * 300]
    names = Names()
    stems = [names.give(source or "image") for source in sources]
    assert stems[:3] == ["a", "y_A", "passwd"]
    assert len({stem.lower() for stem in stems}) == len(sources)
    for stem in stems:
        assert stem
        assert not set(stem) & set("/\\\n ")
        assert stem[0] != "."
        assert "." not in stem  # what follows a dot is an ending of ours
        assert len(stem.encode()) <= 160
    assert names.give("z/a.b.png") == "a_b"
    assert names.give("a_b.png").endswith("a_b")
    long = [names.give(f"{'語' * 81}{index}.jpg") for index in range(3)]
    assert len(set(long)) == 3
    assert max(len(name.encode()) for name in long) <= 160
    assert names.give(os.fsdecode(b"Andr\xe9.jpg")) == "Andr_xe9"


def test_pts_under_names_of_their_own(faces, tmp_path):
    paths = faces.write_pts(tmp_path, ["x", "y", "z"])
    assert [path.name for path in paths] == ["x.pts", "z.1.pts", "z.2.pts"]
    with pytest.raises(ValueError, match="2 entries for 3 images"):
        faces.write_pts(tmp_path, ["x", "y"])


def test_two_images_of_one_name_keep_their_pts(rng, tmp_path):
    sources = ["x/a.jpg", "y/a.jpg"]
    found = Faces([face(rng, 0), face(rng, 1), face(rng, 1)], sources, 68)
    assert len({path.name for path in found.write_pts(tmp_path)}) == 3
    assert len(list(tmp_path.iterdir())) == 3
