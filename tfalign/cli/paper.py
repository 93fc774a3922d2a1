"""Makes the tables and figures of the papers: trains what is missing, measures, compares.

    tfalign paper                                       # the papers, their tables and figures
    tfalign paper greglref table3 --data DATA --out runs/papers
    tfalign paper tsr table2 --data 300w=300W --out runs/papers --scale published --jobs 4
    tfalign paper dssd penalties --data DATA --out runs/papers --seeds 0 1 2
    tfalign paper claims all --data DATA --out runs/papers --seeds 0 1 2

DATA has a folder for each data set by its name (tfalign data), in the set's official layout; only
the sets that the item needs must be there. Where a set has no official test faces, the usual number
of training faces is held out for the test; training watches others in any case.

--scale published is the paper to the letter, with our readings; small is what two cores can do.
OUT/PAPER/ITEM-SCALE receives results.json, table.csv and the pictures; our rows stand beside the
authors', each with the conditions that it was made under. Trainings are in OUT/trainings: they are
shared by the items of a paper, continue where they were killed, and are not repeated; those with
--steps lie beside the others. With --rows the results are in OUT/PAPER/ITEM-SCALE-part, those of
some claims in OUT/claims-SCALE-part. 'claims' compares the two rows of each paper's central claim,
face by face, and says of each whether it is reproduced.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tfalign.argument_help import ArgumentParser
from tfalign.paper.scales import SCALES


def options(prog: str = "tfalign paper") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = ArgumentParser(
        prog=prog,
        description=str(__doc__).replace("tfalign paper", prog),
    )
    parser.add_argument(
        "paper", nargs="?", metavar="PAPER", help="Which paper; without it all are listed."
    )
    parser.add_argument(
        "items", nargs="*", metavar="ITEM", help="Which tables and figures; 'all' makes every one."
    )
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="DIR|SET=DIR",
        help="The folder that has one folder for each data set, or the folder of each set.",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="The folder for the results.")
    parser.add_argument(
        "--scale", choices=list(SCALES), default="small", help="How large everything is run."
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0],
        metavar="N",
        help="Which seeds every row is trained with; values are their means.",
    )
    parser.add_argument("--rows", nargs="+", metavar="LABEL", help="Make these rows alone.")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="How many processes train at a time."
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="Train for this many steps, whatever the scale says."
    )
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Lists, or makes the items; returns the content of each ``results.json`` by the item."""
    from tfalign import paper as room
    from tfalign.paper.trainings import Workshop

    of_all = arguments.paper in (None, "claims")
    papers = list(room.PAPERS.values()) if of_all else [room.get(arguments.paper)]
    if not arguments.items:
        if arguments.paper == "claims":
            print(*(f"{n:<19}{paper}: {says}" for n, (paper, _, says) in room.CLAIMS.items()),
                  sep="\n")  # fmt: skip
            return {name: list(claim) for name, claim in room.CLAIMS.items()}
        listed = {p.name: {name: item.title for name, item in p.items.items()} for p in papers}
        for paper in papers:
            print(f"{paper.name}: {paper.citation}")
            print(*(f"  {name:<20}{item.title}" for name, item in paper.items.items()), sep="\n")
        if of_all:
            print("claims: the central claim of each")
        return listed
    if arguments.data is None or arguments.out is None:
        raise ValueError(
            "An item needs --data and --out. Received: "
            f"--data {arguments.data}, --out {arguments.out}"
        )
    wanted = [] if arguments.items == ["all"] else arguments.items
    if of_all and arguments.rows:
        raise ValueError(
            "--rows chooses rows of a paper's table; a claim has its own two. Received: --rows "
            + " ".join(arguments.rows)
        )
    shop = Workshop(
        folders(arguments.data),
        arguments.out,
        arguments.scale,
        {} if arguments.steps is None else {"steps": arguments.steps},
    )
    if of_all:
        return room.run_claims(
            room.PAPERS, shop, only=wanted, seeds=arguments.seeds, jobs=arguments.jobs
        )
    (paper,) = papers
    names = wanted or list(paper.items)
    for name in names:  # what is wrong is told before anything is trained
        room.Bench(paper, name, shop, arguments.seeds, arguments.rows)
    results: dict[str, Any] = {}
    errors: list[str] = []
    for name in names:
        results[name] = room.run_item(
            paper, name, shop, seeds=arguments.seeds, only=arguments.rows, jobs=arguments.jobs
        )
        errors += results[name].get("errors", [])
    return {**results, "errors": errors} if errors else results


def folders(words: list[str]) -> Path | dict[str, Path]:
    """Returns what ``--data`` says: one folder of all sets, or the folder of each.

    Raises:
        ValueError: If it says both, or several folders without names, or names no data set, or one
            twice.
        FileNotFoundError: If a folder does not exist.
    """
    from tfalign.data import sets

    named = [word.partition("=") for word in words]
    if len(words) == 1 and not named[0][1]:
        found: Path | dict[str, Path] = Path(words[0])
        each = [Path(words[0])]
    elif all(separator for _, separator, _ in named):
        found = {name: Path(folder) for name, _, folder in named}
        if len(found) < len(named) or set(found) - set(sets.SETS):
            raise ValueError(
                "--data SET=DIR must name each set once, as `tfalign data` lists them: "
                f"{', '.join(sets.SETS)}. Received: {' '.join(words)}"
            )
        each = list(found.values())
    else:
        raise ValueError(f"--data must be one folder, or SET=DIR each. Received: {words}")
    for folder in each:
        if not folder.is_dir():
            raise FileNotFoundError(f"--data must name folders. Received: {str(folder)!r}")
    return found
