"""Files that are seen whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tfalign.files import (
    claimed,
    differing_keys,
    new_folder,
    read_json,
    replacing,
    settle,
    settled,
    sha256,
    versions,
    write_json,
    write_whole,
)
from tfalign.version import __version__


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's error names none: "No space left on device" was all that a user saw."""

    def full(path: Path, content: bytes) -> None:
        with open("/dev/full", "wb", buffering=0) as device:
            device.write(content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.txt'"):
        write_whole(tmp_path / "a.txt", "one")
    with pytest.raises(OSError, match="^of the block's own$"), replacing(tmp_path / "b.txt"):
        raise OSError("of the block's own")


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


def test_threads_write_one_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write(letter: str) -> None:
        for _ in range(200):
            write_whole(path, 100_000 * letter)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    assert path.read_text() in [100_000 * letter for letter in "abcd"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / (125 * "é" + ".json")
    assert len(os.fsencode(path.name)) == 255
    write_whole(path, "x")
    assert path.read_text() == "x"


def test_unwritable(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder" / "a.txt", "x")


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a.txt", []
    write_whole(path, "old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(path.read_text()))
    write_whole(path, "new", durable=True)
    assert seen == ["old", "new"]  # of the file, then of the folder that names it


def test_json_is_plain_and_finite(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a.json"
    write_json(path, {"n": np.float32(0.5), "a": np.arange(3), "name": "Größe"})
    assert read_json(path) == {"n": 0.5, "a": [0, 1, 2], "name": "Größe"}
    assert "Größe" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"nme": float("nan")})
    with pytest.raises(TypeError, match="plain data"):
        write_json(path, {"path": object()})
    assert read_json(path)["n"] == 0.5


@pytest.mark.parametrize(
    ("content", "line"), [(b'{"a": 1,\n "b": }', 2), (b"", 1), (b'{\n\n"a": "\xff"}', 3)]
)
def test_what_is_no_json_is_told_with_its_line(tmp_path: Path, content: bytes, line: int) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"a.json, line {line}: the file must be JSON"):
        read_json(path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")


def test_digest_and_versions(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    found = versions()
    assert found["numpy"] == np.__version__
    assert found["tfalign"] == __version__
    assert found["backend"] == keras.backend.backend()


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "a"

    def write(error: type[BaseException] | None = None) -> None:
        with new_folder(out) as folder:
            (folder / "b").mkdir()
            (folder / "b" / "one.txt").write_text("1")
            assert not out.exists() or (out / "b" / "one.txt").read_text() == "old"
            if error is not None:
                raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            write(error)
        assert not out.exists()
        assert list(out.parent.iterdir()) == []
    write()
    assert [path.name for path in out.parent.iterdir()] == ["a"]
    (out / "kept.txt").write_text("mine")
    (out / "b" / "one.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write(KeyboardInterrupt)
    assert (out / "b" / "one.txt").read_text() == "old"
    write()
    assert (out / "b" / "one.txt").read_text() == "1"
    assert sorted(path.name for path in out.iterdir()) == ["b", "kept.txt"]
    with pytest.raises(NotADirectoryError, match="out="), new_folder(out / "kept.txt"):
        pass
    # As any folder that this process makes.
    (tmp_path / "plain").mkdir()
    assert out.stat().st_mode == (tmp_path / "plain").stat().st_mode


HOLD = """
import sys, time
from tfalign.files import claimed
with claimed(sys.argv[1]) as free:
    print(free, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_claim_lasts_until_the_process_is_killed(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "run"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with claimed(folder) as free:
            assert not free
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    for _ in range(2):  # a claim ends with its block, too
        with claimed(folder) as free:
            assert free


def test_windows_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(OSError, match=r"WSL.*out"), claimed(tmp_path / "out"):
        pass
    assert not (tmp_path / "out").exists()


def test_a_folder_has_one_configuration(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "a"
    first: dict[str, Any] = {"a": {"b": 1, "c": [1, 2]}, "d": None}
    second = {"a": {"b": 1, "c": [1, 3]}, "e": "x"}
    assert differing_keys(first, second) == {
        "a.c[1]": (2, 3),
        "d": (None, "(absent)"),
        "e": ("(absent)", "x"),
    }
    assert settle(out, {**first, "split": ("x",)})
    assert not settle(out, {**first, "split": ["x"]})
    with pytest.raises(ValueError, match=r"(?s)one configuration.*a\.c\[1\]: there 2, wanted 3"):
        settle(out, second)
    assert settle(out, second, "run.json", writes=False)
    assert not (out / "run.json").exists()


def test_a_folder_where_nothing_came_of_it_is_given_back(tmp_path: Path) -> None:
    out = tmp_path / "out" / "row"

    def fail(settings: dict[str, str], error: BaseException, part: str | None = None) -> None:
        with settled(out, settings):
            assert read_json(out / "settings.json") == settings
            if part is not None:
                (out / "models").mkdir()
                (out / "models" / part).write_text("{}")
            raise error

    for error in (ValueError("a"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail({"crop": "300w"}, error)
        assert not out.parent.exists()
    with pytest.raises(ValueError, match="late"):
        fail({"crop": "wflw"}, ValueError("late"), part="a.json")
    # What was finished belongs to its settings, whatever fails afterwards.
    with pytest.raises(ValueError, match="crop: there 'wflw', wanted '300w'"):
        fail({"crop": "300w"}, AssertionError())
    with pytest.raises(KeyboardInterrupt):
        fail({"crop": "wflw"}, KeyboardInterrupt())
    assert read_json(out / "settings.json") == {"crop": "wflw"}
    # A folder that was there stays, if only empty.
    (tmp_path / "mine").mkdir()
    with pytest.raises(KeyError), settled(tmp_path / "mine", {}):
        raise KeyError
    assert list((tmp_path / "mine").iterdir()) == []
