"""Evaluation protocols as objects: which set, which points, divided by what.

A number without its protocol means nothing, so nothing here has a default protocol: the name says
the set, the markup and the normaliser. The mistakes that users report most are made impossible or
loud: a protocol knows how many points it takes, refuses a normaliser that is zero or absurdly
small, and ``tfalign.evaluation.checks`` looks for mixed-up spaces and shifted, truncated or
mirrored predictions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from tfalign import markup
from tfalign.files import read_json
from tfalign.metrics.normalizers import (
    NORMALIZERS,
    AnchorDistance,
    BoxExtent,
    BoxMeasure,
    NoNormalizer,
    Normalizer,
    threshold,
)

Floats = NDArray[np.float64]

SMALLEST_NORMALIZER = 0.005
"""A normaliser below this share of the longer landmark side is an error of annotation or markup."""


@dataclass(frozen=True)
class Protocol:
    """One way to score landmarks.

    Attributes:
        name: What users type, e.g. ``"300w_inter_ocular"``.
        title: For tables and plots.
        dataset: The set whose tables use it: ``"300w"``, ``"wflw"``, ``"cofw29"``, ``"cofw68"``,
            ``"aflw19"``, ``"lfpw29"`` or ``"helen194"``; ``""`` for faces of one's own.
        normalizer: What each face's mean point-to-point distance is divided by: the distance of
            two groups of points (``AnchorDistance``), a measure of the annotated box
            (``BoxExtent``) or nothing (``NoNormalizer``: errors are pixels).
        threshold: Default limit of the failure rate and of the area under the CED: a fraction,
            or pixels where nothing normalises.
        visible_only: Whether only points annotated as visible are averaged (COFW-68). The average
            is taken within each face first, then over faces.
    """

    name: str
    title: str
    dataset: str
    normalizer: Normalizer
    threshold: float
    visible_only: bool = False

    @property
    def scheme(self) -> markup.LandmarkScheme:
        """The landmark scheme that truth and predictions must have."""
        return markup.get(self.normalizer.scheme)

    @property
    def scale(self) -> float:
        """What errors are multiplied by for people: 100 for per cent, 1 for pixels."""
        return 1.0 if isinstance(self.normalizer, NoNormalizer) else 100.0

    @property
    def unit(self) -> str:
        """The unit that people read: ``"%"`` or ``"px"``."""
        return "px" if isinstance(self.normalizer, NoNormalizer) else "%"

    @property
    def identity(self) -> Any:
        """What tells a protocol from all others, as plain data for JSON: its name, or of one of
        one's own, whose name says little, all that makes it."""
        if PROTOCOLS.get(self.name) == self:
            return self.name
        normalizer = self.normalizer
        by: Any = "none"
        if isinstance(normalizer, AnchorDistance):
            by = [list(normalizer.first), list(normalizer.second)]
        elif isinstance(normalizer, BoxExtent):
            by = normalizer.measure
        scheme = json.dumps(self.scheme.to_config(), sort_keys=True)
        return {
            "name": self.name,
            "scheme": self.scheme.name,
            "scheme_sha256": hashlib.sha256(scheme.encode()).hexdigest(),
            "normalizer": by,
            "threshold": self.threshold,
            "visible_only": self.visible_only,
        }

    @property
    def needs_boxes(self) -> bool:
        """Whether the normaliser is a measure of the annotated face box."""
        return isinstance(self.normalizer, BoxExtent)

    def normalizers(self, truth: Floats, boxes: Floats | None = None) -> Floats:
        """Returns what each face's error is divided by.

        Args:
            truth: (faces, n, 2) true landmarks, image pixels.
            boxes: (faces, 4) annotated boxes, image pixels; only for protocols that
                ``needs_boxes``.

        Returns:
            (faces,) in pixels.

        Raises:
            ValueError: If boxes are needed and missing, or a normaliser is not finite, zero, or
                below ``SMALLEST_NORMALIZER`` of its face's size.
        """
        if isinstance(self.normalizer, BoxExtent):
            if boxes is None:
                raise ValueError(
                    f"Protocol {self.name!r} divides by the {self.normalizer.meaning}: give "
                    "`boxes` of shape (faces, 4). Received: boxes=None"
                )
            boxes = np.asarray(boxes, np.float64)
            if boxes.shape != (len(truth), 4):
                raise ValueError(
                    f"`boxes` must be ({len(truth)}, 4), one box per face. Received: boxes of "
                    f"shape {boxes.shape}"
                )
            value = self.normalizer(boxes)
        else:
            value = self.normalizer(truth)
        value = np.asarray(value, np.float64)
        if isinstance(self.normalizer, NoNormalizer):
            return value
        # nanmax: annotations of hidden points may be missing.
        spans = np.nanmax(truth, axis=1) - np.nanmin(truth, axis=1)
        floor = SMALLEST_NORMALIZER * spans.max(axis=-1)
        bad = ~np.isfinite(value) | (value <= floor)
        if bad.any():
            raise ValueError(
                f"The normaliser of {self.name!r} ({self.normalizer.meaning}) must be finite and "
                f"above {SMALLEST_NORMALIZER:.1%} of the face's size; otherwise annotations are "
                f"broken or their order is not that of {self.scheme.name!r}. Received: "
                f"{listed(bad, value, 'px')}"
            )
        return value


