"""Normalised mean error, failure rate, cumulative error distribution and its exact area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfalign.evaluation.checks import Mask, check_input, suspicions, warn
from tfalign.evaluation.protocols import Floats, Protocol, get_protocol

FEW_FACES = 30
"""With fewer faces than this an error is told to be rough."""


def few_faces_note(faces: int) -> str | None:
    """Returns what to say of a figure that was measured on few faces, or None."""
    if faces >= FEW_FACES:
        return None
    return (
        f"Measured on {faces} face{'s' if faces > 1 else ''} only, the figure is rough, and so is "
        f"its standard error: measure on at least {FEW_FACES} before you compare models by it."
    )


class Ced:
    """Cumulative error distribution: ``ced(x)`` is the share of faces with NME ≤ x.

    Args:
        errors: (faces,) NME per face, fractions.
    """

    def __init__(self, errors: ArrayLike) -> None:
        self.sorted_errors: Floats = np.sort(np.asarray(errors, np.float64))

    @overload
    def __call__(self, x: float) -> float: ...

    @overload
    def __call__(self, x: NDArray[Any]) -> Floats: ...

    def __call__(self, x: float | NDArray[Any]) -> float | Floats:
        """Returns the share of faces with NME ≤ x, for a number or an array of numbers."""
        count = np.searchsorted(self.sorted_errors, x, side="right")
        share = count / len(self.sorted_errors)
        return float(share) if np.ndim(x) == 0 else np.asarray(share, np.float64)

    def curve(self, limit: float) -> tuple[Floats, Floats]:
        """Returns the corners (x, share) of the step function on [0, limit], for a step plot."""
        inside = self.sorted_errors[self.sorted_errors <= limit]
        x = np.concatenate([[0.0], inside, [limit]])
        return x, self(x)

    def area(self, limit: float) -> float:
        """Returns the area under the curve from 0 to ``limit``, divided by ``limit``.

        Exact: mean(max(0, limit − e)) / limit. Published code often samples the curve every 1e-4
        and applies Simpson's rule, which differs in the fourth digit.

        Raises:
            ValueError: If ``limit`` is not positive.
        """
        if not limit > 0:
            raise ValueError(f"`limit` must be positive. Received: limit={limit}")
        return float(np.maximum(0.0, limit - self.sorted_errors).mean() / limit)


@dataclass(frozen=True, eq=False)
class Score:
    """The result of scoring predictions under one protocol. All errors are fractions.

    Attributes:
        protocol: The protocol.
        threshold: Limit of ``failure_rate`` and ``auc``.
        errors: (faces,) NME of each face.
        point_errors: (faces, n) distance of each point divided by its face's normaliser; NaN where
            the protocol does not count the point.
        normalizers: (faces,) the normalisers in pixels.
        offsets: (faces, 2) mean of predicted − true over each face's counted points, pixels.
        warnings: What looked like a common mistake; also issued as ``EvaluationWarning``.
    """

    protocol: Protocol
    threshold: float
    errors: Floats
    point_errors: Floats
    normalizers: Floats
    offsets: Floats
    warnings: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.errors)

    @property
    def nme(self) -> float:
        """Mean over faces of the normalised mean error."""
        return float(self.errors.mean())

    @property
    def failure_rate(self) -> float:
        """Share of faces with NME above the threshold."""
        return self.failure_rate_at(self.threshold)

    @property
    def auc(self) -> float:
        """Exact area under the CED from 0 to the threshold, divided by the threshold."""
        return self.ced.area(self.threshold)

    @cached_property
    def ced(self) -> Ced:
        """Cumulative error distribution; callable."""
        return Ced(self.errors)

    @property
    def offset(self) -> Floats:
        """(2,) mean of predicted − true in pixels. The same constant everywhere tells of a
        coordinate convention rather than of a model."""
        return np.asarray(self.offsets.mean(axis=0), np.float64)

    @property
    def standard_error(self) -> float:
        """Standard error of ``nme`` from the spread between faces; NaN for a single face."""
        if len(self) < 2:
            return float("nan")
        return float(self.errors.std(ddof=1) / np.sqrt(len(self)))

    def failure_rate_at(self, threshold: float) -> float:
        """Share of faces with NME above another threshold."""
        return float((self.errors > threshold).mean())

    def subset(self, mask: Mask) -> Score:
        """Returns the score of the faces in a (faces,) boolean mask.

        Raises:
            ValueError: If the mask has another length, is not boolean or selects no face.
        """
        mask = np.asarray(mask)
        if mask.shape != self.errors.shape or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(
                f"`mask` must be a boolean array of shape {self.errors.shape} that selects a face. "
                f"Received: type {mask.dtype}, shape {mask.shape}, {int(mask.sum())} selected"
            )
        return Score(
            self.protocol,
            self.threshold,
            self.errors[mask],
            self.point_errors[mask],
            self.normalizers[mask],
            self.offsets[mask],
        )

    def table(self) -> str:
        """Returns the numbers as text, in per cent as papers print them."""
        scale, unit = self.protocol.scale, self.protocol.unit
        limit = f"{scale * self.threshold:g} {unit}"
        spread = "" if len(self) < 2 else f" ± {scale * self.standard_error:.5f} (standard error)"
        rows = (
            ("protocol", self.protocol.title),
            ("normaliser", self.protocol.normalizer.meaning),
            ("faces", f"{len(self)}"),
            ("NME", f"{scale * self.nme:.5f} {unit}{spread}"),
            (f"failure rate at {limit}", f"{100 * self.failure_rate:.5f} %"),
            (f"AUC at {limit}, exact", f"{self.auc:.6f}"),
            ("mean offset", f"({self.offset[0]:+.3f}, {self.offset[1]:+.3f}) px"),
        )
        lines = [f"{name:<24} {value}" for name, value in rows]
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON; errors are fractions."""
        return {
            "protocol": self.protocol.name,
            "normalizer": self.protocol.normalizer.meaning,
            "faces": len(self),
            "nme": self.nme,
            "nme_standard_error": None if len(self) < 2 else self.standard_error,
            "threshold": self.threshold,
            "failure_rate": self.failure_rate,
            "auc": self.auc,
            "offset_pixels": [float(value) for value in self.offset],
            "warnings": list(self.warnings),
        }


