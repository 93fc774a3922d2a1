"""DeepReg: table 1, figures 2 to 4."""

from __future__ import annotations

from tfalign.paper import pictures
from tfalign.paper.experiment import W300, Column, Item, Paper, Training, columns

_HERE = {"augment": "deepreg", "batch_size": 25, "validation": 100, "keep": "best"}
# The paper's: batches of 100, 200 faces watched.
_PAPER = {"batch_size": 100, "validation": 200}
_LOCAL = {"global_layer": False}


def _trainings(prefix: str, data: str) -> dict[str, Training]:
    """Returns the three rows of table 1; sequential learning has no steps, so keeps its last."""
    sequential = {**_HERE, "keep": "last"}
    return {
        f"{prefix}_sequential": Training(
            "deepreg", data, schedule="sequential", settings=sequential, published=_PAPER
        ),
        f"{prefix}_local": Training(
            "deepreg", data, options=_LOCAL, settings=_HERE, published=_PAPER
        ),
        f"{prefix}_joint": Training("deepreg", data, settings=_HERE, published=_PAPER),
    }


_ROWS = {"SequentialReg": "sequential", "DeepRegLocal": "local", "DeepReg": "joint"}
_W300 = {label: f"w300_{name}" for label, name in _ROWS.items()}
_LFPW = {label: f"lfpw_{name}" for label, name in _ROWS.items()}
_BOTH = {label: _W300[label] for label in ("SequentialReg", "DeepReg")}

PAPER = Paper(
    "deepreg",
    "Shi, Bai, Liu, Wang: Deep Regression for Face Alignment, arXiv 1409.5230, 2014",
    {**_trainings("w300", "300w"), **_trainings("lfpw", "lfpw29")},
    {
        "table1": Item(
            "300-W",
            _W300,
            columns("300w_inter_pupil", W300),
            source="DeepReg (2014), Table 1",
            claim=("DeepReg", "SequentialReg"),
        ),
        "table1_lfpw": Item(
            "LFPW's column of table 1",
            _LFPW,
            (Column("lfpw29_inter_pupil", "all"),),
            source="DeepReg (2014), Table 1",
            claim=("DeepReg", "SequentialReg"),
            note="The paper had 717 of 1,100 training and 249 of 300 test images; which of them "
            "still exist differs.",
        ),
        "figure2": Item("Bias and variance of each stage", _BOTH, measure=pictures.bias_variance),
        "figure3": Item("Landmarks of DeepReg, and its shape stage by stage",
                        {"DeepReg": "w300_joint", "DeepReg (LFPW)": "lfpw_joint"},
                        measure=pictures.stage_shapes),
        "figure4": Item("Error of each stage on training, validation and test faces", _BOTH,
                        measure=pictures.stage_errors),
    },
)  # fmt: skip
