"""COFW: faces with 29 points and occlusion flags, and the 68-point annotation of its test images.

Layout below the root::

    COFW_train_color.mat  COFW_test_color.mat                              splits train, test
    COFW68_Data/test_annotations/N_points.mat                              split test68
    COFW68_Data/cofw68_test_bboxes.mat

The first two are MATLAB 7.3 files: ``IsTr`` (cells of grey or RGB images), ``phisTr`` (N×87: 29 x,
29 y, 29 occlusion flags) and ``bboxesTr`` (N×4: x, y, width, height); ``IsT``, ``phisT``,
``bboxesT`` in the test file. COFW-68 is one small file per test image with ``Points`` (68×2) and
``Occ`` (68, 1 = occluded), and one with ``bboxes``. Everything is 1-based, the centre of the first
pixel at 1: 0.5 is subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from tfalign.data.readers.hdf5 import CellImage, cell_images, matrix, read_hdf5
from tfalign.data.readers.matfile import load_mat, real_matrix
from tfalign.data.readers.reader import Reader, attempt, expand_splits
from tfalign.data.readers.record import CORNER_FROM_ONE_BASED, Record, build_record
from tfalign.data.readers.report import OnError, Problem, ReadingReport

NUM_POINTS = 29
FILES = {"train": "COFW_train_color.mat", "test": "COFW_test_color.mat"}
_SUFFIX = {"train": "Tr", "test": "T"}
_COFW68_FOLDERS = ("COFW68_Data", "")


def read(
    root: str | Path, splits: Sequence[str] | str | None = None, on_error: OnError = "raise"
) -> Reader:
    """Reads COFW annotations.

    Args:
        root: The folder of the files above.
        splits: ``"train"``, ``"test"``, or, alone because its scheme differs, ``"test68"``; None
            reads those of train and test whose file exists.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.

    Returns:
        A reader of 29-point (``test68``: 68-point) samples in image space, named
        ``SPLIT/NUMBER`` with MATLAB's number; ``visible`` is False where occluded.

    Raises:
        FileNotFoundError: If a split's file is missing.
        ValueError: If ``splits`` is not as above, a file is damaged, or (``"raise"``) an
            annotation is bad.
    """
    root = Path(root)
    existing = [split for split, name in FILES.items() if (root / name).is_file()]
    chosen = expand_splits(splits, [*FILES, "test68"], {}, existing or ["train"])
    report = ReadingReport(on_error)
    if "test68" in chosen:
        if len(chosen) > 1:
            raise ValueError(
                f'"test68" has 68 points and must be read alone. Received: splits={list(chosen)}'
            )
        return Reader("cofw68", "ibug68", _read68(root, report), report)
    records: list[Record] = []
    for split in chosen:
        path = root / FILES[split]
        phis, boxes, images = _read_file(path, _SUFFIX[split])
        for index, image in enumerate(images):
            record = attempt(report, _record, split, index, phis[index], boxes[index], image)
            if record is not None:
                records.append(record)
    return Reader("cofw", "cofw29", records, report)


def _read_file(path: Path, suffix: str) -> tuple[np.ndarray, np.ndarray, list[CellImage]]:
    def use(file: h5py.File) -> tuple[np.ndarray, np.ndarray, list[CellImage]]:
        phis = matrix(file, f"phis{suffix}", 3 * NUM_POINTS)
        boxes = matrix(file, f"bboxes{suffix}", 4)
        images = cell_images(file, path, f"Is{suffix}")
        if not len(phis) == len(boxes) == len(images):
            raise ValueError(
                "images, points and boxes must be equally many. "
                f"Received: {len(images)}, {len(phis)}, {len(boxes)}"
            )
        return phis, boxes, images

    return read_hdf5(path, use)


def _record(split: str, index: int, phi: np.ndarray, box: np.ndarray, image: CellImage) -> Record:
    name = f"{split}/{index + 1}"
    where = f"{image.path}: {image.cell}{{{index + 1}}}"
    x, y, occluded = phi.reshape(3, NUM_POINTS)
    record = build_record(
        name=name,
        image=image,
        points=np.stack([x, y], axis=1),
        num_points=NUM_POINTS,
        where=where,
        shift=CORNER_FROM_ONE_BASED,
        box=_corners(box),
        visible=_visible(occluded, where, name),
    )
    record.check_inside(image.size)  # the size is known already, so the error can come early
    return record


def _visible(occluded: np.ndarray, where: str, name: str) -> np.ndarray:
    if not np.isin(occluded, (0, 1)).all():
        message = f"occlusion flags must be 0 or 1. Received: {occluded.tolist()}"
        raise Problem("malformed-line", where, message, name).error()
    return np.asarray(occluded == 0)


def _corners(box: np.ndarray) -> np.ndarray:
    """Returns (x, y, width, height) as (x0, y0, x1, y1)."""
    return np.concatenate([box[:2], box[:2] + box[2:]])


def _read68(root: Path, report: ReadingReport) -> list[Record]:
    """Joins the COFW-68 annotations with the images of the test file, by MATLAB's number."""
    path = root / FILES["test"]
    images = read_hdf5(path, lambda file: cell_images(file, path, "IsT"))
    base = next(
        (root / name for name in _COFW68_FOLDERS if (root / name / "test_annotations").is_dir()),
        root / _COFW68_FOLDERS[0],
    )
    box_file = base / "cofw68_test_bboxes.mat"
    boxes = real_matrix(load_mat(box_file, ("bboxes",)), "bboxes", 4, box_file)
    if len(boxes) != len(images):
        message = f"there must be {len(images)} boxes, one per image. Received: {len(boxes)}"
        raise Problem("unreadable-file", str(box_file), message).error()
    records = []
    for index, image in enumerate(images):
        points = base / "test_annotations" / f"{index + 1}_points.mat"
        record = attempt(report, _record68, index, points, boxes[index], image)
        if record is not None:
            records.append(record)
    return records


def _record68(index: int, path: Path, box: np.ndarray, image: CellImage) -> Record:
    content = load_mat(path, ("Points", "Occ"))
    name = f"test68/{index + 1}"
    occluded = content["Occ"].ravel()
    if occluded.shape != (68,):
        message = f"Occ must have 68 flags. Received: shape={content['Occ'].shape}"
        raise Problem("wrong-number-of-points", str(path), message, name).error()
    record = build_record(
        name=name,
        image=image,
        points=real_matrix(content, "Points", 2, path),
        num_points=68,
        where=str(path),
        shift=CORNER_FROM_ONE_BASED,
        box=_corners(box),
        visible=_visible(occluded, str(path), name),
    )
    record.check_inside(image.size)
    return record
