"""Faces in a CSV table: one row a face.

The first line names the columns. The first column is the image, relative to the file's folder or to
``images/`` beside it. The points come in one of three forms:

    image,nose_x,nose_y,nose_v,…    the documented form: names; v, which may be left out, is 0 for a
                                    point that is not annotated, 1 for a hidden, 2 for a visible one
    image,x0,y0,x1,y1,…             numbers; with v0, v1, … as above, or without
    image,0,1,2,3,…                 x and y of each point in turn

``box_left,box_top,box_right,box_bottom`` are the face's box, in the points' convention, or
``box_left,box_top,box_width,box_height``; a box by other names is refused, not taken for points.
``split`` names the split that a row belongs to. It and every further column become attributes, e.g.
the person, by which faces can be grouped. Columns are divided by a comma, a semicolon or a tab. A
point whose x and y are empty is not annotated.

The centre of the first pixel is (0, 0), see ``first_pixel``. Images are turned upright as their
EXIF orientation says.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import markup
from tfalign.data.readers.csv_columns import Columns, find_columns
from tfalign.data.readers.image import OTHER_FOLDER, ImageFile, find_image, image_folder
from tfalign.data.readers.reader import Reader, annotation_files, attempt, numbered_names
from tfalign.data.readers.record import Record, build_record
from tfalign.data.readers.report import OnError, Problem, ReadingReport
from tfalign.data.readers.text import parse_numbers, read_bytes, read_lines

_SPLIT = "split"


def read(
    root: str | Path,
    splits: Sequence[str] | str | None = None,
    on_error: OnError = "raise",
    scheme: str | Mapping[str, Any] | markup.LandmarkScheme | None = None,
    images: str | Path | None = None,
    first_pixel: float = 0.0,
    upright: bool = True,
) -> Reader:
    """Reads tables of faces.

    Args:
        root: The CSV file, or the folder of the files.
        splits: A split S is ``S.csv``, or the rows with S in the column ``split``; None reads all.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.
        scheme: The points' scheme; named columns are found in it by name, others are its points in
            order. None makes it of the columns' names.
        images: Folder that image names are relative to; None looks beside the file.
        first_pixel: Coordinate of the centre of the first pixel: 0, 1, or 0.5 where the points are
            measured from the image's corner.
        upright: Whether to follow the images' EXIF orientation.

    Returns:
        A reader of samples in image space, named by their image; further rows of one image get
        ``#2``, ``#3``…

    Raises:
        FileNotFoundError: If a file or (``"raise"``) an image is missing.
        ValueError: If a header is of no form above, a split is missing, or (``"raise"``) a row is
            bad.
    """
    root = Path(root)
    report = ReadingReport(on_error)
    wanted = [splits] if isinstance(splits, str) else list(splits or ())
    tables = [_table(path, scheme, report) for path in _files(root, wanted)]
    found = tables[0].scheme
    by_row = [table for table in tables if _SPLIT in table.columns and wanted]
    for table in tables:
        if table.scheme != found:
            message = "all files must have the same points, or `scheme` must say which."
            raise Problem("unreadable-file", str(table.path), message).error()
        if by_row and table not in by_row:
            message = (
                f"where a file has the column {_SPLIT!r}, all must have it: these rows would "
                f"belong to every split. Add the column, or give {by_row[0].path.name} alone."
            )
            raise Problem("unreadable-file", str(table.path), message).error()
    for name in wanted if by_row else ():
        if not any(
            name == row[table.columns.index(_SPLIT)] for table in by_row for _, row in table.rows
        ):
            there = {row[t.columns.index(_SPLIT)] for t in by_row for _, row in t.rows}
            message = f"no row has {name!r} in the column {_SPLIT!r}. Received: {sorted(there)}"
            raise Problem("missing-annotation", str(root), message).error()
    records: list[Record] = []
    for table in tables:
        rows = table.rows
        if table in by_row:
            rows = [row for row in rows if row[1][table.columns.index(_SPLIT)] in wanted]
        names = numbered_names([fields[0].replace("\\", "/") for _, fields in rows])
        folder = image_folder(table.path, images, names)
        for (where, fields), name in zip(rows, names, strict=True):
            arguments = (table, where, fields, name, folder, 0.5 - first_pixel, upright)
            if (record := attempt(report, _record, *arguments)) is not None:
                records.append(record)
    return Reader("csv", found, records, report)


def _files(root: Path, wanted: Sequence[str]) -> list[Path]:
    """Returns the files of the splits; all of them where the splits are a column's."""
    if root.is_dir() and wanted and not any((root / f"{name}.csv").is_file() for name in wanted):
        files = annotation_files(root, None, ".csv")
        if any(_SPLIT in header(path)[1] for path in files):
            return files
    if root.is_file() and wanted and _SPLIT in header(root)[1]:
        return [root]
    return annotation_files(root, wanted or None, ".csv")


