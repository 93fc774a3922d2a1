"""Rows that survive a kill."""

import pytest

from tfalign.inference.jobs import RowFile, read_rows, row_key


def test_a_torn_last_line_is_taken_away(tmp_path):
    path = tmp_path / "rows.jsonl"
    with RowFile(path) as rows:
        for name in ("a.png", "b.png"):
            rows.add({"source": name, "error": None, "faces": [], "files": {"name": name[0]}})
    with path.open("ab") as file:
        file.write(b'{"source": "half a li')
    with RowFile(path) as rows:
        assert rows.done == {row_key("a.png"), row_key("b.png")}
        assert rows.names == ["a", "b"]
        rows.add({"source": "c.png", "error": "no picture", "faces": [], "files": {}})
        assert rows.errors == ["no picture"]
    assert [row["source"] for row in read_rows(path)] == ["a.png", "b.png", "c.png"]
    path.write_bytes(b"no end of a line")
    with RowFile(path) as rows:
        assert rows.done == set()
    path.write_bytes(b"no JSON\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl:1"):
        RowFile(path)
