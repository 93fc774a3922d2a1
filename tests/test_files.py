"""Files that are seen whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfalign.files import replacing, write_whole


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "one")
    write_whole(path, "zwö".encode())
    assert path.read_text() == "zwö"

    def interrupted(source: object, target: object) -> None:
        assert Path(str(source)).read_text() == "three"
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "three")
    assert path.read_text() == "zwö"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"old")

    def fail_half_way() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_unwritable(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder" / "a.txt", "x")
