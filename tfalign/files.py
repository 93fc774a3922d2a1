"""Files and folders that a reader sees whole or not at all, however the program ends.

The one home of writing whole files, JSON, SHA-256, claiming a folder, and package versions.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfalign.version import __version__

PACKAGES = (
    "keras",
    "tensorflow",
    "jax",
    "numpy",
    "opencv-python-headless",
    "tf_keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "ai-edge-quantizer",
)
"""The packages that may change a result in its last digits."""

FACES = "faces.json"
"""The file beside a model that knows which faces its training has seen, each by a short hash."""

_MISSING = "(absent)"


@contextmanager
def replacing(path: str | os.PathLike[str], durable: bool = False) -> Iterator[Path]:
    """Gives a temporary path that takes the place of ``path`` when the block ends without error.

    A reader sees the old file or the new one, never a part of one. After an error or Ctrl-C the
    temporary file is gone; only a killed process leaves it behind, hidden beside ``path``.

    Args:
        path: The file to write; its folder is made if needed.
        durable: Whether the file must survive a power cut, too: it and its new name are flushed to
            the disk, which takes some milliseconds.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unused_name(path)
    try:
        yield temporary
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable:
            _flush(path.parent)
    except OSError as error:
        # A full disk does not say which file it is that had no room.
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def unused_name(path: Path) -> Path:
    """Returns a hidden name beside a file, for what will take its place.

    Two threads or machines may write the same file, and its name may be as long as is allowed.
    """
    named = os.fsencode(path.name)[:200].decode(errors="ignore")
    return path.with_name(f".{named}.{secrets.token_hex(8)}.tmp")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: str | os.PathLike[str], content: bytes | str, durable: bool = False) -> None:
    """Writes a file, text as UTF-8, see ``replacing``.

    Args:
        path: The file to write; its folder is made if needed.
        content: What.
        durable: See ``replacing``.

    Raises:
        OSError: If the file cannot be written.
    """
    with replacing(path, durable) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: str | os.PathLike[str], value: Any, durable: bool = False) -> None:
    """Writes plain data as indented JSON, see ``write_whole``.

    Args:
        path: The file to write.
        value: Plain data; NumPy's numbers and arrays become numbers and lists.
        durable: See ``replacing``.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON does not have.
        TypeError: If something in it is no plain data.
    """
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False, default=plain)
    write_whole(path, text + "\n", durable)


