"""The training release of the Menpo 2D challenge: semi-frontal faces with 68 points.

Layout: ``NAME.jpg`` (or ``.png``) with ``NAME.pts`` beside it, at any depth below the root. Profile
faces have 39 points of another markup; they are left out and listed as noted. Coordinates are
1-based, as in the files of 300-W, whose markup the 68 points are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfalign.data.readers.image import ImageFile
from tfalign.data.readers.pts import image_pairs, parse_pts
from tfalign.data.readers.reader import Reader, attempt
from tfalign.data.readers.record import CORNER_FROM_ONE_BASED, Record, build_record
from tfalign.data.readers.report import BadAnnotationError, OnError, Problem, ReadingReport

NUM_POINTS, PROFILE_POINTS = 68, 39


def read(
    root: str | Path, splits: Sequence[str] | str | None = None, on_error: OnError = "raise"
) -> Reader:
    """Reads the semi-frontal training faces.

    Args:
        root: The release's folder.
        splits: ``"train"`` or None: the release's other part has no annotation.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.

    Returns:
        A reader of 68-point samples in image space, named by their image's path below the root; all
        points count as visible, the box is the landmarks' tight box.

    Raises:
        FileNotFoundError: If the folder is missing or (``"raise"``) a file lacks its partner.
        ValueError: If another split is asked for, no face has 68 points, or (``"raise"``) an
            annotation is bad.
    """
    if splits not in (None, "train") and list(splits) != ["train"]:
        raise ValueError(f"Menpo has the split 'train' alone. Received: splits={splits!r}")
    root = Path(root)
    report = ReadingReport(on_error)
    folders = [root, *sorted(path for path in root.rglob("*") if path.is_dir())]
    pairs = [pair for folder in folders for pair in image_pairs(folder, report)]
    records = []
    for pts, image in pairs:
        if _is_profile(pts):
            message = "a profile face, whose 39 points are not among the 68: left out."
            report.note(Problem("wrong-number-of-points", str(pts), message))
            continue
        record = attempt(report, _record, root, pts, image)
        if record is not None:
            records.append(record)
    if not records and not report.skipped:
        message = "there must be .pts files of 68 points beside their images."
        raise Problem("missing-annotation", str(root), message).error()
    return Reader("menpo", "ibug68", records, report)


def _is_profile(pts: Path) -> bool:
    try:
        return len(parse_pts(pts)) == PROFILE_POINTS
    except BadAnnotationError:
        return False  # whoever reads its points tells what is wrong


def _record(root: Path, pts: Path, image: Path) -> Record:
    return build_record(
        name=image.relative_to(root).as_posix(),
        image=ImageFile(image, str(pts)),
        points=parse_pts(pts, NUM_POINTS),
        num_points=NUM_POINTS,
        where=str(pts),
        shift=CORNER_FROM_ONE_BASED,
    )
