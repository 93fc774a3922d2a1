"""DSSD and R-DSSD: tables I to VII, figures 5 to 9, and the size of the penalties."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tfalign.paper import pictures
from tfalign.paper.experiment import Column, Item, Paper, Training, columns
from tfalign.training.schedules import dssd as schedules
from tfalign.training.schedules.budget import scaled
from tfalign.training.schedules.detector_penalties import DetectorPenalties

_PUPIL = "300w_inter_pupil"
_SETS = ("lfpw", "helen", "challenging")
_NO_VALUES = "The tables of the paper are pictures, whose values we do not have."
_CHOSEN = "Not in the paper, which cross-validates β and γ. Validation faces choose between rows."
FACTORS = {"0": 0.0, "1/30": 1 / 30, "1/10": 0.1, "1/3": 1 / 3, "1": 1.0}
"""What β = 10⁻⁴ and γ = 10⁻⁵ are multiplied by to find their size."""
_USUAL = "1/3"


def _published(model: Any, budget: Any, penalties: Any, phases: slice) -> Any:
    """Returns some phases of the published schedule, as long as a budget says.

    There are two: one for the initial shape, and one for all the rest.
    """
    whole = schedules.published(model.num_stages, schedules.detectors_of(model), penalties)
    return scaled(dataclasses.replace(whole, phases=whole.phases[phases]), budget)


def _penalties(
    published: bool, budget: Any, factor: float = FACTORS[_USUAL], **changes: float
) -> Any:
    """Returns β, γ and μ, and when P and C are updated."""
    usual = DetectorPenalties()
    if published:
        usual = schedules.published_penalties(*(() if budget.steps is None else (budget.epochs,)))
    sizes: dict[str, Any] = {"basis": factor * 1e-4, "codes": factor * 1e-5}
    return dataclasses.replace(usual, **{**sizes, **changes})


def _initial(model: Any, budget: Any, published: bool) -> Any:
    """The initial shape alone, which all rows then share."""
    if published:
        return _published(model, budget, _penalties(published, budget), slice(1))
    rate = schedules.RATE if budget.rate is None else budget.rate
    return schedules.initial_shape(model.num_stages, budget.steps or schedules.STEPS, rate)


def _after(
    factor: float = FACTORS[_USUAL], sequential: bool = False, **changes: float
) -> Callable[..., Any]:
    """Returns the learning of P, C and the rest from the shared initial shape.

    Args:
        factor: Of β and γ, see ``FACTORS``.
        sequential: Whether stages are learned one after another, which the paper only names: the
            schedule is ours at every scale.
        changes: Fields of ``DetectorPenalties``.
    """

    def schedule(model: Any, budget: Any, published: bool) -> Any:
        penalties = _penalties(published and not sequential, budget, factor, **changes)
        if published and not sequential:
            return _published(model, budget, penalties, slice(1, None))
        steps = budget.steps or schedules.STEPS
        delay = min(penalties.delay, steps // budget.steps_per_epoch // 2)
        penalties = dataclasses.replace(penalties, delay=delay)
        rate = schedules.RATE if budget.rate is None else budget.rate
        common = (schedules.detectors_of(model), steps, rate, penalties, 0.0)
        coarse = schedules.coarse_of(model)
        if sequential:
            return schedules.sequential(coarse, len(model.taps), *common)
        return schedules.cpu_budget(model.num_stages, *common, coarse=coarse)

    return schedule


_BOX: dict[str, Any] = {"box": "detector", "settings": {"augment": "light", "validation": 100}}


def _row(model: str = "dssd", schedule: Any = None, **options: Any) -> Training:
    return Training(model, options={"crop": "dssd", **options}, schedule=schedule or _after(),
                    start="initial", **_BOX)  # fmt: skip


_TRAININGS = {
    "initial": Training("dssd", options={"crop": "dssd"}, schedule=_initial, **_BOX),
    "dssd": _row(),
    "not_sharable": _row(sharable=False),
    "not_structural": _row(sharable=False, neighbors=1),
    "no_p": _row(schedule=_after(basis=0.0)),
    "no_c": _row(schedule=_after(codes=0.0)),
    "rdssd_star": _row("rdssd_star"),
    "rdssd": _row("rdssd"),
    "joint": _row("rdssd_star", shared=False),
    "sequential": _row("rdssd_star", _after(sequential=True), shared=False),
    **{f"g{g}": _row(latent_tasks=g) for g in (5, 10, 50, 68)},
    "helen194_star": Training("rdssd_star", "helen194", settings={"augment": "light"}),
    "helen194": Training("rdssd", "helen194", settings={"augment": "light"}),
    **{
        f"penalty_{model}_{name.replace('/', 'of')}": _row(model, _after(factor))
        for model in ("dssd", "rdssd_star", "rdssd")
        for name, factor in FACTORS.items()
        if name != _USUAL
    },
    **{
        f"anchored_{name.replace('/', 'of')}": _row(schedule=_after(factor, anchor=1.0))
        for name, factor in FACTORS.items()
    },
}
_BOTH = {"R-DSSD*": "rdssd_star", "R-DSSD": "rdssd"}


def _penalties_of(title: str, names: str, model: str = "") -> dict[str, str]:
    """Returns a row for each size of β and γ; that of the usual size is the model's own."""
    found = {f"{title} × {name}": names + name.replace("/", "of") for name in FACTORS}
    return {**found, f"{title} × {_USUAL}": model} if model else found


