"""The penalties of DSSD's objective, and the update of P and C under them."""

from __future__ import annotations

from dataclasses import dataclass

from tfalign.training.phase import CallbackSpec


@dataclass(frozen=True)
class Penalties:
    """Weights of Equation 6's penalties, relative to the mean loss of a face.

    Attributes:
        basis: β, of ‖P‖₁.
        codes: γ, of ‖C‖₁.
        ridge: μ, of ‖P‖_F².
        every: Epochs between two updates of P and C.
        steps: Steps of each update, for P and for C.
        batches: Training batches that make the smooth part of the objective.
        delay: Epochs in which H and Q learn alone. Q starts near zero; until it passes P's and C's
            work on, only β and γ act on them. Updated from the first epoch, R-DSSD's P and C became
            zero in every entry within three epochs, and where both are zero neither has a gradient.

    Reading:
        The paper found β, γ and μ by cross-validation and prints none. These were chosen among five
        settings by 100 training faces that were split out, for DSSD at a width of 0.125.
    """

    basis: float = 1e-5
    codes: float = 3e-6
    ridge: float = 1e-5
    every: int = 1
    steps: int = 10
    batches: int = 4
    delay: int = 3


def proximal_update(detectors: tuple[str, ...], penalties: Penalties) -> tuple[CallbackSpec, ...]:
    """Returns the callback of Algorithm 1: P with C fixed, then C with P fixed.

    Args:
        detectors: Names of the layers of sharable detectors; without one there is no callback.
        penalties: β, γ, μ and the length of an update.
    """
    if not detectors:
        return ()
    weights: dict[str, float] = {}
    for name in detectors:
        weights[f"{name}/basis"] = penalties.basis
        weights[f"{name}/codes"] = penalties.codes
    arguments = {
        "weights": weights,
        "ridge": {f"{name}/basis": penalties.ridge for name in detectors},
        "every": penalties.every,
        "steps": penalties.steps,
        "batches": penalties.batches,
        "delay": penalties.delay,
    }
    return (CallbackSpec("ProximalUpdate", arguments),)
