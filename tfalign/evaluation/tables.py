"""Tables of scores: subsets in columns as papers print them, and errors per part of the face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from tfalign.evaluation.checks import Mask
from tfalign.evaluation.published import PublishedResult
from tfalign.evaluation.scores import Score

Subsets = dict[str, Mask]
"""Subset name to a (faces,) boolean mask, in the order of the columns."""

WFLW_ATTRIBUTES = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")

_300W_FOLDERS = {
    "common": (("helen", "testset"), ("lfpw", "testset")),
    "challenging": (("ibug",),),
    "indoor": (("01_Indoor",),),
    "outdoor": (("02_Outdoor",),),
}


def wflw_subsets(attributes: Sequence[Mapping[str, Any]]) -> Subsets:
    """Returns WFLW's columns: all faces, then those with each of the six flags set.

    Args:
        attributes: ``Sample.attributes`` of each face.

    Returns:
        ``"full"`` and each flag that a face has. A face may be in several subsets. Attributes of
        these names that are text, as the further columns of one's own table, are no flags.

    Raises:
        ValueError: If some faces carry the flags and some do not.
    """
    subsets: Subsets = {"full": np.ones(len(attributes), np.bool_)}
    for flag in WFLW_ATTRIBUTES:
        known = [not isinstance(face.get(flag), (str, type(None))) for face in attributes]
        if not any(known):
            continue
        if not all(known):
            raise ValueError(
                f"Either every face or none must have the attribute {flag!r}. Received: "
                f"{sum(known)} of {len(known)} faces with it"
            )
        mask = np.array([bool(face[flag]) for face in attributes], np.bool_)
        if mask.any():
            subsets[flag] = mask
    return subsets


def w300_subsets(names: Sequence[str]) -> Subsets:
    """Returns 300-W's columns from the faces' names, ``FOLDER/NAME.jpg``.

    Returns:
        Those of ``"common"`` (helen/testset, lfpw/testset), ``"challenging"`` (ibug),
        ``"indoor"`` and ``"outdoor"`` that have a face; last all faces, called ``"full"`` only
        where both common and challenging faces are there, else ``"all"``.
    """

    def inside(name: str, folders: tuple[tuple[str, ...], ...]) -> bool:
        parts = PurePosixPath(name).parts[:-1]
        return any(parts[-len(folder) :] == folder for folder in folders)

    subsets: Subsets = {}
    for subset, folders in _300W_FOLDERS.items():
        mask = np.array([inside(name, folders) for name in names], np.bool_)
        if mask.any():
            subsets[subset] = mask
    whole = "full" if {"common", "challenging"} <= subsets.keys() else "all"
    return {**subsets, whole: np.ones(len(names), np.bool_)}


def subsets_of(
    dataset: str, names: Sequence[str], attributes: Sequence[Mapping[str, Any]]
) -> Subsets:
    """Returns the customary columns of a data set; ``{"all": …}`` where there are none.

    Args:
        dataset: ``Protocol.dataset``.
        names: Names of the faces.
        attributes: Attributes of the faces.
    """
    if dataset == "wflw":
        return wflw_subsets(attributes)
    if dataset == "300w":
        return w300_subsets(names)
    return {"all": np.ones(len(names), np.bool_)}


def limit_label(score: Score) -> str:
    """Returns the limit of failure rate and AUC for a table's row: per cent, or ``2px``."""
    unit = "" if score.protocol.unit == "%" else score.protocol.unit
    return f"{score.protocol.scale * score.threshold:g}{unit}"


def subset_table(score: Score, subsets: Subsets) -> pd.DataFrame:
    """Returns the metrics (rows) of each subset (columns), in the unit of the row's name.

    Args:
        score: Score of all faces.
        subsets: Masks over the same faces, e.g. of ``wflw_subsets``.

    Returns:
        Rows ``faces``, ``NME %``, ``FR@t %`` and ``AUC@t`` with t in per cent (``NME px`` and t in
        pixels, ``2px``, where nothing normalises). AUC is a fraction, as in GRegLRef's Table 4.
    """
    scale, unit, limit = score.protocol.scale, score.protocol.unit, limit_label(score)
    columns: dict[str, list[int | float]] = {}
    for name, mask in subsets.items():
        part = score.subset(mask)
        columns[name] = [len(part), scale * part.nme, 100 * part.failure_rate, part.auc]
    index = ["faces", f"NME {unit}", f"FR@{limit} %", f"AUC@{limit}"]
    # Objects, so that the number of faces stays an integer beside fractions.
    return pd.DataFrame(columns, index=index, dtype=object)


def part_table(score: Score) -> pd.DataFrame:
    """Returns the mean normalised error of each part of the face and of each of its points.

    Returns:
        Index: part name; columns ``points`` (number), ``NME %`` (over the part's points of all
        faces), ``worst point`` (name) and ``worst point %``. The last row, ``all``, averages over
        points, which equals the NME unless a protocol leaves points out.
    """
    scheme = score.protocol.scheme
    # A point that no face counts has no mean; it is left out rather than shown as zero.
    seen = np.asarray(~np.isnan(score.point_errors).all(axis=0))
    means = np.full(scheme.num_points, np.nan)
    scale, unit = score.protocol.scale, score.protocol.unit
    means[seen] = scale * np.nanmean(score.point_errors[:, seen], axis=0)
    rows = {}
    for part, indices in {**scheme.parts, "all": range(scheme.num_points)}.items():
        counted = [i for i in indices if seen[i]]
        if not counted:
            continue
        worst = max(counted, key=lambda i: float(means[i]))
        rows[part] = {
            "points": len(counted),
            f"NME {unit}": scale * float(np.nanmean(score.point_errors[:, counted])),
            "worst point": scheme.points[worst],
            f"worst point {unit}": float(means[worst]),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def comparison_table(
    ours: Mapping[str, Mapping[str, float]], published: Sequence[PublishedResult]
) -> pd.DataFrame:
    """Returns our results above published ones of the same metric and protocol.

    Args:
        ours: Method name to subset name to value, in the unit of the published values (per cent for
            NME).
        published: Rows to print, e.g. of ``published.find``.

    Returns:
        Index: method. One column per subset (those of the published rows, then others of ours), NaN
        where nothing is known, and ``source``. Our rows come first, then the published ones from
        the best to the worst in the last subset that all of them report.
    """
    rows: dict[str, dict[str, float | str]] = {
        method: {**values, "source": "measured here"} for method, values in ours.items()
    }
    order = list(dict.fromkeys(result.subset for result in published))
    order += [s for values in ours.values() for s in values if s not in order]
    theirs: dict[str, dict[str, float | str]] = {}
    for result in published:
        label = result.method if result.method not in ours else f"{result.method} (published)"
        theirs.setdefault(label, {"source": result.source})[result.subset] = result.value
    shared = [s for s in order if theirs and all(s in values for values in theirs.values())]
    if shared:
        key = "full" if "full" in shared else shared[-1]
        theirs = dict(sorted(theirs.items(), key=lambda item: float(item[1][key])))
    table = pd.DataFrame.from_dict({**rows, **theirs}, orient="index")
    return table.reindex(columns=[*order, "source"])


def format_cell(value: object, digits: int = 3) -> str:
    """Returns one cell as text: counts without decimals, NaN and None as ``-``."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "-"
    if isinstance(value, (int, np.integer)):
        return str(value)
    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}f}"
    return str(value)


def format_table(table: pd.DataFrame, digits: int = 3) -> str:
    """Returns a data frame as aligned text."""
    cells = table.astype(object).map(lambda value: format_cell(value, digits))
    text: str = cells.to_string()
    return text
