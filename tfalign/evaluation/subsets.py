"""The face sets whose columns papers print: WFLW's seven, 300-W's three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from tfalign.evaluation.checks import Mask

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
        ``"full"`` and each flag that a face has. A face may be in several subsets.

    Raises:
        ValueError: If some faces carry the flags and some do not.
    """
    subsets: Subsets = {"full": np.ones(len(attributes), np.bool_)}
    for flag in WFLW_ATTRIBUTES:
        known = [flag in face for face in attributes]
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
