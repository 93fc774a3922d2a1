"""Several models that were trained and measured alike: one table, one plot, one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tfalign.evaluation.protocols import get_protocol
from tfalign.evaluation.published import PublishedResult
from tfalign.evaluation.scores import Score


@dataclass(frozen=True, eq=False)
class Contender:
    """One model of a comparison.

    Attributes:
        name: In the table and the plot; unique.
        paper: Where the architecture comes from.
        score: Score of the float32 model.
        quantized: Score of its int8 version, on the same faces.
        params: Trainable parameters.
        macc: Multiply-accumulates of one image.
        presentations: Faces shown in training, every repetition counted.
        milliseconds: Latency of one image, float32; the caller says how it was measured.
        quantized_milliseconds: The same of the int8 version.
        published: What the paper itself reports, or None.
        remark: What was different for this model, or "".
    """

    name: str
    paper: str
    score: Score
    quantized: Score
    params: int
    macc: int
    presentations: int
    milliseconds: float
    quantized_milliseconds: float
    published: PublishedResult | None = None
    remark: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON: errors as fractions, latencies in milliseconds."""
        theirs = self.published
        return {
            "paper": self.paper,
            "float32": {**self.score.to_dict(), "milliseconds": self.milliseconds},
            "int8": {**self.quantized.to_dict(), "milliseconds": self.quantized_milliseconds},
            "params": self.params,
            "macc": self.macc,
            "presentations": self.presentations,
            "published": None
            if theirs is None
            else {
                "nme_percent": theirs.value,
                "protocol": theirs.protocol,
                "subset": theirs.subset,
                "source": theirs.source,
            },
            "remark": self.remark,
        }


def comparison_frame(contenders: Sequence[Contender]) -> pd.DataFrame:
    """Returns one row per model, in the order given.

    Args:
        contenders: Models measured on the same faces under one protocol.

    Returns:
        Index: name. Columns: ``NME %``, ``± %`` (standard error over faces), ``FR@t %``, ``AUC@t``
        (t in per cent), ``int8 NME %``, ``params``, ``MACC``, ``float32 ms``, ``int8 ms``,
        ``presentations``, ``paper NME %`` and ``paper normaliser`` (NaN where nothing is known).
        Published values are of other faces and training sets: they stand beside, not against.

    Raises:
        ValueError: If there is no model, a name occurs twice, or the models were measured on
            different faces, protocols or thresholds.
    """
    check_comparable(contenders)
    limit = f"{100 * contenders[0].score.threshold:g}"
    rows: dict[str, dict[str, object]] = {}
    for contender in contenders:
        score, theirs = contender.score, contender.published
        rows[contender.name] = {
            "NME %": 100 * score.nme,
            "± %": 100 * score.standard_error,
            f"FR@{limit} %": 100 * score.failure_rate,
            f"AUC@{limit}": score.auc,
            "int8 NME %": 100 * contender.quantized.nme,
            "params": contender.params,
            "MACC": contender.macc,
            "float32 ms": contender.milliseconds,
            "int8 ms": contender.quantized_milliseconds,
            "presentations": contender.presentations,
            "paper NME %": None if theirs is None else theirs.value,
            "paper normaliser": None if theirs is None else _normaliser(theirs),
        }
    # Objects, so that counts stay integers where a column has none.
    return pd.DataFrame.from_dict(rows, orient="index", dtype=object)


def check_comparable(contenders: Sequence[Contender]) -> None:
    """Checks that a table of these models compares like with like.

    Raises:
        ValueError: See ``comparison_frame``.
    """
    names = [contender.name for contender in contenders]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"A comparison needs models of different names. Received: names={names or 'none'}"
        )
    first = contenders[0].score
    for contender in contenders:
        for score in (contender.score, contender.quantized):
            # The normalisers, in pixels of each face, are as good as a fingerprint of the faces.
            alike = score.normalizers.shape == first.normalizers.shape and np.allclose(
                score.normalizers, first.normalizers, rtol=1e-6
            )
            known = (score.protocol.name, score.threshold)
            if not alike or known != (first.protocol.name, first.threshold):
                raise ValueError(
                    "A comparison is of one protocol, one threshold and the same faces in the same "
                    f"order. Received: {contender.name!r} with {known} on {len(score)} faces, "
                    f"{names[0]!r} with {(first.protocol.name, first.threshold)} on {len(first)}"
                )


def remarks(contenders: Sequence[Contender]) -> tuple[str, ...]:
    """Returns what was different for single models, in words."""
    return tuple(f"{c.name}: {c.remark}" for c in contenders if c.remark)


def _normaliser(result: PublishedResult) -> str:
    """Returns what the published value is divided by: ``"inter-ocular"``."""
    return get_protocol(result.protocol).title.partition(", ")[2]
