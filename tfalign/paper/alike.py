"""The five papers' architectures trained alike on 300-W, near one size."""

from __future__ import annotations

from typing import Any

from tfalign.paper.experiment import Column, Item, Paper, Training, columns
from tfalign.paper.measures import exported

_HERE: dict[str, Any] = {"settings": {"augment": "light"}, "options": {"crop": "300w"}}
_ROWS = {
    "GRegNet": "gregnet",
    "GRegLRef": "greglref",
    "TSR Proposed": "two_stage",
    "DeepReg": "deepreg",
    "DSSD": "dssd",
    "R-DSSD": "rdssd",
    "CCNN": "ccnn",
}
# About 60 million multiply-accumulates per image, as the others have at the small scale.
_SIZES = {
    "dssd": {"input_shape": (128, 128, 3), "width": 0.375},
    "rdssd": {"input_shape": (128, 128, 3), "width": 0.1875},
}

PAPER = Paper(
    "alike",
    "Ours: one set of faces, boxes, crops, augmentation and seed for all, and one number of steps, "
    "but that each phase of a schedule is rounded up to whole epochs",
    {name: Training(name, small=_SIZES.get(name, {}), **_HERE) for name in _ROWS.values()},
    {
        "table": Item(
            "The five papers trained alike",
            _ROWS,
            columns("300w_inter_ocular", ("full",))
            + (
                Column("300w_inter_pupil"),
                Column("300w_inter_ocular", metric="failure_rate", threshold=0.08),
                Column("300w_inter_ocular", metric="auc", threshold=0.08),
                Column("300w_inter_ocular", "model", "million_parameters"),
                Column("300w_inter_ocular", "model", "gmacc"),
            ),
            note="Sizes and lengths are ours: the papers' results are not reproduced by them. "
            "DeepReg starts from a solution in closed form, whose two passes are not counted. At "
            "the published scale these are each paper's own, with its batches, and not alike.",
        ),
        "exports": Item("The same models as float32 and int8 files: error and latency", _ROWS,
                        columns("300w_inter_ocular", ("full",)), measure=exported),
    },
)  # fmt: skip