def _protocols() -> dict[str, Protocol]:
    titles = {
        "300w": "300-W",
        "wflw": "WFLW",
        "cofw29": "COFW-29",
        "cofw68": "COFW-68",
        "aflw19": "AFLW-19",
        "lfpw29": "LFPW-29",
        "helen194": "Helen-194",
    }
    made = {}
    for name, normalizer in NORMALIZERS.items():
        dataset, _, kind = name.partition("_")
        title, limit = titles[dataset], threshold(name)
        made[name] = Protocol(
            name, f"{title}, {kind.replace('_', '-')}", dataset, normalizer, limit
        )
        if dataset == "cofw68":
            visible = f"{name}_visible"
            made[visible] = Protocol(
                visible,
                f"{made[name].title}, visible points only",
                dataset,
                normalizer,
                limit,
                visible_only=True,
            )
    return made


PROTOCOLS: dict[str, Protocol] = _protocols()
"""Every protocol by its name. The default threshold is 8 % for 300-W and 10 % elsewhere; tables of
300-W exist for both, so a threshold is printed with every number that depends on it."""


def get_protocol(protocol: str | Path | Mapping[str, Any] | Protocol | Normalizer) -> Protocol:
    """Returns a protocol from whatever stands for one.

    Args:
        protocol: A name of ``PROTOCOLS``, a ``Protocol``, or for faces of one's own a bare
            normaliser, its ``to_config()``, or the path of a ``.json`` file that holds that.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the name is unknown or the configuration is none.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if isinstance(protocol, (AnchorDistance, BoxExtent, NoNormalizer)):
        return _own(protocol)
    if isinstance(protocol, Mapping):
        return from_config(protocol)
    if isinstance(protocol, Path) or str(protocol).endswith(".json"):
        return from_config(read_json(protocol))
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"`protocol` must be one of {', '.join(PROTOCOLS)}, or a .json file of one's own. "
            f"Received: protocol={protocol!r}"
        )
    return PROTOCOLS[protocol]


def _own(normalizer: Normalizer, name: str = "", limit: float | None = None) -> Protocol:
    """Returns the protocol of a normaliser of one's own."""
    scheme = markup.get(normalizer.scheme).name
    return Protocol(
        name or f"{scheme}, divided by: {normalizer.meaning}",
        name or f"{scheme}, divided by: {normalizer.meaning}",
        "",
        normalizer,
        threshold(normalizer) if limit is None else limit,
    )