def header(path: Path) -> tuple[str, list[str]]:
    """Returns a table's delimiter and the names of its columns."""
    where, text = next(read_lines(path, ReadingReport("raise"), ends=""), (f"{path}:1", ""))
    delimiter = max(",;\t", key=text.count)
    columns = _cells(text, delimiter, where)
    if len(columns) < 3 or len(set(columns)) < len(columns):
        message = f"a header of different column names is needed. Received: {text[:80]!r}"
        raise Problem("malformed-line", where, message).error()
    return delimiter, columns


def _cells(text: str, delimiter: str, where: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, strict=True))]
    except csv.Error as error:
        message = f"a row must be comma-separated values. Received: {error}"
        raise Problem("malformed-line", where, message).error() from error


@dataclass(eq=False)
class _Table:
    """A table: its columns' names, its rows with where they stand, and what its columns hold, with
    the points in the scheme's order."""

    path: Path
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    scheme: markup.LandmarkScheme
    held: Columns


def _table(path: Path, scheme: Any, report: ReadingReport) -> _Table:
    delimiter, columns = header(path)
    held = find_columns(path, columns)
    names, places = held.names, held.points
    if scheme is None:
        found = _scheme(path, names) if names else markup.LandmarkScheme.unnamed(len(places))
    else:
        found = markup.get(scheme)
        order = [names.index(p) if p in names else -1 for p in found.points] if names else None
        if len(places) != found.num_points or (order is not None and -1 in order):
            raise ValueError(
                f"The columns of {path} must be the {found.num_points} points of the scheme "
                f"{found.name!r}. Received: {names or len(places)}"
            )
        held = held if order is None else replace(held, points=places[order])
    content = read_bytes(path)
    # Without its line end the last row may have lost digits of its last number.
    last = content.count(b"\n") + 1
    cut = None if content.endswith(b"\n") else f"{path}:{last}"
    rows: list[tuple[str, list[str]]] = []
    seen: dict[str, str] = {}
    lines = read_lines(path, report, ends="")  # A tab may stand for empty cells.
    next(lines)
    for where, text in lines:
        first = seen.setdefault(text, where)
        try:
            if where == cut:
                message = "the last row must end with a line end (truncated?)"
                raise Problem("malformed-line", where, message).error()
            if first != where:
                message = f"a face must be listed once. Received: the row {first} again"
                raise Problem("duplicate", where, message).error()
            fields = _cells(text, delimiter, where)
            if len(fields) != len(columns):
                message = f"a row must have {len(columns)} fields. Received: {len(fields)}"
                raise Problem("malformed-line", where, message).error()
            if not fields[0]:
                raise Problem("malformed-line", where, "a row must name its image.").error()
            rows.append((where, fields))
        except ValueError as error:
            report.reject(error.problem)  # type: ignore[attr-defined]
    return _Table(path, columns, rows, found, held)


def _scheme(path: Path, names: Sequence[str]) -> markup.LandmarkScheme:
    try:
        return markup.LandmarkScheme(f"csv_{len(names)}", tuple(names))
    except ValueError as error:
        message = f"its columns make no scheme, so `scheme` must be given: {error}"
        raise Problem("unreadable-file", str(path), message).error() from error


def _record(
    table: _Table,
    where: str,
    fields: Sequence[str],
    name: str,
    folder: Path,
    shift: float,
    upright: bool,
) -> Record:
    count = table.scheme.num_points
    points = np.zeros((count, 2))
    flags = np.full(count, 2)
    for point, (x, y, v) in enumerate(table.held.points):
        cells = [fields[x], fields[y]]
        flag = fields[v] if v >= 0 else "2"
        if flag not in ("0", "1", "2", ""):
            message = f"v must be 0, 1 or 2. Received: {flag!r}"
            raise Problem("malformed-line", where, message, name).error()
        if cells == ["", ""] or flag == "0":
            flags[point] = 0
        else:
            points[point] = parse_numbers(cells, where)
            flags[point] = int(flag or 2)
    held = table.held
    used = {0, *held.points.ravel().tolist(), *held.box}
    box = None
    if any(fields[place] for place in held.box):
        box = parse_numbers([fields[place] for place in held.box], where)
        if held.sized:
            box[2:] = [box[0] + box[2], box[1] + box[3]]
    return build_record(
        name=name,
        image=ImageFile(find_image(folder, fields[0], where, OTHER_FOLDER), where, upright=upright),
        points=points,
        num_points=count,
        where=where,
        shift=shift,
        box=box,
        visible=flags == 2,
        annotated=flags > 0,
        attributes={
            column: fields[place] for place, column in enumerate(table.columns) if place not in used
        },
    )