_ZEROS = (Column(_PUPIL, "model", "zeros_in_p"), Column(_PUPIL, "model", "zeros_in_c"))


def _table(title: str, rows: dict[str, str], **more: Any) -> Item:
    wanted = columns(_PUPIL, (*_SETS, "common", "full"))
    # Where rows are chosen, the zeros are what a larger penalty buys.
    return Item(
        title, rows, wanted + (_ZEROS if "against" in more else ()), **{"note": _NO_VALUES, **more}
    )


PAPER = Paper(
    "dssd",
    "Liu, Lu, Feng, Zhou: Learning Deep Sharable and Structural Detectors for Face Alignment, IEEE "
    "Transactions on Image Processing, 2017",
    _TRAININGS,
    {
        "table1": _table("300-W, and Helen with 194 landmarks in table1_helen194", _BOTH),
        "table1_helen194": Item(
            "Helen with 194 landmarks",
            {"R-DSSD*": "helen194_star", "R-DSSD": "helen194"},
            (Column("helen194_inter_pupil", "all"),),
            note=f"{_NO_VALUES} The paper counts 192 landmarks.",
        ),
        "table2": Item(
            "Faces with an error within 5 % and 10 %",
            _BOTH,
            tuple(
                Column(_PUPIL, subset, "within", limit)
                for subset in _SETS
                for limit in (0.05, 0.10)
            ),
            note=_NO_VALUES,
        ),
        "table3": Item(
            "COFW, by the models that were trained on 300-W",
            _BOTH,
            tuple(
                Column("cofw68_inter_pupil", "all", metric, limit, data="cofw68")
                for metric, limit in (("nme", None), ("failure_rate", 0.10))
            ),
            note=_NO_VALUES,
        ),
        "table4": _table(
            "With and without sharable detectors",
            {"DSSD": "dssd", "without sharable detectors": "not_structural",
             "dense detectors on neighbour features": "not_sharable"},
            claim=("DSSD", "without sharable detectors"),
            note="The paper's row without is a network of that group without neighbour features "
            f"(joint regression). {_NO_VALUES}",
        ),
        "table5": _table(
            "Without the l1 norms of P and of C",
            {"without |P|": "no_p", "without |C|": "no_c", "DSSD": "dssd"},
            claim=("DSSD", "without |P|"),
        ),
        "table6": _table(
            "Sequential, joint and recurrent learning",
            {"sequential": "sequential", "joint": "joint", "recurrent": "rdssd_star"},
            claim=("recurrent", "sequential"),
            note="Sequential learning, which the paper only names, has our schedule at the "
            f"published scale, too: {schedules.STEPS:,} steps. {_NO_VALUES}",
        ),
        "table7": _table(
            "The number of latent tasks",
            {**{f"G = {g}": f"g{g}" for g in (5, 10)}, "G = 20": "dssd",
             **{f"G = {g}": f"g{g}" for g in (50, 68)}},
        ),
        "penalties": _table(
            "β and γ times a factor",
            {
                **_penalties_of("DSSD", "penalty_dssd_", "dssd"),
                "without sharable detectors": "not_structural",
            },
            against="DSSD × 0",
            note=_CHOSEN,
        ),
        "penalties_star": _table(
            "β and γ times a factor, R-DSSD*",
            _penalties_of("R-DSSD*", "penalty_rdssd_star_", "rdssd_star"),
            against="R-DSSD* × 0",
            note=_CHOSEN,
        ),
        "penalties_recurrent": _table(
            "β and γ times a factor, R-DSSD",
            _penalties_of("R-DSSD", "penalty_rdssd_", "rdssd"),
            against="R-DSSD × 0",
            note=_CHOSEN,
        ),
        "anchor": _table(
            "β and γ times a factor, P and C held by Equation 8",
            {"DSSD × 0": "penalty_dssd_0", **_penalties_of("anchored", "anchored_")},
            against="DSSD × 0",
            note=f"{_CHOSEN} Smaller P and C with a larger Q cost nothing in Equation 6; here the "
            "responses have a loss of their own, as in Equations 8, 9 and 11.",
        ),
        "figure5": Item("CED on LFPW, Helen and IBUG", _BOTH, columns(_PUPIL, _SETS)),
        "figure6": Item("Landmarks on 300-W's test faces", {"R-DSSD": "rdssd"},
                        measure=pictures.examples),
        "figure7": Item("Landmarks on Helen with 194", {"R-DSSD": "helen194"},
                        measure=pictures.examples),
        "figure8": Item("Landmarks on COFW", {"R-DSSD": "rdssd"}, (Column(
                        "cofw68_inter_pupil", "all", data="cofw68"),), measure=pictures.examples),
        "figure9": Item("CED of each stage on LFPW, Helen and IBUG", _BOTH, columns(_PUPIL, _SETS),
                        measure=pictures.stage_curves),
    },
)  # fmt: skip
