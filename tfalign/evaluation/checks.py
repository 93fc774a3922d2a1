"""Mistakes in evaluation input: impossible where they can be proved, loud where they are likely."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfalign.evaluation.protocols import Floats, Protocol, listed

Mask = NDArray[np.bool_]

MINIMUM_FACES_FOR_STATISTICS = 10


class EvaluationWarning(UserWarning):
    """Input that can be scored but looks like one of the common mistakes."""


@dataclass(frozen=True, eq=False)
class CheckedInput:
    """Arrays that passed every check.

    Attributes:
        predicted, truth: (faces, n, 2) float64, image pixels.
        counted: (faces, n) bool, the points that are averaged.
    """

    predicted: Floats
    truth: Floats
    counted: Mask


def check_input(
    predicted: Any,
    truth: Any,
    protocol: Protocol,
    visible: Any | None = None,
    missing: Sequence[str] = (),
    annotated: Any | None = None,
) -> CheckedInput:
    """Returns the arrays in float64, or raises on input that cannot be scored.

    Args:
        predicted: (faces, n, 2) landmarks in image pixels.
        truth: (faces, n, 2) landmarks in image pixels.
        protocol: Decides n, and whether hidden points count.
        visible: (faces, n) bool or None. Points whose truth is NaN must be marked hidden, and only
            a ``visible_only`` protocol leaves hidden points out.
        missing: Names of points that no face counts, because the predictions' markup lacks them.
        annotated: (faces, n) bool or None: points that count in no protocol where False. Their
            truth becomes NaN, so that no normaliser is made of them either.

    Raises:
        ValueError: If shapes do not fit each other and the protocol, a counted coordinate is not
            finite, a face has no counted point, or one array is in [0, 1] and the other in pixels.
    """
    n = protocol.scheme.num_points
    arrays = {"predicted": np.asarray(predicted), "truth": np.asarray(truth)}
    for name, array in arrays.items():
        if array.ndim != 3 or array.shape[-2:] != (n, 2):
            raise ValueError(
                f"`{name}` must be (faces, {n}, 2) for the protocol {protocol.name!r} (scheme "
                f"{protocol.scheme.name!r}); other schemes are converted with "
                f"`tfalign.markup.convert`. Received: {name} of shape {array.shape}"
            )
    faces = len(arrays["truth"])
    if len(arrays["predicted"]) != faces or faces == 0:
        raise ValueError(
            "`predicted` and `truth` must hold the same faces in the same order, at least one. "
            f"Received: {len(arrays['predicted'])} predictions and {faces} true shapes"
        )
    counted = np.ones((faces, n), np.bool_)
    if protocol.visible_only:
        counted &= _mask("visible", visible, (faces, n), protocol)
    if annotated is not None:
        known = _mask("annotated", annotated, (faces, n), protocol)
        arrays["truth"] = np.where(known[..., None], arrays["truth"], np.nan)
        counted &= known
    counted[:, [protocol.scheme.index(point) for point in missing]] = False
    _check_some_counted(counted, protocol)
    float_arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    for name, array in float_arrays.items():
        bad = np.asarray((counted & ~np.isfinite(array).all(axis=-1)).any(axis=-1))
        if bad.any():
            raise ValueError(
                f"`{name}` must be finite at every counted point. Received: NaN or infinity in "
                f"{listed(bad)}"
            )
    _check_spaces(float_arrays["predicted"], float_arrays["truth"], counted)
    return CheckedInput(float_arrays["predicted"], float_arrays["truth"], counted)


def _mask(name: str, value: Any | None, shape: tuple[int, int], protocol: Protocol) -> Mask:
    if value is None:
        raise ValueError(
            f"Protocol {protocol.name!r} averages visible points only: give `visible` of shape "
            f"{shape}. Received: visible=None"
        )
    mask = np.asarray(value)
    if mask.shape != shape or mask.dtype != np.bool_:
        raise ValueError(
            f"`{name}` must be a boolean array of shape {shape}. Received: {name} of shape "
            f"{mask.shape} and type {mask.dtype}"
        )
    return mask


def _check_some_counted(counted: Mask, protocol: Protocol) -> None:
    empty = np.asarray(~counted.any(axis=-1))
    if empty.any():
        raise ValueError(
            f"Each face must have a point that {protocol.name!r} counts. Received none in "
            f"{listed(empty)}"
        )


def _check_spaces(predicted: Floats, truth: Floats, counted: Mask) -> None:
    """Raises where one array is in [0, 1] (model space) and the other in pixels."""

    def is_unit(points: Floats) -> bool:
        # A network may leave the crop a little; a face in pixels is never this small. Shapes that
        # collapsed to a point near the image's corner are bad, but they may well be pixels.
        inside = np.abs(points[counted] - 0.5) <= 1.5
        extent = np.nanmax(points, axis=1) - np.nanmin(points, axis=1)
        return bool(inside.mean() > 0.99 and np.median(extent) > 0.05)

    unit = {"predicted": is_unit(predicted), "truth": is_unit(truth)}
    if unit["predicted"] != unit["truth"]:
        small, large = sorted(unit, key=lambda name: not unit[name])
        raise ValueError(
            "`predicted` and `truth` must be in the same space, image pixels. Received: "
            f"`{small}` in [0, 1] (model space) and `{large}` in pixels. Map model output with "
            "`geometry.pixel_from_unit` and the inverse of the crop's map first."
        )


def suspicions(data: CheckedInput, protocol: Protocol) -> tuple[str, ...]:
    """Returns what looks like a common mistake, in words; empty if nothing does.

    Looks for predictions truncated to whole pixels, a constant offset of half a pixel or one pixel
    in both axes (0-based against 1-based or corner against centre conventions), and left and right
    exchanged.
    """
    if len(data.truth) < MINIMUM_FACES_FOR_STATISTICS:
        return ()
    found = []
    predicted, truth, counted = data.predicted, data.truth, data.counted
    if (predicted[counted] % 1 == 0).all() and not (truth[counted] % 1 == 0).all():
        found.append(
            "Every predicted coordinate is a whole number: were they rounded or truncated? That "
            "alone costs up to half a pixel per axis."
        )
    # A constant offset is the same in every face, which an honest prediction error is not.
    residual = np.where(counted[..., None], predicted - truth, np.nan)
    per_face = np.nanmean(residual, axis=1)
    offset, spread = np.median(per_face, axis=0), per_face.std(axis=0)
    error_of_mean = spread / np.sqrt(len(per_face))
    close = [
        step
        for step in (-1.0, -0.5, 0.5, 1.0)
        if (np.abs(offset - step) < 0.05).all() and (error_of_mean < 0.05).all()
    ]
    if close:
        found.append(
            f"Predictions lie {close[0]:+g} px from the truth in both axes ({offset[0]:+.3f}, "
            f"{offset[1]:+.3f}): 1-based against 0-based coordinates, or pixel corners against "
            "pixel centres?"
        )
    if protocol.scheme.flip_map is None:
        return tuple(found)
    flip = np.array(protocol.scheme.flip_map)
    both = counted & counted[:, flip]
    plain = np.linalg.norm(predicted - truth, axis=-1)[both].mean()
    swapped = np.linalg.norm(predicted[:, flip] - truth, axis=-1)[both].mean()
    if swapped < 0.5 * plain:
        found.append(
            "Exchanging left and right points halves the error: was a mirrored prediction not "
            "re-ordered with the scheme's flip_map?"
        )
    return tuple(found)


def warn(messages: tuple[str, ...]) -> None:
    """Issues each message as an ``EvaluationWarning``."""
    for message in messages:
        warnings.warn(message, EvaluationWarning, stacklevel=3)
