"""AFLW with 19 points, as released with Cascaded Compositional Learning (CCL).

Layout below the root: ``AFLWinfo_release.mat`` and the images of AFLW in ``data/flickr/``,
``flickr/``, ``images/`` or the root itself.

The file holds, for 24,386 faces: ``bbox`` (left, right, top, bottom), ``data`` (N×38: 19 x, then
19 y), ``mask_new`` (N×19, 1 = visible), ``nameList`` (cells, e.g. ``0/image00002.jpg``) and
``ra``, a 1-based permutation whose first 20,000 entries are the training faces and whose other
4,386 are the test faces. The frontal test faces are those with all 19 points visible.

Reading: AFLW does not say where its first pixel lies; the release is a MATLAB file and is taken as
1-based, so 0.5 is subtracted. Being wrong would cost one pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfalign.data.readers.image import ImageFile, find_image
from tfalign.data.readers.matfile import load_mat, real_matrix
from tfalign.data.readers.reader import Reader, attempt, expand_splits, numbered_names
from tfalign.data.readers.record import CORNER_FROM_ONE_BASED, Record, build_record
from tfalign.data.readers.report import OnError, Problem, ReadingReport

NUM_POINTS = 19
TRAIN_FACES = 20_000
FILE = "AFLWinfo_release.mat"
SPLITS = ("train", "test", "test/frontal")
ALIASES = {"full": ("test",), "frontal": ("test/frontal",)}

_VARIABLES = ("bbox", "data", "mask_new", "nameList", "ra")
_IMAGE_FOLDERS = ("data/flickr", "flickr", "images", "")


def read(
    root: str | Path,
    splits: Sequence[str] | str | None = None,
    on_error: OnError = "raise",
    train_faces: int = TRAIN_FACES,
) -> Reader:
    """Reads AFLW-19 annotations.

    Args:
        root: The folder of ``AFLWinfo_release.mat``.
        splits: ``"train"``, ``"test"`` (alias ``"full"``) or ``"test/frontal"`` (alias
            ``"frontal"``); None reads train and test. A face has one name, so test and
            test/frontal, which overlap, cannot be read together.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.
        train_faces: How many faces at the start of ``ra`` are training faces; the published
            protocol's 20,000 unless the file is a cut of the release.

    Returns:
        A reader of 19-point samples in image space, named by their image's path; further faces
        of one image (in the file's order) get ``#2``, ``#3``…

    Raises:
        FileNotFoundError: If the file, or (``"raise"``) an image, is missing.
        ValueError: If an argument is not as above, the file is damaged, or (``"raise"``) an
            annotation is bad.
    """
    root = Path(root)
    chosen = expand_splits(splits, SPLITS, ALIASES, ["train", "test"])
    path = root / FILE
    content = load_mat(path, _VARIABLES)
    points = real_matrix(content, "data", 2 * NUM_POINTS, path)
    boxes = real_matrix(content, "bbox", 4, path)
    mask = real_matrix(content, "mask_new", NUM_POINTS, path)
    order = _permutation(content["ra"], path) - 1
    names = _names(content["nameList"], path)
    if not len(points) == len(boxes) == len(mask) == len(order) == len(names):
        message = (
            "bbox, data, mask_new, ra and nameList must describe equally many faces. Received: "
            f"{len(boxes)}, {len(points)}, {len(mask)}, {len(order)}, {len(names)}"
        )
        raise Problem("unreadable-file", str(path), message).error()
    if not 0 <= train_faces <= len(order):
        raise ValueError(
            f"`train_faces` must be 0 to {len(order)}. Received: train_faces={train_faces}"
        )
    test = order[train_faces:]
    members = {
        "train": order[:train_faces],
        "test": test,
        "test/frontal": test[(mask[test] == 1).all(axis=1)],
    }
    folder = next((root / name for name in _IMAGE_FOLDERS if name and (root / name).is_dir()), root)
    report = ReadingReport(on_error)
    faces = numbered_names(names)
    seen: dict[tuple[str, bytes], int] = {}
    records: list[Record] = []
    for index in (int(i) for split in chosen for i in members[split]):
        where = f"{path}: face {index + 1}"
        first = seen.setdefault((names[index], points[index].tobytes()), index)
        if first != index:
            message = f"a face must be listed once. Received: face {first + 1} again"
            report.reject(Problem("duplicate", where, message, faces[index]))
            continue
        numbers = points[index], boxes[index], mask[index]
        record = attempt(report, _record, faces[index], folder, names[index], where, *numbers)
        if record is not None:
            records.append(record)
    return Reader("aflw19", "aflw19", records, report)


def _record(
    name: str,
    folder: Path,
    image: str,
    where: str,
    points: np.ndarray,
    box: np.ndarray,
    mask: np.ndarray,
) -> Record:
    if not np.isin(mask, (0, 1)).all():
        message = f"mask_new must be 0 or 1. Received: {mask.tolist()}"
        raise Problem("malformed-line", where, message, name).error()
    left, right, top, bottom = box
    return build_record(
        name=name,
        image=ImageFile(find_image(folder, image, where), where),
        points=points.reshape(2, NUM_POINTS).T,
        num_points=NUM_POINTS,
        where=where,
        shift=CORNER_FROM_ONE_BASED,
        box=(left, top, right, bottom),
        visible=mask == 1,
    )


def _permutation(ra: np.ndarray, path: Path) -> np.ndarray:
    order = ra.ravel()
    if order.dtype.kind not in "fiu" or not np.array_equal(
        np.sort(order), np.arange(1, len(order) + 1)
    ):
        message = f"ra must be a permutation of 1…{len(order)}"
        raise Problem("unreadable-file", str(path), message).error()
    return order.astype(np.int64)


def _names(cells: np.ndarray, path: Path) -> list[str]:
    names = []
    for index, cell in enumerate(cells.ravel()):
        name = cell.item() if isinstance(cell, np.ndarray) and cell.size == 1 else cell
        if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
            message = f"nameList{{{index + 1}}} must be a path below the images. Received: {name!r}"
            raise Problem("unreadable-file", str(path), message).error()
        names.append(name)
    return names
