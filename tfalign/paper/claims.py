"""The central claim of each paper in one table: reproduced or not, with its standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tfalign.evaluation.tables import format_table
from tfalign.files import versions, write_json, write_whole
from tfalign.paper.experiment import Paper
from tfalign.paper.measures import run_item
from tfalign.paper.trainings import Workshop

CLAIMS: dict[str, tuple[str, str, str]] = {
    "refinement": ("greglref", "table3", "local refinement lowers the error of global regression"),
    "local stage": ("tsr", "table3", "re-initialized parts lower the error of the global stage"),
    "joint": ("deepreg", "table1", "joint learning beats sequential learning"),
    "detectors": ("dssd", "table4", "sharable and structural detectors beat joint regression"),
    "recurrent": ("dssd", "table6", "recurrent learning beats sequential learning"),
    "units": ("ccnn", "figure11", "a second unit lowers the error of one"),
}
"""Name to (paper, the table or figure that has the claim, the claim)."""


def run_claims(
    papers: Mapping[str, Paper],
    shop: Workshop,
    *,
    only: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
) -> dict[str, Any]:
    """Trains the two rows of each claim and measures their difference, paired over faces.

    Args:
        papers: Name to paper.
        shop: Data, results and scale.
        only: Names of claims; none of them means all.
        seeds: One training of every row for each.
        jobs: Processes that train.

    Returns:
        The content of ``OUT/claims-SCALE/results.json`` (of some claims alone,
        ``OUT/claims-SCALE-part``), beside which ``table.csv`` lies: of each claim both errors,
        their difference in points of per cent and its standard error.

    Raises:
        ValueError: If a name is unknown, or no row of a claim could be trained.
    """
    if unknown := sorted(set(only) - set(CLAIMS)):
        raise ValueError(
            f"A claim must be one of {', '.join(CLAIMS)}. Received: {', '.join(unknown)}"
        )
    rows: dict[str, dict[str, Any]] = {}
    errors: list[str] = []
    for name in only or CLAIMS:
        paper, item, says = CLAIMS[name]
        claim = papers[paper].item(item).claim
        if claim is None:
            raise ValueError(f"{paper} {item} must have a claim. Received: none")
        found = run_item(papers[paper], item, shop, seeds=seeds, only=claim, jobs=jobs)
        errors += found.get("errors", [])
        measured = found.get("claim")
        rows[f"{paper}: {says}"] = {
            "compared": f"{claim[0]} − {claim[1]}",
            **({} if measured is None else _row(measured, found["conditions"])),
        }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    part = "" if len(rows) == len(CLAIMS) else "-part"
    out = shop.out / f"claims-{shop.label}{part}"
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "table.csv", frame.to_csv(index_label="claim"))
    content = {
        "scale": shop.says,
        "rows": rows,
        "versions": versions(),
        **({"errors": errors} if errors else {}),
    }
    write_json(out / "results.json", content)
    print(format_table(frame, 3), out, sep="\n")
    return content


def _row(measured: Mapping[str, Any], conditions: str) -> dict[str, Any]:
    return {
        "errors %": f"{measured['errors'][0]:.2f}, {measured['errors'][1]:.2f}",
        "difference": measured["difference"],
        "standard error": measured["standard_error"],
        "told apart from": measured["limit"],
        "verdict": measured["verdict"],
        "conditions": f"{measured['column']}; {measured['faces']} faces ({measured['what']}); "
        f"{conditions}",
    }
