"""The result of evaluating one model on one data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from tfalign.evaluation import published
from tfalign.evaluation.protocols import Floats
from tfalign.evaluation.scores import Score, few_faces_note
from tfalign.evaluation.tables import (
    Subsets,
    comparison_table,
    format_table,
    part_table,
    subset_table,
)
from tfalign.evaluation.worst_cases import Case


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came out of ``evaluate_model``.

    Attributes:
        model_name: Name of the model.
        dataset, split: What it was evaluated on.
        box: Where boxes came from: ``"landmarks"``, ``"file"``, ``"detector"`` or ``"crops"``.
        score: The score under the chosen protocol.
        subsets: Masks of the customary columns (WFLW's seven, 300-W's three).
        names: Name of each face.
        predicted, truth: (faces, n, 2) landmarks in image pixels, in the protocol's scheme.
        seconds: Wall-clock time of cropping and prediction, image decoding included where the
            samples were decoded on the way.
        related: Scores of the same predictions under the set's other protocols.
        unscored: Other protocols that the annotations do not allow, with the reason.
        missed: Names of the faces that the detector missed; their boxes are the fallback.
        undefined: Points of the protocol's scheme that the model's scheme lacks; left out.
        worst: The worst faces with pictures.
        fingerprint: SHA-256 of the data set's annotations, where the reader knows it.
        remarks: What a program knows beyond the numbers, e.g. that these faces were trained on.
    """

    model_name: str
    dataset: str
    split: str | None
    box: str
    score: Score
    subsets: Subsets
    names: tuple[str, ...]
    predicted: Floats
    truth: Floats
    seconds: float
    related: tuple[Score, ...] = ()
    unscored: Mapping[str, str] = field(default_factory=dict)
    missed: tuple[str, ...] = ()
    undefined: tuple[str, ...] = ()
    worst: tuple[Case, ...] = ()
    fingerprint: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def nme(self) -> float:
        """Mean NME, a fraction."""
        return self.score.nme

    @property
    def failure_rate(self) -> float:
        """Share of faces above the threshold."""
        return self.score.failure_rate

    @property
    def auc(self) -> float:
        """Exact area under the CED up to the threshold."""
        return self.score.auc

    @property
    def title(self) -> str:
        """Data set, split and boxes in one line."""
        where = self.dataset if self.split is None else f"{self.dataset} {self.split}"
        return f"{self.model_name} on {where}, {self.box} boxes"

    @cached_property
    def subset_frame(self) -> pd.DataFrame:
        """Metrics per subset, see ``subset_table``."""
        return subset_table(self.score, self.subsets)

    @cached_property
    def part_frame(self) -> pd.DataFrame:
        """Errors per part of the face, see ``part_table``."""
        return part_table(self.score)

    @cached_property
    def published_frame(self) -> pd.DataFrame | None:
        """Our NME above published ones of the same protocol; None where nothing is published.

        Published tables speak of whole test sets: only columns are shown in which our faces are as
        many as those of the test set. Their boxes may be others than ours, see ``published_title``.
        """
        ours = {
            name: 100 * self.score.subset(mask).nme
            for name, mask in self.subsets.items()
            if published.comparable(self.score.protocol.dataset, name, int(mask.sum()))
        }
        found = [r for r in published.find(self.score.protocol.name) if r.subset in ours]
        return comparison_table({self.model_name: ours}, found) if found else None

    @property
    def published_title(self) -> str:
        """The head of ``published_frame``, which says what is not known to be the same."""
        return f"Published, NME %, on the boxes of their authors; ours are {self.box} boxes"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers must know, in words."""
        notes = [*self.score.warnings, *self.remarks]
        if rough := few_faces_note(len(self.score)):
            notes.append(rough)
        if self.missed:
            notes.append(
                f"The detector missed {len(self.missed)} of {len(self.names)} faces; these were "
                "cropped by the data set's box, or the landmarks' where it has none."
            )
        if self.undefined:
            notes.append(
                f"{len(self.undefined)} of {self.score.protocol.scheme.num_points} points do not "
                f"exist in the model's scheme and are left out: {', '.join(self.undefined)}."
            )
        notes += [f"Not scored as {name}: {why}" for name, why in self.unscored.items()]
        return tuple(notes)

    def table(self) -> str:
        """Returns everything as text for a terminal."""
        blocks = [self.title, self.score.table(), format_table(self.subset_frame)]
        if self.related:
            rows = {s.protocol.name: {"NME %": 100 * s.nme} for s in self.related}
            blocks.append(
                "the same predictions under other protocols (never mix them)\n"
                + format_table(pd.DataFrame.from_dict(rows, orient="index"))
            )
        blocks.append("per part\n" + format_table(self.part_frame))
        if self.published_frame is not None:
            blocks.append(f"{self.published_title}\n{format_table(self.published_frame, 2)}")
        blocks += [f"note: {note}" for note in self.notes]
        return "\n\n".join(blocks)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON: errors as fractions, no per-face values."""
        subsets = {}
        for name, mask in self.subsets.items():
            part = self.score.subset(mask)
            subsets[name] = {
                "faces": len(part),
                "nme": part.nme,
                "failure_rate": part.failure_rate,
                "auc": part.auc,
            }
        return {
            **self.score.to_dict(),
            "model": self.model_name,
            "dataset": self.dataset,
            "split": self.split,
            "box": self.box,
            "detector_misses": len(self.missed),
            "undefined_points": list(self.undefined),
            "subsets": subsets,
            "parts": {
                str(part): float(value) / self.score.protocol.scale
                for part, value in self.part_frame[f"NME {self.score.protocol.unit}"].items()
            },
            "other_protocols": {s.protocol.name: {"nme": s.nme} for s in self.related},
            "seconds": self.seconds,
            "faces_per_second": len(self.names) / self.seconds if self.seconds > 0 else None,
            "data_fingerprint": self.fingerprint,
            "notes": list(self.notes),
        }

    def face_frame(self) -> pd.DataFrame:
        """Returns one row per face: name, NME (a fraction), whether the detector missed it."""
        missed = set(self.missed)
        return pd.DataFrame(
            {
                "name": self.names,
                "nme": self.score.errors,
                "detector_missed": np.array([name in missed for name in self.names]),
            }
        )
