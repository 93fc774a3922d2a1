"""Frames of YouTube Faces with 68 machine-made points (udacity/P1_Facial_Keypoints).

Layout below the root: ``training/NAME_VF.jpg`` and ``training_frames_keypoints.csv`` (and, in the
original release, ``test/`` and ``test_frames_keypoints.csv``). The table has the header
``,0,1,…,135`` and a row per image: file name, x0, y0, x1, y1, …

The labels come from a coarse detector: good for pre-training, too coarse to measure errors.

Reading: the coordinates are whole numbers of a heat map laid over the image, 0-based as far as can
be told, with the centre of the first pixel at 0: 0.5 is added.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tfalign.data.readers.image import ImageFile, find_image
from tfalign.data.readers.reader import Reader, attempt, expand_splits
from tfalign.data.readers.record import CORNER_FROM_ZERO_BASED, Record, build_record
from tfalign.data.readers.report import OnError, Problem, ReadingReport
from tfalign.data.readers.text import parse_numbers, read_bytes, read_lines

NUM_POINTS = 68
FILES = {"training": "training_frames_keypoints.csv", "test": "test_frames_keypoints.csv"}


def read(
    root: str | Path, splits: Sequence[str] | str | None = None, on_error: OnError = "raise"
) -> Reader:
    """Reads the table of key points.

    Args:
        root: The folder of the table.
        splits: ``"training"`` (alias ``"train"``), ``"test"``; None reads those whose table exists.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.

    Returns:
        A reader of 68-point samples in image space, named ``SPLIT/FILE``; all points count as
        visible, the box is the landmarks' tight box. ``attributes`` holds ``person`` and
        ``video``, by which frames of one person or video are kept together in a split.

    Raises:
        FileNotFoundError: If a table, or (``"raise"``) an image, is missing.
        ValueError: If ``splits`` is not as above, or (``"raise"``) a row is bad.
    """
    root = Path(root)
    existing = [split for split, name in FILES.items() if (root / name).is_file()]
    report = ReadingReport(on_error)
    records: list[Record] = []
    aliases = {"train": ("training",)}
    for split in expand_splits(splits, list(FILES), aliases, existing or ["training"]):
        path = root / FILES[split]
        rows = read_lines(path, report)
        where, header = next(rows, (f"{path}:1", ""))
        if header.split(",") != ["", *map(str, range(2 * NUM_POINTS))]:
            message = f"the header must be ',0,1,…,{2 * NUM_POINTS - 1}'. Received: {header[:40]!r}"
            raise Problem("malformed-line", where, message).error()
        # Without its line end the last row may have lost digits of its last number.
        last = None if read_bytes(path).endswith(b"\n") else read_bytes(path).count(b"\n") + 1
        seen: dict[str, str] = {}
        for where, text in rows:
            name, *values = text.split(",")
            if where == f"{path}:{last}":
                message = "the last row must end with a line end (truncated?)"
                report.reject(Problem("malformed-line", where, message, name))
            elif (first := seen.setdefault(name, where)) != where:
                message = f"an image must have one row; {first} is of it, too."
                report.reject(Problem("duplicate", where, message, name))
            else:
                record = attempt(report, _record, root, split, name, values, where)
                if record is not None:
                    records.append(record)
    return Reader("ytf", "ibug68", records, report)


def _record(root: Path, split: str, name: str, values: list[str], where: str) -> Record:
    match = re.fullmatch(r"([^/\\]+)_([0-9]+)([0-9])\.(?:jpg|png)", name)
    if match is None:
        message = f"the first field must be a file NAME_VF.jpg. Received: {name!r}"
        raise Problem("malformed-line", where, message).error()
    if len(values) != 2 * NUM_POINTS:
        message = f"a row must hold {2 * NUM_POINTS} coordinates. Received: {len(values)}"
        raise Problem("wrong-number-of-points", where, message, name).error()
    path = find_image(root / split, name, where)
    numbers = parse_numbers([value.strip(" \t") for value in values], where)
    return build_record(
        name=f"{split}/{name}",
        image=ImageFile(path, where),
        points=[numbers[i : i + 2] for i in range(0, len(numbers), 2)],
        num_points=NUM_POINTS,
        where=where,
        shift=CORNER_FROM_ZERO_BASED,
        attributes={"person": match[1], "video": int(match[2])},
    )
