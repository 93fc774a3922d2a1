"""What an export wrote and how far it is from its model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobile_export.layer_errors import LayerError, table
from mobile_export.parity import Parity
from tfalign.tflite import Metadata


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote and how it compares with the Keras model.

    Attributes:
        path: The ``.tflite`` file.
        kind: One of ``KINDS``.
        rendered: Distance to the Keras model that was converted (after tuning, for tuned kinds) on
            rendered faces: what the quality gate looks at.
        parity: The same on ``images`` where they were given, else on the rendered faces.
        macc: Multiply-accumulates of one image, counted from the file; None where an operator has
            no rule.
        size: Bytes of the file.
        gzip_size: Bytes of the file after gzip, as an app store compresses it.
        histogram: Operator → how often it occurs.
        gpu: What is known of the GPU delegate, operator by operator.
        metadata: The content of ``metadata.json``: what an app needs.
        report: The content of ``report.json``: how the file was made and what was measured.
        original_parity: Distance to the model before tuning; None for plain kinds.
    """

    path: Path
    kind: str
    rendered: Parity
    parity: Parity
    macc: int | None
    size: int
    gzip_size: int
    histogram: dict[str, int]
    gpu: dict[str, Any]
    metadata: Metadata = field(repr=False)
    report: dict[str, Any] = field(repr=False)
    original_parity: Parity | None = None

    def table(self) -> str:
        """The figures as text, one per line."""
        rows = {
            "file": str(self.path),
            "kind": self.kind,
            "on rendered faces": str(self.rendered),
            "MACC": "not counted" if self.macc is None else f"{self.macc:,}",
            "size": f"{self.size:,} bytes ({self.gzip_size:,} after gzip)",
            "operators": ", ".join(f"{kind} {n}" for kind, n in self.histogram.items()),
            "not on a GPU": ", ".join(self.gpu["refused"]) or "none",
        }
        if self.parity is not self.rendered:
            rows["on the given pictures"] = str(self.parity)
        if self.original_parity is not None:
            rows["against the model before tuning"] = str(self.original_parity)
        if self.metadata.licence is not None:
            rows["licence of the weights"] = str(self.metadata.licence["weights"])
        lines = [*rows.items(), *(("note", note) for note in self.metadata.notes)]
        width = max(len(key) for key, _ in lines)
        text = "\n".join(f"{key:<{width}}  {value}" for key, value in lines)
        if self.report["layers"] is not None:
            text += "\n\nwhat the operators lose, relative to their values:\n"
            text += table([LayerError(**row) for row in self.report["layers"]])
        return text
