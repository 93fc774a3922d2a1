"""The penalties of DSSD's objective, and the update of P and C under them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tfalign.training.phase import CallbackSpec


@dataclass(frozen=True)
class DetectorPenalties:
    """Weights of Equation 6's penalties, relative to the mean loss of a face in one stage.

    Attributes:
        basis: β, of ‖P‖₁.
        codes: γ, of ‖C‖₁.
        ridge: μ, of ‖P‖_F².
        every: Epochs between two updates of P and C.
        steps: Steps of each update, for P and for C.
        batches: Training batches that make the smooth part of the objective.
        delay: Epochs in which H and Q learn alone: β and γ shall not act on what the loss does not
            hold yet.
        anchor: Weight of a loss of the detectors' own responses, as Equations 8, 9 and 11 have it,
            where Q is left out; 0 for none, as in Equation 6.

    Reading:
        The paper found β, γ and μ by cross-validation and prints none. Ours are the largest of five
        sizes that cost nothing that validation faces tell, in a DSSD, an R-DSSD* and an R-DSSD
        (three seeds of each, ``docs/results/dssd.md``); in the first two they leave zeros in a
        tenth to a sixth of C and in 1 to 2 % of P. Three times as large they cost a DSSD nothing
        either, and half of its C is zero, but an R-DSSD* had 0.24 points more of error in the mean.
        An R-DSSD, whose three stages count them three times, has four fifths of P and C zero; its
        mean was 0.25 ± 0.15 points above that of none, which three seeds do not tell apart:
        ``times(0)`` trains one for its error alone. As long as Q is free, the penalties have no
        size of their own: smaller P and C with a larger Q are the same model at a lower penalty.
        The anchor takes that freedom.
    """

    basis: float = 1e-4 / 3
    codes: float = 1e-5 / 3
    ridge: float = 1e-5
    every: int = 2
    steps: int = 10
    batches: int = 4
    delay: int = 3
    anchor: float = 0.0

    def times(self, factor: float) -> DetectorPenalties:
        """Returns these with β, γ and μ multiplied."""
        basis, codes, ridge = (factor * x for x in (self.basis, self.codes, self.ridge))
        return replace(self, basis=basis, codes=codes, ridge=ridge)


def proximal_update(
    detectors: tuple[str, ...], penalties: DetectorPenalties
) -> tuple[CallbackSpec, ...]:
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
