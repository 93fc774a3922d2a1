"""Published results, printed beside ours. Every number of ``published.json`` stands as its source
prints it.

``value`` is in the unit of the tables: per cent for ``"nme"`` and ``"failure_rate"``, a fraction
for ``"auc"``. The protocol says which normaliser; thresholds are in the metric's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfalign.files import read_json

GREGLREF = "GRegLRef (CVPRW 2019)"
TSR = "TSR (CVPR 2017)"
CCNN = "CCNN (2018)"
DEEPREG = "DeepReg (2014)"

TEST_FACES: Mapping[str, Mapping[str, int]] = {
    "300w": {
        "common": 554,
        "challenging": 135,
        "full": 689,
        "helen": 330,
        "lfpw": 224,
        "private": 600,
        "indoor": 300,
        "outdoor": 300,
    },
    "wflw": {
        "full": 2500,
        "pose": 326,
        "expression": 314,
        "illumination": 698,
        "makeup": 206,
        "occlusion": 736,
        "blur": 773,
    },
    "cofw29": {"all": 507},
    "cofw68": {"all": 507},
    "aflw19": {"full": 4386, "frontal": 1314},
    "lfpw29": {"all": 249},
    "helen194": {"all": 330},
}
"""How many faces the columns of published tables are about, by ``Protocol.dataset``."""


@dataclass(frozen=True)
class PublishedResult:
    """One published number.

    Attributes:
        method: Name as printed.
        protocol: Name of the protocol (``tfalign.evaluation.PROTOCOLS``).
        subset: Column: ``"full"``, ``"common"``, ``"pose"`` …
        metric: ``"nme"``, ``"failure_rate@10"``, ``"failure_rate@8"``, ``"auc@10"``, ``"auc@8"``,
            ``"million_parameters"`` or ``"gmacc"``.
        value: Per cent; a fraction for ``auc``.
        source: Paper and table.
        condition: ``""``, or what was different from the usual test: ``"box=dlib"`` (TSR's Table
            1), ``"extension=0.2"``, ``"translation=0.1"``, ``"rotation=15"`` (its Table 2).
        note: What a reader of the number must know.
    """

    method: str
    protocol: str
    subset: str
    metric: str
    value: float
    source: str
    condition: str = ""
    note: str = ""


def _results(table: Mapping[str, Any]) -> Iterator[PublishedResult]:
    """Reads one table: rows of subsets under one condition, or of conditions for one subset."""
    conditions = table.get("conditions")
    cells = (
        [(subset, table.get("condition", "")) for subset in table["columns"]]
        if conditions is None
        else [(table["columns"][0], condition) for condition in conditions]
    )
    common = (table["source"], table.get("note", ""))
    for method, values in table["rows"].items():
        for (subset, condition), value in zip(cells, values, strict=True):
            if value is not None:
                yield PublishedResult(
                    method,
                    table["protocol"],
                    subset,
                    table["metric"],
                    value,
                    common[0],
                    condition,
                    common[1],
                )


RESULTS: tuple[PublishedResult, ...] = tuple(
    result
    for table in read_json(Path(__file__).with_name("published.json"))
    for result in _results(table)
)


def find(
    protocol: str, metric: str = "nme", source: str | None = None, condition: str = ""
) -> tuple[PublishedResult, ...]:
    """Returns the published numbers of one protocol, metric and condition.

    Args:
        protocol: Protocol name.
        metric: See ``PublishedResult.metric``.
        source: Only sources that contain this text.
        condition: See ``PublishedResult.condition``.
    """
    return tuple(
        result
        for result in RESULTS
        if (result.protocol, result.metric, result.condition) == (protocol, metric, condition)
        and (source is None or source in result.source)
    )


def comparable(dataset: str, subset: str, faces: int) -> bool:
    """Whether a column of ours is about the faces of the published column of that name.

    A part of a test set, other faces called "full", or faces that were left out give a number that
    stands beside no published one.
    """
    return TEST_FACES.get(dataset, {}).get(subset) == faces