def plain(value: Any) -> Any:
    """Turns NumPy's numbers and arrays into what JSON knows: the ``default`` of ``json.dumps``.

    Raises:
        TypeError: If it is neither.
    """
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return value.tolist()
    raise TypeError(f"What becomes JSON must be plain data. Received: {value!r} of {type(value)}")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not JSON in UTF-8; the message names the file and the line.
    """
    content = Path(path).read_bytes()
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: the file must be JSON in UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}: the file must be JSON: {error.msg}"
        ) from error


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Returns the versions that a result depends on; absent packages are left out."""
    import keras

    found = {
        "tfalign": __version__,
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
    }
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary folder that takes its place at ``path`` if, and only if, nothing fails.

    A folder that did not exist appears in one step. In one that exists, each file takes its place
    in one step, after all have been written; files that were not written anew stay.

    Args:
        path: The folder; the folders above it are made if needed.

    Raises:
        NotADirectoryError: If ``path`` is a file.
        PermissionError: If it cannot be made or written.
    """
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"`out` must be a folder. Received: out={str(target)!r}")
    # Within the target where there is one, so that every move stays on its disk.
    new = not target.exists()
    place = target.parent if new else target
    try:
        place.mkdir(parents=True, exist_ok=True)
        if not os.access(place, os.W_OK):
            raise PermissionError(place)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=place))
    except OSError as error:
        raise PermissionError(
            f"The folder cannot be made or written. Received: out={str(target)!r}"
        ) from error
    try:
        yield scratch
        if new and not target.exists():
            scratch.chmod(0o777 & ~_umask())
            os.replace(scratch, target)
            return
        for file in sorted(path for path in scratch.rglob("*") if path.is_file()):
            final = target / file.relative_to(scratch)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _umask() -> int:
    """Returns the process's mask of permissions, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def claimed(folder: str | os.PathLike[str]) -> Iterator[bool]:
    """Claims a folder for this process until the block ends or the process dies, however it dies.

    The claim is the operating system's lock on ``folder/.lock``, so nothing is left to clear away
    after a kill; it needs a POSIX system, and on a network file system one that locks.

    Args:
        folder: The folder; made if missing.

    Yields:
        Whether the folder was free and is now claimed.

    Raises:
        OSError: On Windows.
    """
    try:
        import fcntl
    except ImportError as error:
        raise OSError(
            "Programs that write to a folder need the file locks of Linux and macOS: on Windows, "
            f"run them in its Subsystem for Linux (WSL). Received: {str(folder)!r}"
        ) from error

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def settle(
    folder: str | os.PathLike[str],
    settings: Mapping[str, Any],
    record: str = "settings.json",
    writes: bool = True,
    remedy: str = "",
) -> bool:
    """Makes a folder the place of one configuration's results, or checks that it already is.

    Args:
        folder: The folder; made if missing.
        settings: Everything that decides the results, as plain data.
        record: The file of the folder that keeps the settings.
        writes: Whether this process may write (of several that share a run, one does).
        remedy: What else a user whose settings differ may do, as a sentence after a space.

    Returns:
        Whether the folder was free.

    Raises:
        ValueError: If it holds results of other settings; the message names each difference.
    """
    file = Path(folder) / record
    wanted = json.loads(json.dumps(settings, default=plain))
    if not file.exists():
        if writes:
            write_json(file, wanted, durable=True)
        return True
    if lines := told_differences(read_json(file), wanted):
        raise ValueError(
            "An output folder belongs to one configuration: give a new folder, repeat the command "
            f"that made this one, or delete it.{remedy} Received: out={str(folder)!r}, which "
            f"differs in\n{lines}"
        )
    return False


@contextmanager
def settled(
    folder: str | os.PathLike[str],
    settings: Mapping[str, Any],
    record: str = "settings.json",
    writes: bool = True,
    remedy: str = "",
) -> Iterator[None]:
    """Settles a folder, see ``settle``, and gives it back where nothing came of it.

    If the block fails before it has left a file in a folder that was free, the record is removed
    again, and every folder that was made here: a corrected command would otherwise be told that
    the folder belongs to the wrong one.
    """
    folder = Path(folder)
    made_here = [path for path in (folder, *folder.parents) if not path.exists()]
    free = settle(folder, settings, record, writes, remedy)
    file = folder / record
    try:
        yield
    except BaseException:  # Ctrl-C, too
        if free and writes and not any(p.is_file() and p != file for p in folder.rglob("*")):
            file.unlink(missing_ok=True)
            if made_here:
                shutil.rmtree(folder)
            for path in made_here[1:]:
                if not any(path.iterdir()):
                    path.rmdir()
        raise


def differing_keys(stored: Any, wanted: Any) -> dict[str, tuple[Any, Any]]:
    """Returns ``{dotted key: (stored value, wanted value)}`` for every difference of plain data."""
    old, new = dict(_flatten(stored)), dict(_flatten(wanted))
    return {
        key: (old.get(key, _MISSING), new.get(key, _MISSING))
        for key in sorted({*old, *new})
        if old.get(key, _MISSING) != new.get(key, _MISSING)
    }


def told_differences(stored: Any, wanted: Any) -> str:
    """Returns a line for every difference of plain data; nothing where they are alike."""
    return "\n".join(
        f"  {key}: there {old!r}, wanted {new!r}"
        for key, (old, new) in differing_keys(stored, wanted).items()
    )


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key in sorted(value):
            yield from _flatten(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for place, item in enumerate(value):
            yield from _flatten(item, f"{path}[{place}]")
    else:
        yield path, value
