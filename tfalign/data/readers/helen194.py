"""Helen with its original 194 points.

Layout below the root: ``annotation/N.txt``, ``trainnames.txt`` and ``testnames.txt`` (one image
name per line, without suffix), and the images as ``NAME.jpg`` anywhere below the root (the
archives unpack to folders such as ``helen_1``).

An annotation's first line is the image's name, each of the 194 others ``x , y``.

Reading: the release does not say where its first pixel lies; the points are taken as 0-based with
the centre of the first pixel at 0, hence 0.5 is added. Faces are over 500 pixels wide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tfalign.data.readers.image import ImageFile, is_metadata, missing_image
from tfalign.data.readers.reader import Reader, attempt, expand_splits
from tfalign.data.readers.record import CORNER_FROM_ZERO_BASED, Record, build_record
from tfalign.data.readers.report import OnError, Problem, ReadingReport
from tfalign.data.readers.text import parse_numbers, read_bytes, read_lines

NUM_POINTS = 194
LISTS = {"train": "trainnames.txt", "test": "testnames.txt"}


def read(
    root: str | Path, splits: Sequence[str] | str | None = None, on_error: OnError = "raise"
) -> Reader:
    """Reads Helen's 194-point annotations.

    Args:
        root: The folder of ``annotation``.
        splits: ``"train"``, ``"test"``, which need their list of names, or ``"all"``, which does
            not and is what None reads.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.

    Returns:
        A reader of 194-point samples in image space, named by their image's path below the root;
        all points count as visible.

    Raises:
        FileNotFoundError: If a list, ``annotation``, or (``"raise"``) an image or an annotation of
            a listed name is missing.
        ValueError: If ``splits`` is not as above, or (``"raise"``) an annotation is bad.
    """
    root = Path(root)
    chosen = expand_splits(splits, [*LISTS, "all"], {}, ["all"])
    report = ReadingReport(on_error)
    annotations = _annotations(root / "annotation", report)
    images: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() == ".jpg" and not is_metadata(path):
            images.setdefault(path.stem, []).append(path)
    records: list[Record] = []
    for split in chosen:
        for name, where in _members(root, split, annotations, report):
            if name not in annotations:
                message = f"no file in annotation/ starts with the name {name!r}."
                report.reject(Problem("missing-annotation", where, message, name))
                continue
            path, lines = annotations[name]
            record = attempt(report, _record, root, name, path, lines, images.get(name, []))
            if record is not None:
                records.append(record)
    return Reader("helen194", "helen194", records, report)


_Lines = list[tuple[str, str]]


def _annotations(folder: Path, report: ReadingReport) -> dict[str, tuple[Path, _Lines]]:
    """Returns every annotation's file and lines by image name."""
    if not folder.is_dir():
        raise Problem("missing-annotation", str(folder), "no such folder.").error()
    paths = [path for path in folder.glob("*.txt") if not is_metadata(path)]
    paths.sort(key=lambda path: (len(path.stem), path.stem))
    whole = {path: read_bytes(path).endswith(b"\n") for path in paths}
    annotations: dict[str, tuple[Path, _Lines]] = {}
    for path in paths:
        problems = ReadingReport("skip")
        lines = list(read_lines(path, problems))
        # A file cut within its last number still has 194 points. Its only trace is the missing
        # line end, which counts as one where other files of the folder have it.
        if not whole[path] and any(whole.values()):
            message = "the last line must end like the other files' (truncated?)"
            report.reject(Problem("malformed-line", str(path), message))
        elif problems.skipped or not lines:
            message = "a name and 194 lines are needed. Received: an empty file"
            empty = Problem("malformed-line", str(path), message)
            report.reject(problems.skipped[0] if problems.skipped else empty)
        elif lines[0][1] in annotations:
            message = f"{lines[0][1]!r} must be annotated once; {annotations[lines[0][1]][0]} does."
            report.reject(Problem("duplicate", str(path), message, lines[0][1]))
        else:
            annotations[lines[0][1]] = path, lines[1:]
    return annotations


def _members(
    root: Path, split: str, annotations: dict[str, tuple[Path, _Lines]], report: ReadingReport
) -> list[tuple[str, str]]:
    """Returns (name, where) of a split's faces."""
    if split == "all":
        return [(name, str(path)) for name, (path, _) in annotations.items()]
    members: dict[str, str] = {}
    for where, name in read_lines(root / LISTS[split], report):
        if name in members:
            message = f"a name must be listed once; {members[name]} lists it, too."
            report.reject(Problem("duplicate", where, message, name))
        else:
            members[name] = where
    return list(members.items())


def _record(root: Path, name: str, path: Path, lines: _Lines, images: list[Path]) -> Record:
    if not images:
        raise missing_image(root / f"{name}.jpg", str(path)).error()
    if len(images) > 1:
        message = f"a name must belong to one image. Received: {[str(i) for i in images]}"
        raise Problem("duplicate", str(path), message, name).error()
    points = []
    for where, text in lines:
        tokens = re.split(r"[ \t]*,[ \t]*", text)
        if len(tokens) != 2:
            message = f"a line must hold 'x , y'. Received: {text!r}"
            raise Problem("malformed-line", where, message, name).error()
        points.append(parse_numbers(tokens, where))
    if len(points) != NUM_POINTS:
        message = f"a face must have {NUM_POINTS} points. Received: {len(points)}"
        raise Problem("wrong-number-of-points", str(path), message, name).error()
    return build_record(
        name=images[0].relative_to(root).as_posix(),
        image=ImageFile(images[0], str(path)),
        points=points,
        num_points=NUM_POINTS,
        where=str(path),
        shift=CORNER_FROM_ZERO_BASED,
    )
