"""Large jobs: finding their inputs, and rows that survive a kill."""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tfalign.extras import how_to_install
from tfalign.files import replacing
from tfalign.inference.faces import Faces
from tfalign.inference.images import IMAGE_SUFFIXES
from tfalign.inference.names import shown
from tfalign.inference.video import VIDEO_SUFFIXES

# What `tfalign align` writes, and would find in the folder that it writes to.
_OWN_NAME = re.compile(r"(_aligned\.\w+|\.crop\d+\.png)$")


@dataclass
class Inputs:
    """What a job shall look at.

    Attributes:
        paths: Pictures and clips, absolute, each once, in the order given; a folder's by name.
        left_out: Everything else that was met, with the reason.
    """

    paths: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)


def find_inputs(
    given: Iterable[str | os.PathLike[str]],
    recursive: bool = False,
    without: str | os.PathLike[str] | None = None,
) -> Inputs:
    """Finds the pictures and clips of files, folders and patterns.

    A file that is named is taken, whatever its ending; of a folder's files those with a known one.

    Args:
        given: Paths, or patterns with ``*``, ``?`` or ``**`` where no file has that name.
        recursive: Whether folders in folders are entered.
        without: The folder of the job's own output, whose pictures and films are left out.

    Raises:
        FileNotFoundError: If a path does not exist, or nothing fits a pattern.
        ValueError: If there is no picture and no clip at all.
    """
    found = Inputs()
    seen: set[str] = set()
    entered: set[str] = set()
    own = None if without is None else os.path.realpath(without) + os.sep

    def take(path: Path) -> None:
        # Absolute: a name alone tells another picture in every folder. Links are not followed: each
        # is a picture of its own.
        path = path.absolute()
        if (
            own is not None
            and os.path.realpath(path).startswith(own)
            and _OWN_NAME.search(path.name)
        ):
            found.left_out.append((path, "written by this command"))
        elif str(path) not in seen:
            seen.add(str(path))
            found.paths.append(path)

    def enter(folder: Path) -> None:
        real = os.path.realpath(folder)
        if real in entered:  # a link may lead back to a folder that it lies in
            found.left_out.append((folder, "a folder that was entered already"))
            return
        entered.add(real)
        for entry in sorted(folder.iterdir()):
            suffix = entry.suffix.lower()
            if entry.name.startswith("."):
                found.left_out.append((entry, "hidden"))
            elif entry.is_dir():
                if recursive:
                    enter(entry)
                else:
                    found.left_out.append((entry, "a folder in a folder (--recursive enters it)"))
            elif suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES:
                take(entry)
            else:
                found.left_out.append((entry, "its name ends as no picture's or clip's"))

    for one in given:
        path = Path(one)
        matches = [path] if path.exists() else []
        if not matches and glob.has_magic(os.fspath(one)):
            matches = [Path(name) for name in sorted(glob.glob(os.fspath(one), recursive=True))]
        if not matches:
            raise FileNotFoundError(f"There is no such image, clip or folder. Received: {path}")
        for match in matches:
            if match.is_dir():
                enter(match)
            else:
                take(match)
    if not found.paths:
        names = ", ".join(str(path) for path, _ in found.left_out[:3])
        raise ValueError(
            "The inputs must hold a picture or a clip. Received: "
            f"{', '.join(map(str, given)) if isinstance(given, Sequence) else given}"
            + (f", with {len(found.left_out)} other entries ({names}, …)" if names else "")
        )
    return found


def listed_paths(stream: IO[bytes]) -> list[str]:
    """Reads a list of paths: one a line, or, if the list holds a zero byte, between those.

    Names need not be UTF-8.
    """
    content = stream.read()
    separator = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(line.rstrip(b"\r")) for line in content.split(separator) if line.strip()]


