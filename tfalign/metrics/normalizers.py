"""What a landmark error is divided by, under each protocol's name.

The normaliser is part of a protocol's name, never a default that hides: an inter-pupil error of
4.2 % and an inter-ocular error of 3.0 % can be the same prediction. The streaming metrics here and
``tfalign.evaluation`` read the one table below, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tfalign import markup
from tfalign.geometry.boxes import box_size
from tfalign.geometry.namespace import Array, as_float, namespace

BoxMeasure = Literal["side", "diagonal", "sqrt_area"]


@dataclass(frozen=True)
class AnchorDistance:
    """The distance between two anchors of the *true* shape, each the mean of some of its points.

    Attributes:
        scheme: The landmark scheme, by name or as an object, that the indices belong to.
        first, second: 0-based indices of the points averaged to give each anchor.
        meaning: In words, for tables and messages.

    Raises:
        ValueError: If the scheme is unknown, or an index is none of its points.
    """

    scheme: str | markup.LandmarkScheme
    first: tuple[int, ...]
    second: tuple[int, ...]
    meaning: str = "distance of two groups of points"

    def __post_init__(self) -> None:
        count = markup.get(self.scheme).num_points
        for group in (self.first, self.second):
            # JAX would answer NaN for a point that does not exist, NumPy count from the end.
            if not group or not all(0 <= index < count for index in group):
                raise ValueError(
                    "`first` and `second` must each be indices of the scheme's points, from 0 to "
                    f"{count - 1}. Received: first={self.first}, second={self.second}"
                )

    def __call__(self, truth: Array) -> Array:
        """Returns the normaliser (…) of true landmarks (…, n, 2), in the landmarks' unit."""
        xp = namespace(truth)
        truth = as_float(truth, xp)
        first = xp.mean(xp.take(truth, list(self.first), axis=-2), axis=-2)
        second = xp.mean(xp.take(truth, list(self.second), axis=-2), axis=-2)
        return xp.sqrt(xp.sum(xp.square(first - second), axis=-1))


@dataclass(frozen=True)
class BoxExtent:
    """One measure of the annotated face box, for sets whose profiles have no inter-ocular distance.

    Attributes:
        scheme: The landmark scheme of the set, by name or as an object.
        measure: ``"side"`` (the longer side; *the* side where boxes are square), ``"diagonal"`` or
            ``"sqrt_area"`` (the square root of width × height).
        meaning: In words, for tables and messages.
    """

    scheme: str | markup.LandmarkScheme
    measure: BoxMeasure
    meaning: str = "size of the annotated face box"

    def __call__(self, boxes: Array) -> Array:
        """Returns the normaliser (…) of boxes (…, 4), in the boxes' unit."""
        xp = namespace(boxes)
        size = box_size(boxes)
        if self.measure == "side":
            return xp.max(size, axis=-1)
        if self.measure == "diagonal":
            return xp.sqrt(xp.sum(xp.square(size), axis=-1))
        return xp.sqrt(size[..., 0] * size[..., 1])


@dataclass(frozen=True)
class NoNormalizer:
    """Errors in the landmarks' own unit: pixels of the image, for a protocol of evaluation.

    Attributes:
        scheme: The landmark scheme of the set, by name or as an object.
        meaning: In words, for tables and messages.
    """

    scheme: str | markup.LandmarkScheme
    meaning: str = "nothing"

    def __call__(self, truth: Array) -> Array:
        """Returns ones (…) for true landmarks (…, n, 2)."""
        xp = namespace(truth)
        return xp.ones_like(as_float(truth, xp)[..., 0, 0])


Normalizer = AnchorDistance | BoxExtent | NoNormalizer

_CORNERS = "distance of the outer eye corners"
_PUPILS = "distance of the pupils"
_EYE_CENTRES = "distance of the eye centres, each the mean of the eye's six points"