def own_protocol(scheme: markup.LandmarkScheme) -> Protocol:
    """Returns the protocol of a scheme's own normaliser, of its outer eye corners or of its eyes.

    Where it has none of them, as the points of most annotation tools' files, errors are divided by
    the diagonal of the face's box: the file's, or where it has none the points' tight one. The
    protocol's name says which normaliser it is.
    """
    corners = None if scheme.eye_corners is None else [[i] for i in scheme.eye_corners]
    normalizer = scheme.normalizer or corners or scheme.pupils or "diagonal"
    return from_config({"scheme": scheme, "normalizer": normalizer})


def from_config(config: Mapping[str, Any]) -> Protocol:
    """Returns a protocol of one's own from plain data.

    Args:
        config: ``"scheme"`` (whatever ``tfalign.markup.get`` takes) and ``"normalizer"``: a pair
            ``[[i, …], [j, …]]`` of groups of point indices or names, ``"side"``, ``"diagonal"`` or
            ``"sqrt_area"`` of the annotated box, or ``"none"``; optionally ``"name"`` and
            ``"threshold"``.

    Raises:
        ValueError: If a key is missing or unknown, or a value is not as above.
    """
    known = {"scheme", "normalizer", "name", "threshold"}
    if not {"scheme", "normalizer"} <= config.keys() <= known:
        raise ValueError(
            "A protocol's configuration must have `scheme` and `normalizer`, and may have `name` "
            f"and `threshold`. Received: {sorted(config)}"
        )
    scheme, by = markup.get(config["scheme"]), config["normalizer"]
    normalizer: Normalizer
    if isinstance(by, str) and by == "none":
        normalizer = NoNormalizer(scheme)
    elif isinstance(by, str) and by in get_args(BoxMeasure):
        measure = cast(BoxMeasure, by)
        normalizer = BoxExtent(scheme, measure, f"{by} of the annotated face box".replace("_", " "))
    elif not isinstance(by, str) and len(by) == 2 and all(len(group) > 0 for group in by):
        groups = [tuple(scheme.index(p) if isinstance(p, str) else int(p) for p in g) for g in by]
        outside = [i for group in groups for i in group if not 0 <= i < scheme.num_points]
        if outside:
            raise ValueError(
                f"Points of `normalizer` must be from 0 to {scheme.num_points - 1} for the scheme "
                f"{scheme.name!r}. Received: {outside}"
            )
        ends = " and ".join(_points(scheme, group) for group in groups)
        normalizer = AnchorDistance(scheme, groups[0], groups[1], f"distance of {ends}")
    else:
        raise ValueError(
            "`normalizer` must be two groups of points, 'side', 'diagonal', 'sqrt_area' or 'none'. "
            f"Received: normalizer={by!r}"
        )
    return _own(normalizer, str(config.get("name", "")), config.get("threshold"))


def _points(scheme: markup.LandmarkScheme, group: tuple[int, ...]) -> str:
    """Returns the points of a group in words, so that another group has another name."""
    if len(group) == 1:
        return scheme.points[group[0]]
    return f"the mean of {', '.join(scheme.points[index] for index in group)}"


def related_protocols(protocol: str | Protocol) -> list[Protocol]:
    """Returns the other protocols of the same set, e.g. inter-pupil beside inter-ocular."""
    own = get_protocol(protocol)
    return [p for p in PROTOCOLS.values() if p.dataset == own.dataset and p.name != own.name]


SHOWN = 5


def listed(bad: NDArray[np.bool_], values: NDArray[Any] | None = None, unit: str = "") -> str:
    """Returns e.g. ``"2 of 40 faces: 3 (0 px), 17 (0.2 px)"`` for a (faces,) mask."""
    where = np.flatnonzero(bad)
    shown = [
        str(i) if values is None else f"{i} ({values[i]:.4g} {unit})".replace(" )", ")")
        for i in where[:SHOWN]
    ]
    more = ", …" if len(where) > SHOWN else ""
    return f"{len(where)} of {len(bad)} faces: {', '.join(shown)}{more}"
