"""WFLW, and everything that is laid out like it (the synthetic faces).

Layout below the root::

    WFLW_images/EVENT/NAME.jpg
    WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{train,test}.txt
    WFLW_annotations/list_98pt_test/list_98pt_test_{largepose,expression,…}.txt

A line of the first kind holds 196 coordinates, 4 box values (x0 y0 x1 y1), 6 flags (pose,
expression, illumination, make-up, occlusion, blur) and the image path; a line of the second kind
196 coordinates and the path, or all of the first kind. The faces of a subset are looked up in the
test list, which gives them box, flags and name.

Reading: the coordinates are taken as 0-based with the centre of the first pixel at 0 (the release
does not say; public code treats them so), hence 0.5 is added to points and boxes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfalign.data.readers.image import ImageFile, find_image
from tfalign.data.readers.reader import Reader, attempt, expand_splits
from tfalign.data.readers.record import CORNER_FROM_ZERO_BASED, Record, build_record
from tfalign.data.readers.report import BadAnnotationError, OnError, Problem, ReadingReport
from tfalign.data.readers.text import leading_numbers, parse_numbers, read_lines

NUM_POINTS = 98
ATTRIBUTES = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")

_LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{}.txt"
_SUBSETS = {
    f"test/{attribute}": "WFLW_annotations/list_98pt_test/list_98pt_test_"
    f"{'largepose' if attribute == 'pose' else attribute}.txt"
    for attribute in ATTRIBUTES
}
FILES = {"train": _LISTS.format("train"), "test": _LISTS.format("test"), **_SUBSETS}


def read(
    root: str | Path, splits: Sequence[str] | str | None = None, on_error: OnError = "raise"
) -> Reader:
    """Reads WFLW annotations.

    Args:
        root: The folder that holds ``WFLW_images`` and ``WFLW_annotations``.
        splits: ``"train"``, ``"test"``, or a test subset such as ``"test/pose"``; None reads
            those of train and test whose list exists.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.

    Returns:
        A reader of 98-point samples in image space. ``attributes`` holds the six flags as bools.
        A face is named by its image's path; further faces of one image get ``#2``, ``#3``…

    Raises:
        FileNotFoundError: If a split's list, or (``"raise"``) an image, is missing.
        ValueError: If ``splits`` is not as above, or (``"raise"``) an annotation is bad.
    """
    root = Path(root)
    existing = [split for split in ("train", "test") if (root / FILES[split]).is_file()]
    chosen = expand_splits(splits, list(FILES), {}, existing or ["train"])
    report = ReadingReport(on_error)
    records: list[Record] = []
    known = _test_lines(root) if any(split in _SUBSETS for split in chosen) else {}
    for split in chosen:
        test = known if split in _SUBSETS else {}
        lines = list(_parse(root, split, report, test))
        for line, name in zip(lines, _names(lines, test), strict=True):
            if (record := attempt(report, _record, root, line, name)) is not None:
                records.append(record)
    return Reader("wflw", "wflw98", records, report)


_Key = tuple[str, tuple[float, ...]]  # image path and coordinates


@dataclass(frozen=True, slots=True)
class _Line:
    where: str
    path: str
    numbers: tuple[float, ...]  # 196 coordinates, or these and 4 box values and 6 flags

    @property
    def key(self) -> _Key:
        return self.path, self.numbers[: 2 * NUM_POINTS]


def _parse(
    root: Path, split: str, report: ReadingReport, test: Mapping[_Key, _Line]
) -> Iterator[_Line]:
    """Yields the well-formed lines of a list once each, completed by their lines in ``test``."""
    seen: dict[_Key, str] = {}
    for where, text in read_lines(root / FILES[split], report):
        try:
            line = _parse_line(where, text, bare=split in _SUBSETS)
        except BadAnnotationError as error:
            report.reject(error.problem)
            continue
        if line.key in seen:
            message = f"a face must be listed once. Received: the face of {seen[line.key]} again"
            report.reject(Problem("duplicate", where, message, line.path))
            continue
        seen[line.key] = where
        full = test.get(line.key)
        yield _Line(where, line.path, full.numbers) if full else line


def _parse_line(where: str, text: str, bare: bool) -> _Line:
    full = 2 * NUM_POINTS + 4 + len(ATTRIBUTES)
    tokens = re.split(r"[ \t]+", text)
    count = leading_numbers(tokens)
    if count != full and not (bare and count == 2 * NUM_POINTS):
        message = (
            f"a line must hold {2 * NUM_POINTS} coordinates, 4 box values, {len(ATTRIBUTES)} "
            f"flags and an image path. Received: {count} numbers before {tokens[count:][:1]}"
        )
        raise Problem("wrong-number-of-points", where, message).error()
    if count == len(tokens):
        raise Problem("malformed-line", where, "the image path is missing (truncated?)").error()
    numbers = tuple(parse_numbers(tokens[:count], where))
    # A path may hold blanks: it is the rest of the line, exactly as written.
    path = re.split(r"[ \t]+", text, maxsplit=count)[count]
    return _Line(where, path.replace("\\", "/"), numbers)


def _test_lines(root: Path) -> dict[_Key, _Line]:
    """Returns the test list's good lines by key; its bad ones are the test split's business."""
    if not (root / FILES["test"]).is_file():
        return {}
    return {line.key: line for line in _parse(root, "test", ReadingReport("skip"), {})}


def _names(lines: Sequence[_Line], test: Mapping[_Key, _Line]) -> list[str]:
    """Names each line: the path, with ``#2``… for further faces of an image.

    The faces of a subset keep the names that they have in the ``test`` list.
    """
    counter: Counter[str] = Counter()
    names: dict[_Key, str] = {}
    for line in (*test.values(), *lines):
        if line.key not in names:
            counter[line.path] += 1
            count = counter[line.path]
            names[line.key] = line.path if count == 1 else f"{line.path}#{count}"
    return [names[line.key] for line in lines]


def _record(root: Path, line: _Line, name: str) -> Record:
    coordinates, rest = line.numbers[: 2 * NUM_POINTS], line.numbers[2 * NUM_POINTS :]
    flags = rest[4:]
    if any(flag not in (0.0, 1.0) for flag in flags):
        message = f"the {len(ATTRIBUTES)} flags must be 0 or 1. Received: {flags}"
        raise Problem("malformed-line", line.where, message, name).error()
    path = find_image(root / "WFLW_images", line.path, line.where)
    return build_record(
        name=name,
        image=ImageFile(path, line.where),
        points=[coordinates[i : i + 2] for i in range(0, len(coordinates), 2)],
        num_points=NUM_POINTS,
        where=line.where,
        shift=CORNER_FROM_ZERO_BASED,
        box=rest[:4] or None,
        attributes=dict(zip(ATTRIBUTES, map(bool, flags), strict=False)),
    )
