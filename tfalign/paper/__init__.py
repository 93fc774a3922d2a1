"""The five papers as experiments: every table and figure as a declaration, run by one command.

    tfalign paper greglref table3 --data DATA --out runs/papers --scale small

A paper's file declares trainings and the tables and figures over them; ``scales`` says how large
they are run, ``trainings`` trains what is missing, ``measures`` and ``pictures`` make the item.
"""

from __future__ import annotations

from tfalign.paper import alike, ccnn, deepreg, dssd, greglref, tsr
from tfalign.paper.claims import CLAIMS, run_claims
from tfalign.paper.experiment import Column, Item, Paper, Training
from tfalign.paper.measures import Bench, run_item
from tfalign.paper.scales import SCALES, Scale

PAPERS: dict[str, Paper] = {
    paper.name: paper
    for paper in (
        greglref.PAPER,
        tsr.PAPER,
        deepreg.PAPER,
        dssd.PAPER,
        ccnn.PAPER,
        alike.PAPER,
    )
}
"""Every paper by its name."""


def get(name: str) -> Paper:
    """Returns a paper by its name.

    Raises:
        ValueError: If there is none.
    """
    if name not in PAPERS:
        raise ValueError(f"A paper must be one of {', '.join(PAPERS)}. Received: {name!r}")
    return PAPERS[name]


__all__ = [
    "CLAIMS",
    "PAPERS",
    "SCALES",
    "Bench",
    "Column",
    "Item",
    "Paper",
    "Scale",
    "Training",
    "get",
    "run_claims",
    "run_item",
]
