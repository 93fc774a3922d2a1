"""Strict reading of text annotations: lines with their numbers, tokens, decimal numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfalign.data.readers.report import Problem, ReadingReport

# float() also takes "1_000", "infinity" and digits of other scripts: a damaged file could slip
# through it. "nan" and "inf" are recognised here so that the error can name them.
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]{1,3})?|nan|inf)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def read_bytes(path: Path) -> bytes:
    """Returns a file's bytes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read.
    """
    if not path.exists():
        raise Problem("missing-annotation", str(path), "no such annotation file.").error()
    try:
        return path.read_bytes()
    except OSError as error:  # a folder, no permission, a disk fault
        message = f"the annotation file must be readable. Received: {error}"
        raise Problem("unreadable-file", str(path), message).error() from error


def read_lines(path: Path, report: ReadingReport, ends: str = " \t") -> Iterator[tuple[str, str]]:
    """Yields ``(where, text)`` of each line that is not blank; ``where`` is ``path:line``.

    Lines end in LF or CRLF. A line must be UTF-8 without control characters; another one is
    rejected to ``report`` and left out. A byte order mark at the start is dropped.

    Args:
        path: The file.
        report: Where bad lines are told.
        ends: The characters that mean nothing at a line's ends; a tab that divides a table's
            columns does.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or (``on_error="raise"``) holds a badly encoded line.
    """
    for number, raw in enumerate(read_bytes(path).split(b"\n"), start=1):
        where = f"{path}:{number}"
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            text = raw.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            message = f"lines must be UTF-8 text. Received: {error}"
            report.reject(Problem("wrong-encoding", where, message))
            continue
        if control := _CONTROL.search(text):
            message = f"lines must hold no control characters. Received: {control.group()!r}"
            report.reject(Problem("wrong-encoding", where, message))
            continue
        if text.strip(" \t"):
            yield where, text.strip(ends)


def is_number(token: str) -> bool:
    """Whether a token is a decimal number, ``nan`` or ``inf``."""
    return _NUMBER.fullmatch(token) is not None


def parse_numbers(tokens: Sequence[str], where: str) -> list[float]:
    """Returns decimal tokens as floats, never rounded or truncated to integers.

    Raises:
        ValueError: If a token is not a finite decimal number.
    """
    values = []
    for token in tokens:
        if not is_number(token):
            message = f"coordinates must be decimal numbers. Received: {token!r}"
            raise Problem("malformed-line", where, message).error()
        value = float(token)
        if not math.isfinite(value):
            message = f"coordinates must be finite. Received: {token!r}"
            raise Problem("not-finite", where, message).error()
        values.append(value)
    return values


def leading_numbers(tokens: Sequence[str]) -> int:
    """Returns how many tokens from the start are numbers."""
    return next((i for i, token in enumerate(tokens) if not is_number(token)), len(tokens))
