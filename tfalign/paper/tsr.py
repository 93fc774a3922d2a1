"""TSR: tables 1 to 4, figures 3, 5 and 6."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfalign.paper import pictures
from tfalign.paper.experiment import W300, Column, Item, Paper, Training, columns
from tfalign.paper.measures import box_sources, complexity, spoiled_boxes
from tfalign.training.schedules import two_stage
from tfalign.training.schedules.budget import scaled

_MODELS = {
    "TSR Baseline1": "tsr_baseline1",
    "TSR Baseline2": "tsr_baseline2",
    "TSR Proposed-": "two_stage_global",
    "TSR Proposed": "two_stage",
}
_W300 = {label: f"w300_{model}" for label, model in _MODELS.items()}
_AFLW = {label: f"aflw_{model}" for label, model in _MODELS.items()}
_PROPOSED = {"TSR Proposed": "w300_two_stage"}
# Training boxes spread as a detector's do (section 3.3), crops are extended by 0.2.
_HERE: dict[str, Any] = {
    "options": {"crop": "tsr"},
    "settings": {"augment": "tsr"},
    "published": {"augment": "tsr_published"},
}


def _local(model: Any, budget: Any, published: bool) -> Any:
    """Steps 3 and 4, for a model whose global stage is trained."""
    if not published:
        return two_stage.local_for(model, budget)
    whole = two_stage.published(model)
    return scaled(dataclasses.replace(whole, phases=whole.phases[-2:]), budget)


def _brows(brows: bool) -> Training:
    options = {**_HERE["options"], "brows": brows}
    return Training("two_stage", box="detector", schedule=_local, start="w300_two_stage_global",
                    **{**_HERE, "options": options})  # fmt: skip


PAPER = Paper(
    "tsr",
    "Lv, Shao, Xing, Cheng, Zhou: A Deep Regression Architecture with Two-Stage Re-initialization "
    "for High Performance Facial Landmark Detection, CVPR 2017",
    {
        **{f"w300_{model}": Training(model, box="detector", **_HERE) for model in _MODELS.values()},
        **{f"aflw_{model}": Training(model, "aflw19", **_HERE) for model in _MODELS.values()},
        "w300_brows": _brows(True),
        "w300_no_brows": _brows(False),
    },
    {
        "table1": Item("300-W by boxes of four sources", _W300, measure=box_sources,
                       note="dlib's detector is left out where dlib is not installed."),
        "table2": Item("300-W by spoiled boxes", _W300, measure=spoiled_boxes,
                       note="The paper's boxes are the official detector's."),
        "table3": Item(
            "300-W",
            _W300,
            columns("300w_inter_ocular", W300),
            source="TSR (CVPR 2017), Table 3",
            claim=("TSR Proposed", "TSR Proposed-"),
        ),
        "table4": Item(
            "AFLW",
            _AFLW,
            (Column("aflw19_box_side"),),
            source="TSR (CVPR 2017), Table 4",
            claim=("TSR Proposed", "TSR Proposed-"),
        ),
        "brows": Item(
            "Brows refined with the eyes, or left as the global stage gave them",
            {"with the eyes": "w300_brows", "left": "w300_no_brows"},
            columns("300w_inter_ocular", W300),
            claim=("with the eyes", "left"),
            note="Not in the paper, whose text leaves the contour alone unrefined. Both rows start "
            "from one TSR Proposed- and learn steps 3 and 4.",
        ),
        "speed": Item(
            "What stands for the frames per second of section 4.3",
            _W300,
            (
                Column("300w_inter_ocular", "model", "million_parameters"),
                Column("300w_inter_ocular", "model", "gmacc"),
            ),
            measure=complexity,
            note="The paper has 111 and 83 frames per second of Proposed- and Proposed on a Titan "
            "X; we count multiply-accumulates.",
        ),
        "figure3": Item("Faces before and after global re-initialization", _PROPOSED,
                        measure=pictures.reinitialized),
        "figure5": Item("Parts after local re-initialization", _PROPOSED,
                        measure=pictures.parts),
        "figure6": Item("Landmarks of the four models, 300-W and AFLW", {**_W300, **{
                        f"{label} (AFLW)": name for label, name in _AFLW.items()}},
                        measure=pictures.examples),
    },
)  # fmt: skip