NORMALIZERS: dict[str, Normalizer] = {
    "300w_inter_ocular": AnchorDistance("ibug68", (36,), (45,), _CORNERS),
    "300w_inter_pupil": AnchorDistance(
        "ibug68", tuple(range(36, 42)), tuple(range(42, 48)), _EYE_CENTRES
    ),
    # GRegLRef, section 4.2, says face size; its Table 4 and everyone else's are inter-ocular.
    "wflw_inter_ocular": AnchorDistance("wflw98", (60,), (72,), _CORNERS),
    "wflw_inter_pupil": AnchorDistance("wflw98", (96,), (97,), _PUPILS),
    "cofw29_inter_ocular": AnchorDistance("cofw29", (8,), (9,), _CORNERS),
    "cofw29_inter_pupil": AnchorDistance("cofw29", (16,), (17,), _PUPILS),
    "cofw68_inter_ocular": AnchorDistance("ibug68", (36,), (45,), _CORNERS),
    "cofw68_inter_pupil": AnchorDistance(
        "ibug68", tuple(range(36, 42)), tuple(range(42, 48)), _EYE_CENTRES
    ),
    "aflw19_box_side": BoxExtent("aflw19", "side", "longer side of the annotated face box"),
    "aflw19_box_sqrt_area": BoxExtent(
        "aflw19", "sqrt_area", "square root of the annotated face box's area"
    ),
    "aflw19_box_diagonal": BoxExtent("aflw19", "diagonal", "diagonal of the annotated face box"),
    "lfpw29_inter_pupil": AnchorDistance("lfpw29", (16,), (17,), _PUPILS),
    "helen194_inter_pupil": AnchorDistance(
        "helen194",
        tuple(range(134, 154)),
        tuple(range(114, 134)),
        "distance of the eye centres, each the mean of the eye's twenty points",
    ),
}
"""Every protocol's normaliser (0-based indices), by the protocol's name."""


THRESHOLDS = {"300w": 0.08}
"""Customary limits of the failure rate, by the set in a protocol's name; 0.10 for the others.
Tables of 300-W exist for both, so a threshold stands with every number that depends on it."""


def threshold(protocol: str | Normalizer) -> float:
    """Returns the customary limit of the failure rate of a named protocol, a fraction.

    A normaliser of one's own has none; 8 %, or 8 pixels where nothing normalises, are ours.
    """
    if isinstance(protocol, str):
        return THRESHOLDS.get(protocol.partition("_")[0], 0.10)
    return 8.0 if isinstance(protocol, NoNormalizer) else 0.08


def streaming(protocol: Any) -> tuple[AnchorDistance | NoNormalizer, float]:
    """Returns the normaliser and the threshold of a protocol that needs landmarks alone.

    Args:
        protocol: A name of ``NORMALIZERS``, a protocol of ``tfalign.evaluation`` (whatever has
            ``normalizer`` and ``threshold``), an ``AnchorDistance`` of one's own, or what
            ``protocol_config`` returned.

    Raises:
        ValueError: If the protocol is unknown, or divides by the size of a box.
    """
    if isinstance(protocol, Mapping):
        scheme, limit = markup.get(protocol["scheme"]), float(protocol["threshold"])
        if "first" not in protocol:
            return NoNormalizer(scheme, protocol["meaning"]), limit
        groups = (tuple(protocol[key]) for key in ("first", "second"))
        return AnchorDistance(scheme, *groups, protocol["meaning"]), limit
    if isinstance(protocol, str):
        found, limit = NORMALIZERS.get(protocol), threshold(protocol)
    else:
        found = getattr(protocol, "normalizer", protocol)
        limit = float(getattr(protocol, "threshold", threshold(found)))
    if not isinstance(found, AnchorDistance | NoNormalizer):
        names = sorted(n for n, value in NORMALIZERS.items() if isinstance(value, AnchorDistance))
        why = ""
        if isinstance(found, BoxExtent):
            why = (
                " Its normaliser is taken from the annotated box, which a Keras metric does not "
                "see; use `tfalign.evaluation.score(..., boxes=...)`."
            )
        raise ValueError(
            f"`protocol` must be one of {names}, a protocol that divides by a distance of "
            f"landmarks or by nothing, or such a normaliser.{why} Received: protocol={protocol!r}"
        )
    return found, limit


def protocol_config(protocol: Any) -> Any:
    """Returns what stands for a protocol in a metric's configuration: its name, or plain data."""
    if isinstance(protocol, (str, Mapping)):
        return protocol
    found, limit = streaming(protocol)
    if NORMALIZERS.get(getattr(protocol, "name", "")) == found:
        return protocol.name
    groups: dict[str, Any] = {}
    if isinstance(found, AnchorDistance):
        groups = {"first": list(found.first), "second": list(found.second)}
    return {
        "scheme": markup.get(found.scheme).to_config(),
        **groups,
        "meaning": found.meaning,
        "threshold": limit,
    }
