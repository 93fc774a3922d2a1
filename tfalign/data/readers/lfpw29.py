"""LFPW with its original 29 points: a table of image addresses and of every annotator's points.

Layout below the root::

    kbvt_lfpw_v1_train.csv  kbvt_lfpw_v1_test.csv
    train/ test/                                     the images that the user could still download

The tables are tab-separated (commas are taken, too) with a header: ``imgurl``, ``worker``
(``worker_0``…, ``average``), then ``NAME_x``, ``NAME_y``, ``NAME_t`` of 35 points. The 29 points
of the papers are all but the six of the ears. ``t`` is 0 visible, 1 obscured, 2 hidden by the
viewing angle, 3 hidden by the border of the image.

Only addresses were ever distributed and most are dead, so missing images are normal: they are
listed in ``report.noted`` and never fatal. An image is found as ``SPLIT/image_NNNN.jpg`` (or
png), NNNN being the number of its address in the table from 0001, or under the last part of its
address.

Reading: the points were clicked in a web page and are taken as 0-based with the centre of the
first pixel at 0, hence 0.5 is added.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import numpy as np

from tfalign.data.readers.image import ImageFile, find_image, missing_image
from tfalign.data.readers.reader import Reader, attempt, expand_splits
from tfalign.data.readers.record import CORNER_FROM_ZERO_BASED, Record, build_record
from tfalign.data.readers.report import (
    BadAnnotationError,
    MissingFileError,
    OnError,
    Problem,
    ReadingReport,
)
from tfalign.data.readers.text import parse_numbers, read_lines

NUM_POINTS = 29
FILES = {"train": "kbvt_lfpw_v1_train.csv", "test": "kbvt_lfpw_v1_test.csv"}
# In the order of the table, the ears left out; "left" and "right" are the table's own words.
POINTS = (
    *("left_eyebrow_out", "right_eyebrow_out", "left_eyebrow_in", "right_eyebrow_in"),
    *("left_eyebrow_center_top", "left_eyebrow_center_bottom"),
    *("right_eyebrow_center_top", "right_eyebrow_center_bottom"),
    *("left_eye_out", "right_eye_out", "left_eye_in", "right_eye_in"),
    *("left_eye_center_top", "left_eye_center_bottom"),
    *("right_eye_center_top", "right_eye_center_bottom"),
    *("left_eye_pupil", "right_eye_pupil"),
    *("left_nose_out", "right_nose_out", "nose_center_top", "nose_center_bottom"),
    *("left_mouth_out", "right_mouth_out"),
    *("mouth_center_top_lip_top", "mouth_center_top_lip_bottom"),
    *("mouth_center_bottom_lip_top", "mouth_center_bottom_lip_bottom", "chin"),
)
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def read(
    root: str | Path,
    splits: Sequence[str] | str | None = None,
    on_error: OnError = "raise",
    worker: str = "average",
) -> Reader:
    """Reads LFPW annotations.

    Args:
        root: The folder of the tables.
        splits: ``"train"``, ``"test"``; None reads those whose table exists.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``. Missing images never raise.
        worker: Whose rows to take: ``"average"``, ``"worker_0"``, …

    Returns:
        A reader of 29-point samples in image space, named ``SPLIT/FILE``; ``visible`` is t = 0.
        ``attributes`` holds the ``url``, the ``worker`` and the 29 visibility ``types``.

    Raises:
        FileNotFoundError: If a table is missing.
        ValueError: If ``splits`` is not as above, no row is of ``worker``, or (``"raise"``) an
            annotation is bad.
    """
    root = Path(root)
    existing = [split for split, name in FILES.items() if (root / name).is_file()]
    report = ReadingReport(on_error)
    records: list[Record] = []
    for split in expand_splits(splits, list(FILES), {}, existing or ["train"]):
        workers: set[str] = set()
        seen: dict[str, str] = {}
        for where, number, row in _rows(root / FILES[split], report):
            workers.add(row["worker"])
            if row["worker"] != worker:
                continue
            if (first := seen.setdefault(row["imgurl"], where)) != where:
                message = f"an image must have one row of {worker}. Received: the one of {first}"
                report.reject(Problem("duplicate", where, message, row["imgurl"]))
                continue
            path = _find_image(root / split, number, row["imgurl"])
            if not os.path.isfile(path):
                report.note(missing_image(path, where))
                continue
            if (record := attempt(report, _record, split, path, where, row)) is not None:
                records.append(record)
        if worker not in workers and not report.skipped:
            raise ValueError(
                f"`worker` must be among {sorted(workers)}. Received: worker={worker!r}"
            )
    return Reader("lfpw29", "lfpw29", records, report)


def _rows(path: Path, report: ReadingReport) -> Iterator[tuple[str, int, dict[str, str]]]:
    """Yields (where, number of the image's address from 1, fields by column)."""
    lines = read_lines(path, report)
    where, text = next(lines, (f"{path}:1", ""))
    delimiter = "\t" if "\t" in text else ","
    header = text.split(delimiter)
    needed = ["imgurl", "worker", *(f"{point}_{c}" for point in POINTS for c in "xyt")]
    if missing := [column for column in needed if header.count(column) != 1]:
        message = f"the header must name each column once. Received: none or several of {missing}"
        raise Problem("malformed-line", where, message).error()
    for point in POINTS:
        start = header.index(f"{point}_x")
        if header[start : start + 3] != [f"{point}_{c}" for c in "xyt"]:
            message = f"{point}_x, _y and _t must be neighbours. Received: {header[start:][:3]}"
            raise Problem("malformed-line", where, message).error()
    numbers: dict[str, int] = {}
    for where, text in lines:
        fields = [field.strip(" ") for field in text.split(delimiter)]
        if len(fields) != len(header):
            message = f"a row must have {len(header)} fields. Received: {len(fields)} (truncated?)"
            report.reject(Problem("malformed-line", where, message))
            continue
        row = dict(zip(header, fields, strict=True))
        yield where, numbers.setdefault(row["imgurl"], len(numbers) + 1), row


def _find_image(folder: Path, number: int, url: str) -> Path:
    last = PurePosixPath(unquote(urlsplit(url).path)).name if "://" in url else ""
    names = [f"image_{number:04d}{suffix}" for suffix in _IMAGE_SUFFIXES]
    if last not in ("", ".", "..") and "\0" not in last:
        names.append(last)
    for name in names:
        try:
            return find_image(folder, name, "")
        except (BadAnnotationError, MissingFileError):
            continue
    return folder / names[0]


def _record(split: str, path: Path, where: str, row: dict[str, str]) -> Record:
    points = [parse_numbers([row[f"{point}_x"], row[f"{point}_y"]], where) for point in POINTS]
    types = parse_numbers([row[f"{point}_t"] for point in POINTS], where)
    # The "average" rows hold medians, which of an even number of workers can be a half.
    if any(not 0 <= kind <= 3 or 2 * kind != int(2 * kind) for kind in types):
        message = f"visibility types must be 0 to 3. Received: {types}"
        raise Problem("malformed-line", where, message).error()
    return build_record(
        name=f"{split}/{path.name}",
        image=ImageFile(path, where),
        points=points,
        num_points=NUM_POINTS,
        where=where,
        shift=CORNER_FROM_ZERO_BASED,
        visible=np.asarray(types) == 0,
        attributes={"url": row["imgurl"], "worker": row["worker"], "types": tuple(types)},
        anywhere=np.asarray(types) > 2,
    )
