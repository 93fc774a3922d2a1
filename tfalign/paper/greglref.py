"""GRegLRef: tables 3 to 6, figures 2 and 5."""

from __future__ import annotations

from tfalign.paper import pictures
from tfalign.paper.experiment import W300, WFLW, Column, Item, Paper, Training, columns
from tfalign.paper.measures import complexity, layers

_BALANCED = {"balance": True}  # PDB: on 300-W alone
_WITHOUT = {"dropout": 0.0}  # dropout in phase 2: on 300-W alone

PAPER = Paper(
    "greglref",
    "Su, Wang, Liao, Ling: Efficient and Accurate Face Alignment by Global Regression and Cascaded "
    "Local Refinement, CVPRW 2019",
    {
        "w300": Training("greglref", published=_BALANCED),
        "w300_stretched": Training(
            "greglref", published=_BALANCED, options={"crop": "300w_stretched"}
        ),
        "w300_baseline": Training("gregnet", published=_BALANCED),
        "wflw": Training("greglref", "wflw", published=_WITHOUT),
        "wflw_baseline": Training("gregnet", "wflw", published=_WITHOUT),
        "aflw": Training("greglref", "aflw19", published=_WITHOUT),
        "aflw_baseline": Training("gregnet", "aflw19", published=_WITHOUT),
    },
    {
        "table1": Item("Architecture of GRegNet, by layer", {"GRegNet": "wflw_baseline"},
                       measure=layers),
        "table2": Item("Architecture with two LRefNets, by layer", {"GRegLRef": "wflw"},
                       measure=layers),
        "table3": Item(
            "300-W",
            {"GRegNet": "w300_baseline", "GRegLRef": "w300"},
            columns("300w_inter_pupil", W300) + columns("300w_inter_ocular", W300),
            source="GRegLRef (CVPRW 2019), Table 3",
            claim=("GRegLRef", "GRegNet"),
        ),
        "table4": Item(
            "WFLW",
            {"GRegNet": "wflw_baseline", "GRegLRef": "wflw"},
            columns("wflw_inter_ocular", WFLW)
            + columns("wflw_inter_ocular", WFLW, "failure_rate", threshold=0.10)
            + columns("wflw_inter_ocular", WFLW, "auc", threshold=0.10),
            source="GRegLRef (CVPRW 2019), Table 4",
            claim=("GRegLRef", "GRegNet"),
            note="The text says that WFLW is normalised by the face's size; the numbers are "
            "inter-ocular.",
        ),
        "table5": Item(
            "AFLW",
            {"GRegNet": "aflw_baseline", "GRegLRef": "aflw"},
            (
                Column("aflw19_box_side"),
                Column("aflw19_box_side", "frontal", split="frontal"),
            ),
            source="GRegLRef (CVPRW 2019), Table 5",
            claim=("GRegLRef", "GRegNet"),
        ),
        "table6": Item(
            "Complexity on WFLW",
            {"GRegNet": "wflw_baseline", "GRegLRef": "wflw"},
            (
                Column("wflw_inter_ocular", "model", "million_parameters"),
                Column("wflw_inter_ocular", "model", "gmacc"),
            ),
            measure=complexity,
            source="GRegLRef (CVPRW 2019), Table 6",
        ),
        "crops": Item(
            "300-W: boxes squared before they are cut out, or stretched over the input",
            {"squared": "w300", "stretched": "w300_stretched"},
            columns("300w_inter_ocular", W300),
            against="squared",
            note="Not in the paper, which resizes boxes without saying which; squared is our "
            "reading.",
        ),
        "figure2": Item("Shallow feature maps", {"GRegNet": "w300_baseline"},
                        measure=pictures.feature_maps),
        "figure5": Item(
            "CED on COFW-68, all landmarks and visible ones",
            {"GRegNet": "w300_baseline", "GRegLRef": "w300"},
            tuple(
                Column(f"cofw68_inter_ocular{visible}", "all", data="cofw68")
                for visible in ("", "_visible")
            ),
            source="GRegLRef (CVPRW 2019), section 4.4",
            note="By the models that were trained on 300-W.",
        ),
    },
)  # fmt: skip
