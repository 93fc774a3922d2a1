"""300-W: AFW, Helen, LFPW and IBUG with 68 points, and the 300-W private test set.

Layout below the root::

    afw/  helen/{trainset,testset}/  lfpw/{trainset,testset}/  ibug/  01_Indoor/  02_Outdoor/
    Bounding Boxes/bounding_boxes_{afw,helen_trainset,…,ibug}.mat          (optional)

Each folder holds ``NAME.jpg`` or ``NAME.png`` with ``NAME.pts`` beside it. Only the folders of the
splits that are asked for need exist. The ``.pts`` files and the boxes are 1-based, the centre of
the first pixel at 1: 0.5 is subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from tfalign.data.readers.image import ImageFile
from tfalign.data.readers.matfile import load_mat
from tfalign.data.readers.pts import image_pairs, parse_pts
from tfalign.data.readers.reader import Reader, attempt, expand_splits
from tfalign.data.readers.record import CORNER_FROM_ONE_BASED, Record, build_record
from tfalign.data.readers.report import OnError, Problem, ReadingReport

NUM_POINTS = 68
FOLDERS = {
    "afw": 337,
    "helen/trainset": 2000,
    "lfpw/trainset": 811,
    "helen/testset": 330,
    "lfpw/testset": 224,
    "ibug": 135,
    "01_Indoor": 300,
    "02_Outdoor": 300,
}
ALIASES = {
    "train": ("afw", "helen/trainset", "lfpw/trainset"),
    "common": ("helen/testset", "lfpw/testset"),
    "challenging": ("ibug",),
    "full": ("helen/testset", "lfpw/testset", "ibug"),
    "private": ("01_Indoor", "02_Outdoor"),
}
Box = Literal["ground_truth", "detector", "landmarks", "file"]

_BOX_FOLDERS = ("Bounding Boxes", "Bounding_Boxes", "bounding_boxes", "")


def read(
    root: str | Path,
    splits: Sequence[str] | str | None = None,
    on_error: OnError = "raise",
    box: Box = "ground_truth",
) -> Reader:
    """Reads 300-W annotations.

    Args:
        root: The folder that holds ``afw``, ``helen``, …
        splits: Folder names as in ``FOLDERS`` or aliases as in ``ALIASES``; None reads the
            folders that exist.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.
        box: Which of the official boxes to use; ``"file"`` is ``"detector"``. Where there is none
            (and with ``"landmarks"``) the box is the landmarks' tight box, as ``"ground_truth"`` is
            by its definition; ``sample.box_source`` is then ``"landmarks"``.

    Returns:
        A reader of 68-point samples in image space, named ``FOLDER/NAME.jpg``; all points count
        as visible. ``attributes`` holds the ``folder``.

    Raises:
        FileNotFoundError: If a split's folder, or (``"raise"``) an image or ``.pts``, is missing.
        ValueError: If an argument is not as above, or (``"raise"``) an annotation is bad.
    """
    root = Path(root)
    if box not in get_args(Box):
        raise ValueError(f"`box` must be among {list(get_args(Box))}. Received: box={box!r}")
    box = "detector" if box == "file" else box
    existing = [folder for folder in FOLDERS if (root / folder).is_dir()]
    report = ReadingReport(on_error)
    records: list[Record] = []
    for folder in expand_splits(splits, list(FOLDERS), ALIASES, existing or ["afw"]):
        boxes = {} if box == "landmarks" else _read_boxes(root, folder, f"bb_{box}")
        for pts, image in image_pairs(root / folder, report):
            record = attempt(report, _record, folder, pts, image, boxes)
            if record is not None:
                # The official "ground truth" is the landmarks' tight box, in a file.
                if box == "ground_truth":
                    record = replace(record, box_source="landmarks")
                records.append(record)
    return Reader("300w", "ibug68", records, report)


def _record(folder: str, pts: Path, image: Path, boxes: dict[str, Any]) -> Record:
    return build_record(
        name=f"{folder}/{image.name}",
        image=ImageFile(image, str(pts)),
        points=parse_pts(pts, NUM_POINTS),
        num_points=NUM_POINTS,
        where=str(pts),
        shift=CORNER_FROM_ONE_BASED,
        box=boxes.get(_box_key(image.name)),
        attributes={"folder": folder},
    )


def _read_boxes(root: Path, folder: str, field: str) -> dict[str, np.ndarray]:
    """Returns the official boxes (x0, y0, x1, y1) of a folder by key; {} without their file.

    The file holds ``bounding_boxes``: a 1×N cell of structures with the fields ``imgName``,
    ``bb_detector`` and ``bb_ground_truth``.
    """
    name = f"bounding_boxes_{folder.replace('/', '_')}.mat"
    found = [path for where in _BOX_FOLDERS if (path := root / where / name).is_file()]
    if not found:
        return {}
    cells = load_mat(found[0], ("bounding_boxes",))["bounding_boxes"]
    boxes: dict[str, np.ndarray] = {}
    for index, cell in enumerate(cells.ravel()):
        where = f"{found[0]}: bounding_boxes{{{index + 1}}}"
        try:
            entry = cell.ravel()[0]
            image, box = str(entry["imgName"].item()), np.asarray(entry[field], np.float64).ravel()
        # Whatever is wrong in the nest of cells, structures and arrays: it is not the form above.
        except Exception as error:
            message = f"a structure with imgName and {field} is needed. Received: {error!r}"
            raise Problem("unreadable-file", where, message).error() from error
        if box.shape != (4,) or _box_key(image) in boxes:
            message = f"each image needs one box of 4 numbers. Received: {image!r}, {box.tolist()}"
            raise Problem("unreadable-file", where, message).error()
        boxes[_box_key(image)] = box
    return boxes


def _box_key(image_name: str) -> str:
    """The official lists disagree with the files about blanks ("image_092 _01.jpg")."""
    return Path(image_name.replace(" ", "")).stem
