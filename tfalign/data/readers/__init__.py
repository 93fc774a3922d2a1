"""Readers of data sets and of what annotation tools write, all giving the same lazy samples.

Each module has ``read(root, splits=None, on_error="raise") -> Reader``; ``tfalign.data.sets`` tells
what each set is. A ``Reader`` holds parsed annotations (``records``) and decodes an image when its
sample is asked for.

Bad data never pass silently. With ``on_error="raise"`` the first problem raises a ``ValueError`` or
``FileNotFoundError`` that names file and line; with ``"skip"`` the face is left out, counted and
listed in ``reader.report``. A file without which nothing can be read (a missing list, a damaged
``.mat``) raises in both cases. What counts as bad: a missing, unreadable or oversized image
(``image.MAX_PIXELS``), a wrong number of points, a number that is no finite decimal, a box or a
face without area, a landmark outside the image by more than ``record.OUTSIDE_SHARE`` of the face, a
face or name that comes twice, text that is not UTF-8, and a truncated file or line, as far as the
format lets it be seen: WFLW lists end in the image path, ``.pts`` in a brace, other texts in a line
end. None of the text formats has a checksum: a digit
that became another digit is what the file says.

What need not stop anyone is settled and listed in ``reader.report.noted``, also with ``"raise"``: a
box that holds none of its points gives way to their tight box; an entry without points is left
out. Image names may have another letter case in their suffix than the file, or backslashes.

Coordinates are converted to image space (``tfalign.geometry``); each module states its set's own
convention, ``record.CORNER_FROM_ONE_BASED`` and ``CORNER_FROM_ZERO_BASED`` are the two shifts in
use. Points are never rounded or truncated to integers. Published sets annotate stored pixels;
files of annotation tools are read with the image upright (see ``image``).
"""

from tfalign.data.readers import (
    aflw19,
    coco,
    cofw,
    csv_table,
    helen194,
    imglab,
    lfpw29,
    menpo,
    pts,
    w300,
    wflw,
    ytf,
)
from tfalign.data.readers.conversion import converted, union
from tfalign.data.readers.reader import Reader
from tfalign.data.readers.record import Record
from tfalign.data.readers.report import BadAnnotationError, MissingFileError, Problem, ReadingReport

__all__ = [
    "BadAnnotationError",
    "MissingFileError",
    "Problem",
    "Reader",
    "Record",
    "ReadingReport",
    "aflw19",
    "coco",
    "cofw",
    "converted",
    "csv_table",
    "helen194",
    "imglab",
    "lfpw29",
    "menpo",
    "pts",
    "union",
    "w300",
    "wflw",
    "ytf",
]
