"""DeepReg: table 1, figures 2 to 4."""

from __future__ import annotations

from tfalign.paper import pictures
from tfalign.paper.experiment import W300, Column, Item, Paper, Training, columns

# A step takes 1.7 times as long where XLA compiles its descriptors for a CPU.
_HERE = {"augment": "deepreg", "batch_size": 25, "validation": 100, "keep": "best", "jit": "off"}
# The paper's: every face both ways, batches of 100, 200 faces watched.
_PAPER = {"augment": "none", "mirror": True, "batch_size": 100, "validation": 200, "jit": "auto"}
_LOCAL = {"global_layer": False}
# By the paper's own descent at any scale: every face both ways, batches of 100.
_DESCENT = {"augment": "none", "mirror": True, "batch_size": 100, "validation": 100, "steps": 300,
            "keep": "best", "jit": "off"}  # fmt: skip


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
    {
        **_trainings("w300", "300w"),
        **_trainings("lfpw", "lfpw29"),
        "w300_descent": Training(
            "deepreg",
            schedule="published",
            settings=_DESCENT,
            published={**_PAPER, "steps": None},
        ),
    },
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
        "descent": Item(
            "Starts of joint learning: the paper's descent, and its solution in closed form",
            {"closed form": "w300_joint", "descent": "w300_descent"},
            columns("300w_inter_ocular", ("full",)),
            note="Not in the paper.",
        ),
        "figure2": Item("Bias and variance of each stage, on the common subset", _BOTH,
                        columns("300w_inter_pupil", ("common",)), measure=pictures.bias_variance),
        "figure3": Item("Landmarks of DeepReg, and its shape stage by stage",
                        {"DeepReg": "w300_joint", "DeepReg (LFPW)": "lfpw_joint"},
                        measure=pictures.stage_shapes),
        "figure4": Item("Error of each stage on training, validation and test faces", _BOTH,
                        columns("300w_inter_pupil", ("full",)), measure=pictures.stage_errors),
    },
)  # fmt: skip
