"""Evaluation protocols as objects: which set, which points, divided by what.

A number without its protocol means nothing, so nothing here has a default protocol: the name says
the set, the markup and the normaliser. The mistakes that users report most are made impossible or
loud: a protocol knows how many points it takes, refuses a normaliser that is zero or absurdly
small, and ``tfalign.evaluation.checks`` looks for mixed-up spaces and shifted, truncated or
mirrored predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfalign import markup
from tfalign.evaluation.failures import listed
from tfalign.metrics.normalizers import NORMALIZERS, BoxExtent, Normalizer

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
            ``"aflw19"``, ``"lfpw29"`` or ``"helen194"``.
        normalizer: What each face's mean point-to-point distance is divided by.
        threshold: Default limit of the failure rate and of the area under the CED, a fraction.
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
        # nanmax: annotations of hidden points may be missing.
        spans = np.nanmax(truth, axis=1) - np.nanmin(truth, axis=1)
        floor = SMALLEST_NORMALIZER * spans.max(axis=-1)
        bad = ~np.isfinite(value) | (value <= floor)
        if bad.any():
            raise ValueError(
                f"The normaliser of {self.name!r} ({self.normalizer.meaning}) must be finite and "
                f"above {SMALLEST_NORMALIZER:.1%} of the face's size; otherwise annotations are "
                f"broken or their order is not that of {self.normalizer.scheme!r}. Received: "
                f"{listed(bad, value, 'px')}"
            )
        return value


def _protocols() -> dict[str, Protocol]:
    titles: Mapping[str, tuple[str, float]] = {
        "300w": ("300-W", 0.08),
        "wflw": ("WFLW", 0.10),
        "cofw29": ("COFW-29", 0.10),
        "cofw68": ("COFW-68", 0.10),
        "aflw19": ("AFLW-19", 0.10),
        "lfpw29": ("LFPW-29", 0.10),
        "helen194": ("Helen-194", 0.10),
    }
    made = {}
    for name, normalizer in NORMALIZERS.items():
        dataset, _, kind = name.partition("_")
        title, threshold = titles[dataset]
        made[name] = Protocol(
            name, f"{title}, {kind.replace('_', '-')}", dataset, normalizer, threshold
        )
        if dataset == "cofw68":
            visible = f"{name}_visible"
            made[visible] = Protocol(
                visible,
                f"{made[name].title}, visible points only",
                dataset,
                normalizer,
                threshold,
                visible_only=True,
            )
    return made


PROTOCOLS: dict[str, Protocol] = _protocols()
"""Every protocol by its name. The default threshold is 8 % for 300-W and 10 % elsewhere; tables of
300-W exist for both, so a threshold is printed with every number that depends on it."""


def get_protocol(protocol: str | Protocol) -> Protocol:
    """Returns a protocol from its name (a protocol is returned as it is).

    Raises:
        ValueError: If the name is unknown.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"`protocol` must be one of {', '.join(PROTOCOLS)}. Received: protocol={protocol!r}"
        )
    return PROTOCOLS[protocol]


def related_protocols(protocol: str | Protocol) -> list[Protocol]:
    """Returns the other protocols of the same set, e.g. inter-pupil beside inter-ocular."""
    own = get_protocol(protocol)
    return [p for p in PROTOCOLS.values() if p.dataset == own.dataset and p.name != own.name]
