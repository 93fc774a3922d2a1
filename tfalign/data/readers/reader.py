"""The lazy sequence of samples that every data set's ``read`` returns."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from tfalign import markup
from tfalign.data.readers.image import is_metadata
from tfalign.data.readers.record import Record
from tfalign.data.readers.report import BadAnnotationError, MissingFileError, Problem, ReadingReport
from tfalign.data.sample import Sample

_SHIFT = 0.31830988


class Reader:
    """Annotations of a data set, parsed; pixels are decoded when a sample is asked for.

    Annotations are read at once (they are small, and errors come early); an image is read by
    ``load``, which keeps no state: several threads may call it, and so may other processes, to
    which a reader can be pickled (each process then fills its own copy of the report).

    Args:
        dataset: Name of the data set.
        scheme: Its landmark scheme, by name or object.
        records: The usable annotations, in the order of the files.
        report: What was left out, and the policy for images that turn out to be bad.

    Raises:
        ValueError: If two records have one name.

    Example:
        >>> reader = tfalign.data.readers.w300.read(root, splits=["helen/trainset"])
        >>> for sample in reader: ...
        >>> with ThreadPoolExecutor() as pool:
        ...     samples = [s for s in pool.map(reader.try_load, reader.records) if s is not None]
        >>> print(reader.report.table())
    """

    def __init__(
        self,
        dataset: str,
        scheme: str | markup.LandmarkScheme,
        records: Sequence[Record],
        report: ReadingReport,
    ) -> None:
        seen: dict[str, Record] = {}
        for record in records:
            other = seen.setdefault(record.name, record)
            if other is not record:
                message = f"names must be unique; {other.where} has the same name, too."
                raise Problem("duplicate", record.where, message, record.name).error()
        self.dataset = dataset
        self.scheme = markup.get(scheme)
        self.records = list(records)
        self.report = report

    def __len__(self) -> int:
        """Number of records. With ``on_error="skip"`` iteration may give fewer samples: an image
        is found to be unreadable only when it is decoded."""
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Reader: ...

    def __getitem__(self, index: int | slice) -> Sample | Reader:
        """Returns the sample of one record, or a reader of a slice that shares the report."""
        if isinstance(index, slice):
            return self.subset(self.records[index])
        return self.load(self.records[index])

    def subset(self, records: Sequence[Record]) -> Reader:
        """Returns a reader of other records of the same set, e.g. some of its own; it shares the
        report."""
        return Reader(self.dataset, self.scheme, records, self.report)

    def __iter__(self) -> Iterator[Sample]:
        """Yields samples in order; bad images raise or are skipped as ``on_error`` says."""
        for record in self.records:
            sample = self.try_load(record)
            if sample is not None:
                yield sample

    def load(self, record: Record) -> Sample:
        """Decodes a record's image and returns the sample.

        Raises:
            FileNotFoundError: If the image is missing.
            ValueError: If it cannot be decoded, or a landmark lies outside it by more than
                ``record.OUTSIDE_SHARE`` of the face.
        """
        image = record.image.load()
        size = (image.shape[1], image.shape[0])
        record.check_inside(size)
        if (doubt := record.box_doubt(size)) is not None:
            self.report.note(doubt)
        return Sample(
            image=image,
            landmarks=record.landmarks.copy(),
            visible=record.visible.copy(),
            box=record.box.copy(),
            name=record.name,
            scheme=self.scheme,
            box_source=record.box_source,
            attributes=record.attributes,
            annotated=record.annotated.copy(),
            own_box=None if record.own_box is None else record.own_box.copy(),
        )

    def try_load(self, record: Record) -> Sample | None:
        """Like ``load``, but with ``on_error="skip"`` a bad image is reported and None returned."""
        try:
            return self.load(record)
        except (BadAnnotationError, MissingFileError) as error:
            self.report.reject(error.problem)
            return None

    def fingerprint(self) -> str:
        """Returns a SHA-256 of the annotations and the sizes of the image files, in hexadecimal.

        It changes when a face is added, removed, moved or annotated anew, and when an image file
        changes its size; the pixels are not read.
        """
        # As version 0.1 called them, so that fingerprints stored then still agree.
        dataset = {"300w": "w300", "cofw68": "cofw"}.get(self.dataset, self.dataset)
        digest = hashlib.sha256(f"{dataset} {self.scheme.name}".encode())
        if markup.SCHEMES.get(self.scheme.name) != self.scheme:
            digest.update(repr(self.scheme.to_config()).encode())
        for record in self.records:
            described = (record.name, record.box_source, sorted(record.attributes.items()))
            digest.update(repr(described).encode())
            digest.update(record.image.identity().encode())
            for array in (record.landmarks, record.visible, record.box):
                digest.update(array.tobytes())
            if not record.annotated.all():
                digest.update(record.annotated.tobytes())
            if record.own_box is not None:
                digest.update(record.own_box.tobytes())
        return digest.hexdigest()

    def digests(self) -> list[str]:
        """Returns for each face a short SHA-256 of its points: the same face in another reader.

        Of quarters of a pixel, so that a face is known although another program has written its
        numbers anew, with other last digits.
        """
        # Numbers of a file are hardly ever on the limit of two quarters that are shifted by this.
        quarters = [np.floor(4.0 * r.landmarks.astype(np.float64) + _SHIFT) for r in self.records]
        return [hashlib.sha256(q.astype("<i4").tobytes()).hexdigest()[:16] for q in quarters]

    def __repr__(self) -> str:
        return (
            f"Reader(dataset={self.dataset!r}, scheme={self.scheme.name!r}, "
            f"records={len(self)}, report={self.report!r})"
        )


def expand_splits(
    splits: Sequence[str] | str | None,
    names: Sequence[str],
    aliases: Mapping[str, Sequence[str]],
    default: Sequence[str],
) -> list[str]:
    """Returns the plain split names that a user's ``splits`` stands for.

    Args:
        splits: Names or aliases; one string is one split; None is ``default``.
        names: The plain names.
        aliases: Alias to plain names.
        default: The splits of None.

    Raises:
        ValueError: If a name is unknown, none is left, or one is asked for twice.
    """
    asked = [splits] if isinstance(splits, str) else list(default if splits is None else splits)
    expanded: list[str] = []
    for split in asked:
        if split not in names and split not in aliases:
            raise ValueError(
                f"`splits` must be among {[*names, *aliases]}. Received: splits={splits!r}"
            )
        expanded.extend(aliases.get(split, [split]))
    if not expanded or len(set(expanded)) != len(expanded):
        raise ValueError(
            "`splits` must name at least one split, and none twice (also through an alias). "
            f"Received: splits={splits!r}"
        )
    return expanded


def attempt(report: ReadingReport, build: Callable[..., Record], *arguments: Any) -> Record | None:
    """Calls ``build`` for one face; a problem goes to the report and gives None."""
    try:
        record = build(*arguments)
    except (BadAnnotationError, MissingFileError) as error:
        report.reject(error.problem)
        return None
    if record.doubt is not None:
        report.note(record.doubt)
    return record


def annotation_files(
    root: Path, splits: Sequence[str] | str | None, suffix: str, inside: Sequence[str] = ()
) -> list[Path]:
    """Returns the annotation files of an annotation tool's export, one for each split.

    Args:
        root: The file itself, or the folder of the export.
        splits: A split ``S`` is ``S<suffix>`` or ``annotations/S<suffix>`` below the root, or a
            file of ``inside`` in the folder ``S``. None takes the file itself, or all files with
            the suffix in the folder (or else in ``annotations/``). ``"train"`` is the only file
            where there is but one.
        suffix: E.g. ``".json"``.
        inside: Names that a tool gives to the file in a split's own folder.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a split is asked of a single file, or twice.
    """
    names = [splits] if isinstance(splits, str) else list(splits or ())
    if root.is_file():
        if names not in ([], ["train"]):
            raise ValueError(
                f"A single file has no splits; give the folder of the files. Received: {root} with "
                f"splits={splits!r}"
            )
        return [root]
    found = [
        sorted(path for path in folder.glob(f"*{suffix}") if not is_metadata(path))
        for folder in (root, root / "annotations")
    ]
    alone = next((paths for paths in found if paths), [])
    if not names or (names == ["train"] and len(alone) == 1):
        if not alone:
            message = f"there must be a {suffix} file here or in annotations/."
            raise Problem("missing-annotation", str(root), message).error()
        return alone
    if len(set(names)) < len(names):
        raise ValueError(f"A split must be asked for once. Received: splits={splits!r}")
    chosen = []
    for name in names:
        places = [
            f"{name}{suffix}",
            f"annotations/{name}{suffix}",
            *(f"{name}/{i}" for i in inside),
        ]
        there = [root / place for place in places if (root / place).is_file()]
        if not there or ".." in Path(name).parts:
            message = f"the split {name!r} must be one of {', '.join(places)}."
            raise Problem("missing-annotation", str(root), message).error()
        chosen.append(there[0])
    return chosen


def photograph_of(name: str) -> str:
    """Returns a face's name without the number that `numbered_names` gave it."""
    return re.sub(r"#\d+$", "", name)


def numbered_names(names: Sequence[str]) -> list[str]:
    """Returns the names, with ``#2``, ``#3``… added to the further faces of one image."""
    counter: Counter[str] = Counter()
    faces = []
    for name in names:
        counter[name] += 1
        faces.append(name if counter[name] == 1 else f"{name}#{counter[name]}")
    return faces
