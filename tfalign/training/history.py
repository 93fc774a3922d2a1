"""The per-epoch record of a run: rows in memory, in the checkpoint and in a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfalign.files import write_whole

Row = Mapping[str, Any]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Writes all rows; a column that some rows lack is empty there.

    The whole file is replaced at each call: after a kill no row is there twice or cut short.

    Args:
        path: The file.
        rows: One mapping per epoch.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue(), durable=True)