def picture_row(
    faces: Faces, source: str | os.PathLike[str], files: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns the result of one picture as plain data, for JSON lines and Parquet.

    Args:
        faces: What was found in it, or the error.
        source: The picture's path.
        files: What was written for it.

    Returns:
        ``source``; ``source_bytes``, its name in hexadecimal digits where it is no UTF-8, else
        None; ``height`` and ``width`` of the upright picture, or None; ``error`` or None;
        ``left_out``, detections of too little quality; ``scheme``; and ``faces``, each with
        ``quality``, ``expected_nme``, ``box`` (4,), ``landmarks`` (n, 2) in pixels of the upright
        picture, centre of the first pixel at (0.5, 0.5); ``files``.
    """
    wanted = ("quality", "expected_nme", "box", "landmarks")
    plain = [face.to_dict() for face in faces]
    name = shown(source)
    height, width = faces.sizes[0] or (None, None)
    return {
        "source": name,
        "source_bytes": None if name == os.fspath(source) else os.fsencode(source).hex(),
        "height": height,
        "width": width,
        "error": faces.errors[0],
        "left_out": faces.left_out[0],
        "scheme": plain[0]["scheme"] if plain else None,
        "faces": [{key: face[key] for key in wanted} for face in plain],
        "files": dict(files or {}),
    }


def file_state(path: str | os.PathLike[str]) -> list[int]:
    """Returns a file's size in bytes and the time of its last change in nanoseconds.

    Raises:
        OSError: If it cannot be looked at.
    """
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns]


def row_key(source: str | os.PathLike[str]) -> bytes:
    """Returns what tells one picture from another: its path's bytes."""
    return hashlib.blake2b(os.fsencode(source), digest_size=12).digest()


def row_source(row: Mapping[str, Any]) -> str:
    """Returns the path of a row's picture, also one whose name is no UTF-8."""
    raw = row.get("source_bytes")
    return str(row["source"]) if raw is None else os.fsdecode(bytes.fromhex(raw))


class RowFile:
    """A file of JSON lines that grows as a job goes on, and that a killed job continues.

    Each row is one write, so that a kill leaves whole rows and at most a part of the last one,
    which is taken away when the job continues.

    Args:
        path: The file; rows that it has are kept.

    Attributes:
        done: Keys of the pictures that have a row (``row_key``), with a hash of the state that the
            picture had (``file_state``), or None where the row does not tell it.
        names: The names that their outputs have.
        errors: What the rows tell of pictures that could not be read, and of gaps in clips.
        counts: How many ``photographs`` and ``clips`` have a row, how many photographs have a face
            (``with_a_face``), and how many ``faces`` these have.

    Raises:
        ValueError: If a line is no row; the message names it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.exists():
            self._mend()
        self._open()

    def _open(self) -> None:
        self.done: dict[bytes, int | None] = {}
        self.names: list[str] = []
        self.errors: list[str] = []
        self.counts = dict.fromkeys(("photographs", "with_a_face", "faces", "clips"), 0)
        self._failed: set[bytes] = set()
        if self.path.exists():
            for row in read_rows(self.path):
                self._note(row)
        self._file = self.path.open("ab", buffering=0)

    def retry(self, sources: Iterable[str | os.PathLike[str]]) -> int:
        """Takes away the rows of those of these pictures that could not be read, or have changed.

        Somebody may have mended the former; one that is still broken gets its row again. What was
        written for the latter is removed, too.

        Returns:
            How many have changed.
        """
        given = {row_key(source): source for source in sources}
        changed = {
            key
            for key, source in given.items()
            if (before := self.done.get(key)) is not None and before != _state_hash(source)
        }
        again = changed | (self._failed & given.keys())
        if not again:
            return 0
        self.close()
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            for row in read_rows(self.path):
                key = row_key(row_source(row))
                if key in changed:
                    _remove_written(row, self.path.parent)
                elif row.get("error") is None or key not in again:
                    file.write(_line(row))
        self._open()
        return len(changed)

    def add(self, row: Mapping[str, Any]) -> None:
        """Appends a row."""
        self._file.write(_line(row))
        self._note(row)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _note(self, row: Mapping[str, Any]) -> None:
        key = row_key(row_source(row))
        state = row.get("files", {}).get("source")
        self.done[key] = None if state is None else hash(tuple(state))
        faces = len(row.get("faces", ()))
        self.counts["clips" if "clip" in row else "photographs"] += 1
        self.counts["with_a_face"] += bool(faces)
        self.counts["faces"] += faces
        if row.get("error") is not None:
            self.errors.append(row["error"])
            self._failed.add(key)
        self.errors += row.get("problems", [])
        if "name" in row.get("files", {}):
            self.names.append(row["files"]["name"])

    def _mend(self) -> None:
        """Takes a last line without its end away."""
        with self.path.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            step, end = 1 << 16, size
            while end:
                start = max(0, end - step)
                file.seek(start)
                cut = file.read(end - start).rfind(b"\n")
                if cut >= 0:
                    file.truncate(start + cut + 1)
                    return
                end = start
            file.truncate(0)


def _state_hash(path: str | os.PathLike[str]) -> int | None:
    try:
        return hash(tuple(file_state(path)))
    except OSError:
        return None  # whoever opens it will tell


def _line(row: Mapping[str, Any]) -> bytes:
    # ASCII: a name that is no UTF-8 cannot break the file.
    return (json.dumps(row, allow_nan=False) + "\n").encode("ascii")


def read_rows(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yields the rows of a file of JSON lines.

    Raises:
        ValueError: If a line is no JSON object with a ``source``; the message names file and line.
    """
    with Path(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number} is no JSON: {error}") from error
            if not isinstance(row, dict) or "source" not in row:
                raise ValueError(f"{path}:{number} must be an object with a 'source'.")
            yield row


def remove_files(rows: str | os.PathLike[str]) -> None:
    """Removes what a job has written: the files that its rows name, and then the rows.

    A name with a folder in it is none of a job's, and is left alone.
    """
    rows = Path(rows)
    if not rows.exists():
        return
    found = []
    # A line that is torn or damaged names no files, and must not keep the folder from its new use.
    with contextlib.suppress(ValueError):
        found.extend(read_rows(rows))
    for row in found:
        _remove_written(row, rows.parent)
    rows.unlink()


def _remove_written(row: Mapping[str, Any], folder: Path) -> None:
    files = row.get("files", {})
    written = [*files.get("pts", ()), *files.get("crops", ()), files.get("overlay")]
    if "clip" in row and "name" in files:
        written += [f"{files['name']}_aligned.{kind}" for kind in ("jsonl", "csv", "mp4")]
    for name in written:
        if name is not None and Path(name).name == name:
            (folder / name).unlink(missing_ok=True)


def write_csv(
    rows: str | os.PathLike[str],
    out: str | os.PathLike[str],
    num_landmarks: int,
    frames: bool = False,
) -> Path:
    """Writes the faces of a file of JSON lines as a table, one a line.

    Args:
        rows: The file.
        out: The table.
        num_landmarks: n.
        frames: Whether the rows are a clip's frames: then a face has its frame, seconds and track
            in the place of source and number.
    """
    names = ("frame", "seconds", "track") if frames else ("source", "face")
    boxes = ("box_x0", "box_y0", "box_x1", "box_y1")
    points = [f"{axis}{index}" for index in range(num_landmarks) for axis in "xy"]
    with replacing(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "quality", "expected_nme", *boxes, *points])
        for row in read_rows(rows):
            for index, face in enumerate(row["faces"]):
                which = {**row, **face, "face": index}
                flat = [value for point in face["landmarks"] for value in point]
                figures = [face["quality"], face["expected_nme"], *face["box"], *flat]
                writer.writerow([*(which[name] for name in names), *figures])
    return Path(out)


def write_parquet(rows: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Writes a file of JSON lines as Parquet, a few rows at a time.

    Raises:
        ImportError: If pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(f"Parquet needs pyarrow. {how_to_install('media')}") from error
    schema = row_schema(pa)
    with replacing(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        group: list[dict[str, Any]] = []
        for row in read_rows(rows):
            group.append({name: row.get(name) for name in schema.names})
            if len(group) == 1000:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        writer.write_table(pa.Table.from_pylist(group, schema))
    return Path(out)


def row_schema(pa: Any) -> Any:
    """Returns the Arrow schema of ``picture_row`` without ``files``; ``pa`` is pyarrow."""
    number = pa.float64()
    face = pa.struct(
        [
            ("quality", number),
            ("expected_nme", number),
            ("box", pa.list_(number)),
            ("landmarks", pa.list_(pa.list_(number))),
        ]
    )
    return pa.schema(
        [
            ("source", pa.string()),
            ("source_bytes", pa.string()),
            ("height", pa.int64()),
            ("width", pa.int64()),
            ("error", pa.string()),
            ("left_out", pa.int64()),
            ("scheme", pa.string()),
            ("faces", pa.list_(face)),
        ]
    )
