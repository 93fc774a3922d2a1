"""The results of reproduce.py: from the folders of finished rows to one table, plot and report."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_export.measured import KINDS, scores
from mobile_export.timing import latencies, race
from tfalign.evaluation import output, published
from tfalign.evaluation.comparison import Contender, comparison_frame, remarks
from tfalign.evaluation.tables import format_table
from tfalign.files import read_json

if TYPE_CHECKING:
    from reproduce import Faces, Row

TITLE = "Five papers trained alike on 300-W faces"


def finished(folder: Path) -> bool:
    """Whether the row of this folder has been trained, exported and measured."""
    return (folder / "measured.json").is_file()


def contender(name: str, row: Row, folder: Path, batch: int, timed: Mapping[str, Any]) -> Contender:
    """Returns a finished row for the comparison.

    Args:
        name: Of the row.
        row: The row.
        folder: Its folder.
        batch: Faces in a batch.
        timed: Latency of each kind of export.
    """
    trained = read(folder)["trained"]
    found = scores(folder, trained["protocol"])
    return Contender(
        name,
        row.paper,
        found["float32"],
        found["int8"],
        params=trained["params"],
        macc=trained["macc"],
        # The runner trains in whole epochs of whole batches.
        presentations=trained["epochs"] * (trained["data"]["train"] // batch) * batch,
        # Processor time, which other programs on the machine lengthen less than the clock's.
        milliseconds=timed["float32"].cpu,
        quantized_milliseconds=timed["int8"].cpu,
        published=find_published(row),
        remark=row.remark,
    )


def read(folder: Path) -> dict[str, Any]:
    """Returns what was measured in a finished row's folder."""
    content: dict[str, Any] = read_json(folder / "measured.json")
    return content


def find_published(row: Row) -> published.PublishedResult | None:
    """Returns what the row's own paper reports on the full 300-W test set."""
    if row.published is None:
        return None
    method, protocol = row.published
    (result,) = (
        theirs
        for theirs in published.find(protocol)
        if theirs.method == method and theirs.subset == "full"
    )
    return result


def write(
    rows: Mapping[str, Row], arguments: argparse.Namespace, faces: Faces, common: Mapping[str, Any]
) -> dict[str, Any]:
    """Writes and prints the results of the finished ones of some rows.

    Args:
        rows: All rows, in the order of the table; at least one is finished.
        arguments: Options of reproduce.py.
        faces: The faces of the comparison.
        common: The settings that all rows share.

    Returns:
        The content of ``results.json``.
    """
    folders = {n: arguments.out / n for n in rows if finished(arguments.out / n)}
    files = [folder / kind / "model.tflite" for folder in folders.values() for kind in KINDS]
    times = iter(latencies(files, race(files, threads=1, runs=arguments.latency_runs)))
    found, details = [], {}
    for name, folder in folders.items():
        timed = {kind: next(times) for kind in KINDS}
        found.append(contender(name, rows[name], folder, arguments.batch_size, timed))
        details[name] = {
            **found[-1].to_dict(),
            **read(folder),
            "row": asdict(rows[name]),
            "latency": {kind: value.to_dict() for kind, value in timed.items()},
        }
    test = f"{len(faces.test)} faces: {faces.test_name}"
    notes = [
        f"Test faces: {test}. Trained on {len(faces.train)} faces; phases that watch an error "
        f"watched {len(faces.held_out)} others. One seed; ± is the spread over faces alone.",
        "Sizes and training lengths are ours: the papers' own results are not reproduced by them.",
        "Latency: median processor time of one image, one thread, LiteRT with XNNPACK; the clock's "
        "is in results.json.",
    ]
    # A row's run.json refuses to continue by another schedule; versions may differ between rows.
    versions = [read(folder)["trained"]["versions"] for folder in folders.values()]
    if any(found_with != versions[0] for found_with in versions):
        notes.append(
            "The rows were trained with different versions of the packages; results.json has them."
        )
    if missing := [name for name in rows if name not in folders]:
        notes.append(f"Not finished yet: {', '.join(missing)}.")
    content = {
        "test": test,
        "settings": dict(common),
        "versions": versions(),
        "notes": notes,
        "rows": details,
    }
    output.write_comparison(found, arguments.out, TITLE, notes, content)
    print(format_table(comparison_frame(found)), *notes, *remarks(found), sep="\n")
    print(arguments.out / "report.html")
    return content
