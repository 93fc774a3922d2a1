"""A folder of ``.pts`` files with any number of points, each beside its image.

Layout: ``NAME.pts`` (or ``.PTS``) beside ``NAME.jpg``, ``.jpeg`` or ``.png``, at any depth below
the root; a split is the folder of that name below the root. A file is

    version: 1            or, without header and braces,      30.5, 41.25
    n_points: 5           the coordinates alone,              62.0, 40.75
    {                     divided by blanks or a comma        …
    30.5 41.25
    …
    }

The centre of the first pixel is (1, 1), as in the files of 300-W and of menpo's tools; for other
tools see ``first_pixel``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import markup
from tfalign.data.readers.image import ImageFile, is_metadata, missing_image
from tfalign.data.readers.reader import Reader, attempt
from tfalign.data.readers.record import Record, build_record
from tfalign.data.readers.report import BadAnnotationError, OnError, Problem, ReadingReport
from tfalign.data.readers.text import parse_numbers, read_bytes, read_lines

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def read(
    root: str | Path,
    splits: Sequence[str] | str | None = None,
    on_error: OnError = "raise",
    scheme: str | Mapping[str, Any] | markup.LandmarkScheme | None = None,
    first_pixel: float = 1.0,
    upright: bool | None = None,
) -> Reader:
    """Reads every ``.pts`` file below a folder.

    Args:
        root: The folder.
        splits: Names of folders below the root; None reads everything. ``"train"`` is everything
            where there is no folder of that name.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.
        scheme: The points' scheme, as ``tfalign.markup.get`` takes it; None for points of which
            only the number is known.
        first_pixel: Coordinate of the centre of the first pixel: 1, 0, or 0.5 where the files
            measure from the image's corner.
        upright: Whether the points lie on the images as their EXIF orientation shows them, as
            those of ``tfalign align --pts`` do, or (False) on the stored pixels, as in the
            published sets. None refuses images for which the two differ.

    Returns:
        A reader of samples in image space, named by their image's path below the root; all points
        count as visible, the box is the landmarks' tight box. All files have as many points as the
        scheme, or as most of them.

    Raises:
        FileNotFoundError: If the folder is missing or (``"raise"``) a file lacks its image.
        ValueError: If there is no ``.pts`` file, or (``"raise"``) one is bad.
    """
    root = Path(root)
    report = ReadingReport(on_error)
    faces: list[tuple[Path, Path, np.ndarray]] = []
    for folder in _folders(root, splits):
        pairs = [pair for path in _below(folder) for pair in image_pairs(path, report)]
        headless = {pts: not _has_header(pts) for pts, _ in pairs}
        # Bare coordinates that lost their last digits look like others; their only trace is the
        # missing line end, which counts where other files have it.
        ends = {pts: read_bytes(pts).endswith(b"\n") for pts, bare in headless.items() if bare}
        for pts, image in pairs:
            if any(ends.values()) and not ends.get(pts, True):
                message = "the last line must end like the other files' (truncated?)"
                report.reject(Problem("malformed-line", str(pts), message))
                continue
            try:
                faces.append((pts, image, parse_pts(pts)))
            except BadAnnotationError as error:
                report.reject(error.problem)
    if not faces and not report.skipped:
        message = "there must be .pts files beside their images."
        raise Problem("missing-annotation", str(root), message).error()
    counts = Counter(len(points) for _, _, points in faces)
    if scheme is not None:
        found = markup.get(scheme)
    else:
        found = markup.LandmarkScheme.unnamed(counts.most_common(1)[0][0] if counts else 1)
    options = (found.num_points, 0.5 - first_pixel, upright)
    records = [
        attempt(report, _record, root, pts, image, points, *options) for pts, image, points in faces
    ]
    return Reader("pts", found, [record for record in records if record is not None], report)


def _folders(root: Path, splits: Sequence[str] | str | None) -> list[Path]:
    if not root.is_dir():
        raise Problem("missing-annotation", str(root), "no such folder.").error()
    names = [splits] if isinstance(splits, str) else list(splits or ())
    if names == ["train"] and not (root / "train").is_dir():
        names = []
    for name in names:
        if not (root / name).is_dir() or ".." in Path(name).parts:
            message = f"a split must be a folder below {root}."
            raise Problem("missing-annotation", str(root / name), message).error()
    return [root / name for name in names] or [root]


def _below(folder: Path) -> list[Path]:
    """Returns a folder and all those below it."""
    return [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]


def _record(
    root: Path,
    pts: Path,
    image: Path,
    points: np.ndarray,
    num_points: int,
    shift: float,
    upright: bool | None,
) -> Record:
    return build_record(
        name=image.relative_to(root).as_posix(),
        image=ImageFile(image, str(pts), upright=upright),
        points=points,
        num_points=num_points,
        where=str(pts),
        shift=shift,
    )


def _has_header(path: Path) -> bool:
    return b"{" in read_bytes(path)


def parse_pts(path: Path, num_points: int | None = None) -> np.ndarray:
    """Reads a ``.pts`` file of one of the forms above.

    Blanks and blank lines mean nothing; where there is a header, the closing brace proves that the
    file is whole.

    Args:
        path: The file.
        num_points: How many points it must have, with a header; None takes any number, and files
            without header.

    Returns:
        (n, 2) float64, as written in the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not of that form, truncated, or has another number of points.
    """
    lines = list(read_lines(path, ReadingReport("raise")))
    stated = None
    if num_points is not None or _has_header(path):
        lines, stated = _without_header(path, lines)
    points = []
    for where, text in lines:
        tokens = re.split(r"[ \t]*,[ \t]*|[ \t]+", text)
        if len(tokens) != 2:
            message = f"a line must hold x and y. Received: {text!r}"
            raise Problem("malformed-line", where, message).error()
        points.append(parse_numbers(tokens, where))
    wanted = num_points or (int(stated) if stated is not None else len(points))
    if not points or len(points) != wanted or stated not in (None, str(wanted)):
        message = (
            f"a face must have {wanted or 'some'} points. Received: n_points={stated} and "
            f"{len(points)} lines"
        )
        raise Problem("wrong-number-of-points", str(path), message).error()
    return np.asarray(points, np.float64)


def _without_header(
    path: Path, lines: list[tuple[str, str]]
) -> tuple[list[tuple[str, str]], str | None]:
    """Returns the lines between the braces, and the number of points that the header states."""
    header: dict[str, str] = {}
    while lines and lines[0][1] != "{":
        where, text = lines.pop(0)
        match = re.fullmatch(r"(version|n_points)[ \t]*:[ \t]*([0-9.]+)", text)
        if match is None or match[1] in header:
            message = "'version: 1', 'n_points: N' and '{' must come first. "
            raise Problem("malformed-line", where, f"{message}Received: {text!r}").error()
        header[match[1]] = match[2]
    if len(lines) < 2 or lines[-1][1] != "}":
        message = "the points must stand between lines '{' and '}' (truncated?)"
        raise Problem("malformed-line", str(path), message).error()
    stated = header.get("n_points", "")
    if not re.fullmatch("[0-9]{1,6}", stated):
        message = f"a face must have its number of points. Received: n_points={stated!r}"
        raise Problem("wrong-number-of-points", str(path), message).error()
    return lines[1:-1], stated


def image_pairs(folder: Path, report: ReadingReport) -> list[tuple[Path, Path]]:
    """Returns (annotation, image) by name; a file without its partner is a problem.

    Suffixes count in capitals, too; macOS's ``._`` files are no pictures and no points.
    """
    if not folder.is_dir():
        message = "no such folder, but a split that was asked for needs it."
        raise Problem("missing-annotation", str(folder), message).error()
    found: dict[str, tuple[list[Path], list[Path]]] = {}
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if not is_metadata(path) and suffix in (".pts", *_IMAGE_SUFFIXES):
            found.setdefault(path.stem, ([], []))[suffix != ".pts"].append(path)
    pairs = []
    # Images without annotation first.
    for stem, (notes, images) in sorted(found.items(), key=lambda item: bool(item[1][0])):
        if not notes:
            message = f"every image needs its annotation {stem}.pts beside it."
            report.reject(Problem("missing-annotation", str(images[0]), message, stem))
        elif not images:
            report.reject(missing_image(notes[0].with_suffix(".jpg"), str(notes[0])))
        elif len(images) > 1 or len(notes) > 1:
            names = [path.name for path in (*notes, *images)]
            message = f"a name must belong to one image and one annotation. Received: {names}"
            report.reject(Problem("duplicate", str(notes[0]), message, stem))
        else:
            pairs.append((notes[0], images[0]))
    return pairs
