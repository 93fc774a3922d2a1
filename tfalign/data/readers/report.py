"""What went wrong while reading: one problem, its exceptions, and the list of them all."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

OnError = Literal["raise", "skip"]

Kind = Literal[
    "missing-image",
    "unreadable-image",
    "missing-annotation",
    "unreadable-file",
    "malformed-line",
    "wrong-encoding",
    "wrong-number-of-points",
    "not-finite",
    "empty-box",
    "box-misses-face",
    "box-outside-image",
    "outside-image",
    "duplicate",
    "not-annotated",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One face (or line, or file) that cannot be used.

    Attributes:
        kind: What is wrong, one word of a fixed vocabulary, for counting.
        where: The file, and ``:line`` where the file has lines.
        message: The rule, the allowed values, and what was received.
        name: The face's name, where the annotation got far enough to have one.
    """

    kind: Kind
    where: str
    message: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"

    def error(self) -> BadAnnotationError | MissingFileError:
        """Returns the exception that carries this problem."""
        missing = self.kind in ("missing-image", "missing-annotation")
        return MissingFileError(self) if missing else BadAnnotationError(self)


class _ReadingError(Exception):
    """What the two errors of reading share.

    Attributes:
        problem: What is wrong.
        can_be_skipped: Whether the face could have been left out.
    """

    can_be_skipped = False

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)  # as an argument, so that the exception survives pickling
        self.problem = problem

    def __str__(self) -> str:
        if not self.can_be_skipped:
            return str(self.problem)
        return (
            f"{self.problem} Mend it, or leave such faces out with --skip-bad (in Python "
            'on_error="skip"); `tfalign inspect` lists everything that is wrong at once.'
        )


class BadAnnotationError(_ReadingError, ValueError):
    """A ``ValueError`` that names the file and line; ``.problem`` holds the parts."""


class MissingFileError(_ReadingError, FileNotFoundError):
    """A ``FileNotFoundError`` that names who asked for the file; ``.problem`` holds the parts."""


class ReadingReport:
    """Everything that a reader left out or settled, and why. Safe to fill from several threads.

    ``skipped`` are faces that should have been usable; ``noted`` is what is normal and goes on:
    images that everyone's copy lacks (LFPW's dead links), faces without points, a box that misses
    its points and gave way to the points' own, a box that cannot be quite right.

    Args:
        on_error: ``"raise"``: the first problem raises its exception. ``"skip"``: problems are
            collected here and the faces left out.

    Raises:
        ValueError: If ``on_error`` is neither.
    """

    def __init__(self, on_error: OnError = "raise") -> None:
        if on_error not in get_args(OnError):
            raise ValueError(
                f'`on_error` must be "raise" or "skip". Received: on_error={on_error!r}'
            )
        self.on_error: OnError = on_error
        self._skipped: dict[Problem, None] = {}  # a dictionary keeps the order and drops repeats
        self._noted: dict[Problem, None] = {}
        self._lock = threading.Lock()

    def reject(self, problem: Problem) -> None:
        """Raises the problem, or lists it under ``skipped``, as ``on_error`` says."""
        if self.on_error == "raise":
            error = problem.error()
            error.can_be_skipped = True
            raise error
        with self._lock:
            self._skipped[problem] = None

    def note(self, problem: Problem) -> None:
        """Lists what need not stop anyone under ``noted``; it never raises."""
        with self._lock:
            self._noted[problem] = None

    @property
    def skipped(self) -> tuple[Problem, ...]:
        """The problems met so far, in the order in which they were met, without repeats."""
        with self._lock:
            return tuple(self._skipped)

    @property
    def noted(self) -> tuple[Problem, ...]:
        """What was noted so far, in order, without repeats."""
        with self._lock:
            return tuple(self._noted)

    @property
    def counts(self) -> dict[str, int]:
        """Number of skipped problems of each kind."""
        return dict(Counter(problem.kind for problem in self.skipped))

    def table(self) -> str:
        """Returns one line per problem, ``kind  where: message``, and a last line of totals."""
        rows = [f"{problem.kind:<24}{problem}" for problem in (*self.skipped, *self.noted)]
        rows.append(f"{len(self.skipped)} skipped, {len(self.noted)} noted")
        return "\n".join(rows)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.Lock()  # a lock cannot be pickled and belongs to one process

    def __repr__(self) -> str:
        return f"ReadingReport(skipped={len(self.skipped)}, noted={len(self.noted)})"
