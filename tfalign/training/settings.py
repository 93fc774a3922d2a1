"""What a training can be told, with the words that ``tfalign train --help`` says about it."""

# ruff: noqa: RUF009 (`_setting` is `dataclasses.field`)
from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tfalign import losses
from tfalign.data.augment import AugmentConfig, presets
from tfalign.training.compiling import Execution
from tfalign.training.phase import Schedule
from tfalign.training.schedules import published_settings


def _setting(default: Any, group: str, help: str, **argument: Any) -> Any:
    """Declares a field with its help and the arguments of ``argparse`` that make it an option."""
    return dataclasses.field(
        default=default, metadata={"group": group, "help": help, "argument": argument}
    )


def share_or_count(text: str) -> float | int:
    """Reads ``--validation``: "0.05" is a share of the faces, "80" a number of them."""
    return float(text) if "." in text else int(text)


@dataclass(frozen=True)
class Settings:
    """What a training can be told beside its model and its faces.

    Each field is an argument of `tfalign.training.train` and an option of ``tfalign train``, whose
    help tells what it means.
    """

    schedule: str | Path | Schedule = _setting(
        "cpu",
        "schedule",
        "Which phases to train by: 'published' has the paper's numbers and 'cpu' ours for a CPU. "
        "DeepReg also has 'sequential'; two_stage has 'reinit', 'regression', 'local' and "
        "'unsupervised'. Or a file, for which 'tfalign schedule MODEL' prints a start.",
        metavar="NAME|FILE.json",
    )
    epochs: int | None = _setting(
        None, "schedule", "Length of all phases together, in epochs.", type=int, metavar="N"
    )
    steps: int | None = _setting(
        None, "schedule", "Length of all phases together, in optimizer steps.", type=int,
        metavar="N",
    )  # fmt: skip
    rate: float | None = _setting(
        None,
        "schedule",
        "Learning rate of the first phase; later phases keep their proportion to it.",
        type=float,
    )
    dropout: float | None = _setting(
        None,
        "schedule",
        "Rate of dropout where a schedule uses it and no paper prints it: in GRegLRef's global "
        "regression while the refinement trains, and, with 'cpu', on the dense layers of VGG-S "
        "(default: 0.2; GRegLRef's published schedule has it on 300-W's markup alone).",
        type=float,
    )
    loss: str | None = _setting(
        None,
        "schedule",
        f"What a landmark's error costs in every phase, instead of the schedule's own: "
        f"{', '.join(losses.BY_NAME)}. Weights of stages stay as they are.",
        choices=tuple(losses.BY_NAME),
    )
    batch_size: int = _setting(
        32, "schedule", "Faces in one step, over all devices.", type=int, metavar="FACES"
    )
    augment: str | Path | AugmentConfig | Mapping[str, Any] | None = _setting(
        "greglref",
        "schedule",
        f"How faces are changed: one of {', '.join(presets.PRESETS)}, or a file with the fields of "
        "AugmentConfig. The published schedule brings its paper's.",
        metavar="NAME|FILE.json",
    )
    mirror: bool = _setting(
        False,
        "schedule",
        "Add the mirror image of every training face, as DeepReg's paper does; --augment then "
        "needs no mirroring.",
        action="store_true",
    )
    balance: bool = _setting(
        False,
        "schedule",
        "Show faces of rare poses more often (PDB), as GRegLRef's paper does on 300-W.",
        action="store_true",
    )
    validation: float | int = _setting(
        0.05,
        "schedule",
        "How many training faces to hold out and watch, as a share (0.05) or a number (80). "
        "Faces of one photograph are never on both sides, see also --group. 0 watches none.",
        type=share_or_count,
        metavar="SHARE|FACES",
    )
    group: str | None = _setting(
        None,
        "schedule",
        "Attribute of the faces, or 'folder', that frames of one person share: whole groups are "
        "then held out.",
        metavar="ATTRIBUTE|folder",
    )
    keep: Literal["last", "best"] = _setting(
        "last",
        "schedule",
        "Which weights are the result: the last ones, or those of the epoch that was best on the "
        "faces held out for validation.",
        choices=("last", "best"),
    )
    init_weights: str | Path | None = _setting(
        None,
        "schedule",
        "A preset's name or a .keras file to start from: the trunk and whatever agrees is copied, "
        "heads point by point where the points' names agree; the run tells what was copied.",
        type=str,
        metavar="PRESET|FILE",
    )
    seed: int = _setting(0, "schedule", "Decides weights, order and augmentation.", type=int)
    cache: str | Path = _setting(
        "memory",
        "speed",
        "Where the cropped faces are kept: 'memory', or a folder, for sets that exceed it. Any "
        "number of runs may share the folder; faces are cropped into it once.",
        metavar="memory|DIR",
    )
    precision: Literal["float32", "float16", "bfloat16"] = _setting(
        "float32",
        "speed",
        "Type of the arithmetic; the two short ones are for GPUs and keep weights in float32.",
        choices=("float32", "float16", "bfloat16"),
    )
    steps_per_execution: int = _setting(
        1, "speed", "Optimizer steps in one call of the compiled program.", type=int, metavar="N"
    )
    jit: Literal["auto", "on", "off"] = _setting(
        "auto",
        "speed",
        "Whether XLA compiles the step; 'auto' leaves it to Keras.",
        choices=("auto", "on", "off"),
    )
    checkpoint_every: int = _setting(
        1,
        "speed",
        "Epochs between two saved states, from which a killed run continues.",
        type=int,
        metavar="EPOCHS",
    )

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise ValueError(
                "A length is given in epochs or in steps, not in both. Received: "
                f"epochs={self.epochs}, steps={self.steps}"
            )
        if min(self.epochs or 1, self.steps or 1, self.batch_size, self.checkpoint_every) < 1:
            raise ValueError(
                "`epochs`, `steps`, `batch_size` and `checkpoint_every` must be positive. "
                f"Received: epochs={self.epochs}, steps={self.steps}, "
                f"batch_size={self.batch_size}, checkpoint_every={self.checkpoint_every}"
            )
        if self.validation < 0 or (isinstance(self.validation, float) and self.validation >= 1):
            raise ValueError(
                "`validation` must be a share in [0, 1) or a number of faces. Received: "
                f"validation={self.validation}"
            )

    @classmethod
    def made(cls, architecture: Any, changes: Mapping[str, Any], dataset: str = "") -> Settings:
        """Returns an architecture's usual settings with some of them changed.

        Args:
            architecture: The architecture, whose published settings go with the published
                schedule; or None.
            changes: Field to value.
            dataset: Name of the set that is trained on, since papers treat sets differently.

        Raises:
            ValueError: If there is no such field, or a value breaks its rule.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(changes) - known):
            raise ValueError(
                f"A training's settings are {', '.join(sorted(known))}. Received: "
                f"{', '.join(unknown)}"
            )
        published = changes.get("schedule") == "published" and architecture is not None
        usual = published_settings(architecture, dataset) if published else {}
        return cls(**{**usual, **changes})

    @property
    def execution(self) -> Execution:
        """The choices of speed."""
        jit: dict[str, Any] = {"auto": "auto", "on": True, "off": False}
        return Execution(
            steps_per_execution=self.steps_per_execution,
            jit_compile=jit[self.jit],
            checkpoint_every=self.checkpoint_every,
        )