def score(
    predicted: Any,
    truth: Any,
    protocol: str | Protocol,
    threshold: float | None = None,
    *,
    visible: Any | None = None,
    boxes: Any | None = None,
    missing: Sequence[str] = (),
    annotated: Any | None = None,
) -> Score:
    """Scores predicted landmarks against true ones.

    Args:
        predicted: (faces, n, 2) in image pixels (the same image and convention as ``truth``).
        truth: (faces, n, 2) in image pixels.
        protocol: Name or object, e.g. ``"300w_inter_ocular"``; see
            ``tfalign.evaluation.PROTOCOLS``.
        threshold: Limit of the failure rate and the area under the CED, a fraction; None takes the
            protocol's.
        visible: (faces, n) bool, for protocols that average visible points only.
        boxes: (faces, 4) annotated boxes in pixels, for protocols normalised by the box.
        missing: Names of points that the predictions lack (NaN) because their markup has no such
            point; they are left out of every face's mean.
        annotated: (faces, n) bool: points that are left out of their face's mean where False.

    Returns:
        A ``Score``; ``.nme``, ``.failure_rate`` and ``.auc`` are fractions, ``.ced(x)`` is the
        share of faces with NME ≤ x.

    Raises:
        ValueError: If shapes do not fit the protocol, coordinates are not finite, the arrays are in
            different spaces, a normaliser is zero or absurdly small, or the threshold is not
            between 0 and 1.

    Warns:
        EvaluationWarning: On what looks like truncated, shifted or mirrored predictions.
    """
    masks = {"visible": visible, "annotated": annotated}
    result = compute_score(
        predicted, truth, protocol, threshold, boxes=boxes, missing=missing, **masks
    )
    warn(result.warnings)
    return result


def checked_threshold(threshold: float | None, protocol: Protocol) -> float:
    """Returns a limit of failure rate and area; None is the protocol's.

    Raises:
        ValueError: If it is no fraction between 0 and 1, or positive pixels where nothing
            normalises.
    """
    limit = protocol.threshold if threshold is None else float(threshold)
    if not 0 < limit < (1 if protocol.unit == "%" else np.inf):
        raise ValueError(
            "`threshold` must be a fraction between 0 and 1 (8 % is 0.08), or positive pixels "
            f"where nothing normalises. Received: {threshold=}"
        )
    return limit


def compute_score(
    predicted: Any,
    truth: Any,
    protocol: str | Protocol,
    threshold: float | None = None,
    *,
    visible: Any | None = None,
    boxes: Any | None = None,
    missing: Sequence[str] = (),
    annotated: Any | None = None,
) -> Score:
    """``score`` without issuing its warnings, for many scores of the same predictions."""
    chosen = get_protocol(protocol)
    limit = checked_threshold(threshold, chosen)
    data = check_input(predicted, truth, chosen, visible, missing, annotated)
    normalizers = chosen.normalizers(data.truth, boxes)
    residual = np.where(data.counted[..., None], data.predicted - data.truth, np.nan)
    point_errors = np.linalg.norm(residual, axis=-1) / normalizers[:, None]
    return Score(
        protocol=chosen,
        threshold=limit,
        errors=np.nanmean(point_errors, axis=1),
        point_errors=point_errors,
        normalizers=normalizers,
        offsets=np.nanmean(residual, axis=1),
        warnings=suspicions(data, chosen),
    )
