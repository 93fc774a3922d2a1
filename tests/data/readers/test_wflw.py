"""WFLW: lists, subsets, names of faces, bad lines."""

from __future__ import annotations

import numpy as np
import pytest

from tfalign.data.readers import wflw


@pytest.fixture
def root(formats, tmp_path, rng):
    formats["wflw"].build(tmp_path, rng)
    return tmp_path


def edit(root, change, split="train"):
    """Applies ``change`` to the second line's tokens."""
    path = root / wflw.FILES[split]
    lines = path.read_text().splitlines()
    lines[1] = " ".join(change(lines[1].split(" ")))
    path.write_text("\n".join(lines) + "\n")


def test_flags_become_attributes(root):
    reader = wflw.read(root)
    assert [name for name, on in reader[1].attributes.items() if on] == [
        "expression",
        "occlusion",
        "blur",
    ]
    assert reader[1].box_source == "file"


def test_subset_faces_keep_name_box_and_flags_of_the_test_list(formats, tmp_path, rng):
    formats["wflw_subset"].build(tmp_path, rng)
    full = {sample.name: sample for sample in wflw.read(tmp_path, "test")}
    (sample,) = wflw.read(tmp_path, ["test/occlusion"])
    assert sample.attributes == full[sample.name].attributes
    assert (sample.box == full[sample.name].box).all()
    with pytest.raises(ValueError, match="names must be unique"):
        wflw.read(tmp_path, ["test", "test/occlusion"])


def test_subset_without_the_test_list_has_tight_boxes(formats, tmp_path, rng):
    formats["wflw_subset"].build(tmp_path, rng)
    (tmp_path / wflw.FILES["test"]).unlink()
    (sample,) = wflw.read(tmp_path, ["test/occlusion"])
    assert sample.box_source == "landmarks"
    assert sample.attributes == {}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("wrong-number-of-points", lambda tokens: tokens[1:]),
        ("wrong-number-of-points", lambda tokens: ["1.0", *tokens]),
        ("wrong-number-of-points", lambda tokens: tokens[:100]),
        ("wrong-number-of-points", lambda tokens: [*tokens[:7], "x", *tokens[8:]]),
        ("malformed-line", lambda tokens: tokens[:206]),
        ("malformed-line", lambda tokens: [*tokens[:200], "2", *tokens[201:]]),
        ("malformed-line", lambda tokens: [*tokens[:206], "../a.png"]),
        ("malformed-line", lambda tokens: [*tokens[:206], "/etc/passwd"]),
        ("not-finite", lambda tokens: [*tokens[:7], "nan", *tokens[8:]]),
        ("empty-box", lambda tokens: [*tokens[:196], "5", "5", "5", "9", *tokens[200:]]),
        ("missing-image", lambda tokens: [*tokens[:206], "0--Parade/none.png"]),
        ("missing-image", lambda tokens: [*tokens[:206], "0--Parade/a.pn"]),
        ("missing-image", lambda tokens: [*tokens[:206], "x" * 5000]),
    ],
)
def test_bad_lines_name_file_and_line_or_are_skipped(root, kind, change):
    edit(root, change)
    with pytest.raises((ValueError, FileNotFoundError), match=r"attr_train\.txt:2: ") as caught:
        wflw.read(root)
    assert caught.value.problem.kind == kind
    reader = wflw.read(root, on_error="skip")
    assert len(reader) == 2
    assert reader.report.counts == {kind: 1}


def test_a_rectangle_that_misses_its_points_gives_way_and_is_listed(root):
    edit(root, lambda tokens: [*tokens[:196], "23", "0", "24", "1", *tokens[200:]])
    reader = wflw.read(root)
    assert [record.box_source for record in reader.records] == ["file", "landmarks", "file"]
    record = reader.records[1]
    tight = [*record.landmarks.min(axis=0), *record.landmarks.max(axis=0)]
    np.testing.assert_array_equal(record.box, tight)
    (problem,) = reader.report.noted
    assert str(problem).split(" ")[0].endswith("attr_train.txt:2:")
    assert "1 noted" in reader.report.table()


@pytest.mark.parametrize(
    ("listed", "stored"),
    [("0--Parade\\a.png", "a.png"), ("0--Parade/a.png", "a.PNG"), ("0--Parade\\a.PNG", "a.png")],
)
def test_names_written_on_windows_are_followed(root, listed, stored):
    folder = root / "WFLW_images/0--Parade"
    (folder / "a.png").rename(folder / stored)
    path = root / wflw.FILES["train"]
    path.write_text(path.read_text().replace("0--Parade/a.png", listed.replace("\\", "\\")))
    assert wflw.read(root)[0].image.shape == (20, 24, 3)


def test_outside_points_are_found_when_the_image_is_known(root):
    edit(root, lambda tokens: ["-40.0", *tokens[1:]])
    with pytest.raises(ValueError, match=r"attr_train\.txt:2: landmarks must lie in the 24×20"):
        list(wflw.read(root))


def test_a_face_listed_twice(root):
    path = root / wflw.FILES["train"]
    first = path.read_text().splitlines()[0]
    path.write_text(path.read_text() + first + "\n")
    with pytest.raises(ValueError, match=r"train\.txt:4: a face must be listed once.*train\.txt:1"):
        wflw.read(root)
    assert wflw.read(root, on_error="skip").report.counts == {"duplicate": 1}


def test_missing_list_and_unknown_split(root):
    with pytest.raises(FileNotFoundError, match=r"attr_test\.txt"):
        wflw.read(root, "test", on_error="skip")
    with pytest.raises(ValueError, match=r"'test/pose'.*Received: splits='pose'"):
        wflw.read(root, "pose")
