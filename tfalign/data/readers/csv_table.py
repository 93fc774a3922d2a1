"""Faces in a CSV table: one row a face.

The first line names the columns. The first column is the image, relative to the file's folder or to
``images/`` beside it. The points come in one of three forms:

    image,nose_x,nose_y,nose_v,…    the documented form: names; v, which may be left out, is 0 for a
                                    point that is not annotated, 1 for a hidden, 2 for a visible one
    image,x0,y0,x1,y1,…             numbers
    image,0,1,2,3,…                 x and y of each point in turn

``box_left,box_top,box_right,box_bottom`` are the face's box, in the points' convention. ``split``
names the split that a row belongs to. Every further column becomes an attribute, e.g. the person,
by which faces can be grouped. Columns are divided by a comma, a semicolon or a tab. A point whose
x and y are empty is not annotated.

The centre of the first pixel is (0, 0), see ``first_pixel``. Images are turned upright as their
EXIF orientation says.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import markup
from tfalign.data.readers.image import OTHER_FOLDER, ImageFile, find_image, image_folder
from tfalign.data.readers.reader import Reader, annotation_files, attempt, numbered_names
from tfalign.data.readers.record import Record, build_record
from tfalign.data.readers.report import OnError, Problem, ReadingReport
from tfalign.data.readers.text import parse_numbers, read_bytes, read_lines

_BOX = ("box_left", "box_top", "box_right", "box_bottom")
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
    for name in wanted if by_row else ():
        if not any(
            name == row[table.columns.index(_SPLIT)] for table in by_row for _, row in table.rows
        ):
            message = f"no row has {name!r} in the column {_SPLIT!r}."
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
    where, text = next(read_lines(path, ReadingReport("raise")), (f"{path}:1", ""))
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
    """A table: its columns, its rows with where they stand, and the columns of each point."""

    path: Path
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    scheme: markup.LandmarkScheme
    places: np.ndarray  # (n, 3) the columns of x, y and v; -1 where there is none


def _table(path: Path, scheme: Any, report: ReadingReport) -> _Table:
    delimiter, columns = header(path)
    names, places = _points(path, columns)
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
        places = places if order is None else places[order]
    content = read_bytes(path)
    # Without its line end the last row may have lost digits of its last number.
    last = content.count(b"\n") + 1
    cut = None if content.endswith(b"\n") else f"{path}:{last}"
    rows: list[tuple[str, list[str]]] = []
    seen: dict[str, str] = {}
    lines = read_lines(path, report)
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
    return _Table(path, columns, rows, found, places)


def _scheme(path: Path, names: Sequence[str]) -> markup.LandmarkScheme:
    try:
        return markup.LandmarkScheme(f"csv_{len(names)}", tuple(names))
    except ValueError as error:
        message = f"its columns make no scheme, so `scheme` must be given: {error}"
        raise Problem("unreadable-file", str(path), message).error() from error


def _points(path: Path, columns: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Returns the points' names ([] where they have numbers only) and their columns."""
    at = {name: place for place, name in enumerate(columns) if place > 0}
    bare = [name for name in at if re.fullmatch("[0-9]+", name)]
    ends = [name[1:] for name in at if re.fullmatch("x_?[0-9]+", name)]
    ends.sort(key=lambda end: int(end.strip("_")))
    names: list[str] = []
    if bare:
        order, wanted = bare, [str(i) for i in range(len(bare) + len(bare) % 2)]
        triples = [(*wanted[i : i + 2], "") for i in range(0, len(wanted), 2)]
    elif ends:
        order = [end.strip("_") for end in ends]
        wanted = [str(int(order[0] != "0") + i) for i in range(len(ends))]
        triples = [(f"x{end}", f"y{end}", "") for end in ends]
    else:
        names = [name[:-2] for name in at if name.endswith("_x") and name[:-2] + "_y" in at]
        order = wanted = names
        triples = [(f"{name}_x", f"{name}_y", f"{name}_v") for name in names]
        _check_named(path, at, names)
    missing = [name for x, y, _ in triples for name in (x, y) if name not in at]
    if order != wanted or missing or not triples:
        message = (
            "the columns after the image's must be NAME_x, NAME_y (and perhaps NAME_v), or x0, y0, "
            f"x1, y1, …, or 0, 1, 2, … of whole points. Received: {list(columns)[:6]}, none of "
            f"{missing[:6]}"
        )
        raise Problem("malformed-line", f"{path}:1", message).error()
    return names, np.array([[at[x], at[y], at.get(v, -1)] for x, y, v in triples])


def _check_named(path: Path, at: Mapping[str, int], names: Sequence[str]) -> None:
    """Checks that the columns of each named point are neighbours, and none is left over."""
    flagged = any(f"{name}_v" in at for name in names)
    endings = ("_x", "_y", "_v")[: 2 + flagged]
    for name in names:
        found = [at.get(f"{name}{ending}") for ending in endings]
        first = at[f"{name}_x"]
        if found != list(range(first, first + len(endings))):
            message = (
                f"the columns {', '.join(name + ending for ending in endings)} must be neighbours "
                f"in this order. Received: {list(at)[first - 1 :][:3]}"
            )
            raise Problem("malformed-line", f"{path}:1", message).error()
    alone = [n for n in at if n.endswith(("_x", "_y", "_v")) and n[:-2] not in names]
    if alone:
        message = f"every point needs its x and its y. Received: {alone} alone"
        raise Problem("malformed-line", f"{path}:1", message).error()


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
    for point, (x, y, v) in enumerate(table.places):
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
    used = {0, *table.places.ravel().tolist()}
    box = None
    if set(_BOX) <= set(table.columns):
        corners = [fields[table.columns.index(side)] for side in _BOX]
        used |= {table.columns.index(side) for side in _BOX}
        box = parse_numbers(corners, where) if any(corners) else None
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
            column: fields[place]
            for place, column in enumerate(table.columns)
            if place not in used and column != _SPLIT
        },
    )
