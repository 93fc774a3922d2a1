"""Rows that survive a kill."""

import pytest

from tfalign.inference.jobs import RowFile, read_rows, remove_files, row_key


def test_a_torn_last_line_is_taken_away(tmp_path):
    path = tmp_path / "rows.jsonl"
    with RowFile(path) as rows:
        for name in ("a.png", "b.png"):
            rows.add({"source": name, "error": None, "faces": [], "files": {"name": name[0]}})
    with path.open("ab") as file:
        file.write(b'{"source": "half a li')
    with RowFile(path) as rows:
        assert set(rows.done) == {row_key("a.png"), row_key("b.png")}
        assert rows.names == ["a", "b"]
        rows.add({"source": "c.png", "error": "no picture", "faces": [], "files": {}})
        assert rows.errors == ["no picture"]
    assert [row["source"] for row in read_rows(path)] == ["a.png", "b.png", "c.png"]
    path.write_bytes(b"no end of a line")
    with RowFile(path) as rows:
        assert not rows.done
    path.write_bytes(b"no JSON\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl:1"):
        RowFile(path)


def test_only_files_that_rows_name_are_removed(tmp_path):
    path = tmp_path / "out" / "rows.jsonl"
    path.parent.mkdir()
    for name in ("a.1.pts", "a_aligned.jpg", "b_aligned.mp4", "other.pts", "../outside"):
        (path.parent / name).touch()
    with RowFile(path) as rows:
        files = {"name": "a", "pts": ["a.1.pts", "gone.pts"], "overlay": "a_aligned.jpg"}
        rows.add({"source": "a.png", "faces": [], "files": files})
        rows.add({"source": "b.mp4", "faces": [], "clip": True, "files": {"name": "b"}})
        rows.add({"source": "c", "faces": [], "files": {"name": "c", "overlay": "../outside"}})
    with path.open("ab") as file:
        file.write(b'{"source": "half a li')
    remove_files(path)
    assert [left.name for left in path.parent.iterdir()] == ["other.pts"]
    assert (tmp_path / "outside").exists()
    remove_files(path)  # nothing is there
