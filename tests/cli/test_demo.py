"""`tfalign demo` from end to end, as small as it can be, and continued."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfalign.cli import demo
from tfalign.cli.demo_report import paper_row
from tfalign.inference import read_image

WORDS = ["--synthetic-faces", "24", "12", "--validation", "0.25", "--width", "0.25", "--image-size",
         "32", "--batch-size", "8", "--steps", "6", "--runs", "2"]  # fmt: skip


def test_paper_row_has_the_printed_figures() -> None:
    (row,) = paper_row("greglref")
    assert (100 * row.nme, 100 * row.failure_rate, row.auc) == pytest.approx((4.65, 4.88, 0.5824))
    assert f"{row.params / 1e6:.2f} {row.macc / 1e9:.4f}" == "12.97 1.7444"
    assert paper_row("deepreg") == []


@pytest.mark.parametrize(
    ("words", "weights", "steps"),
    [
        ("", "300w", 150),
        ("--steps 7", "300w", 7),
        ("--epochs 2", "300w", None),
        ("--init-weights mine.keras", "mine.keras", None),
        ("--data WFLW", None, None),
        ("--model ccnn", None, None),
        ("--width 0.5", None, None),
        ("--schedule published", None, None),
    ],
)
def test_usual_model_starts_from_a_preset(
    words: str, weights: str | None, steps: int | None
) -> None:
    arguments = demo.options().parse_args([*words.split(), "--out", "out"])
    demo.start(arguments)
    assert getattr(arguments, "init_weights", None) == weights
    assert getattr(arguments, "steps", None) == steps


@pytest.mark.slow
def test_demo(
    tfalign: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ai_edge_quantizer")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    out = tmp_path / "out"
    outcome = tfalign("demo", "--out", out, *WORDS)
    assert outcome.code == 0
    assert f"report: {out / 'demo.html'}" in outcome.out
    assert "int8 .tflite" in outcome.out
    assert "1744.40" in outcome.out
    # Nothing outside --out.
    assert list(work.iterdir()) == []
    assert [p.name for p in tmp_path.iterdir() if p.name != "work"] == ["out"]

    result = json.loads((out / "demo.json").read_text())
    keras, float32, int8, paper = result["rows"]
    assert result["passed"] is True
    assert keras["macc"] == float32["macc"] == int8["macc"] < paper["macc"]
    assert float32["nme"] == pytest.approx(keras["nme"], rel=1e-3)
    assert int8["nme"] == pytest.approx(keras["nme"], rel=0.2)
    assert int8["size"] == (out / "int8/model.tflite").stat().st_size < float32["size"]
    assert keras["nme"] == pytest.approx(json.loads((out / "result.json").read_text())["nme"])
    assert 0 < int8["milliseconds"] < 1000
    page = (out / "demo.html").read_text(encoding="utf-8")
    assert len(re.findall(r'src="data:image/(?:png|jpeg);base64', page)) == 3
    assert not re.findall(r'(?:src|href)="(?:https?:|/)', page)
    assert read_image(out / "faces.jpg").shape == (448, 896, 3)

    exported = []
    monkeypatch.setattr(demo, "export", lambda *arguments: exported.append(arguments))
    again = tfalign("demo", "--out", out, *WORDS, "--json")
    assert again.code == 0
    assert exported == []
    assert [row["nme"] for row in again.json["rows"]] == [row["nme"] for row in result["rows"]]
    # What another version exported of the same weights is not taken for this one's.
    monkeypatch.setattr(demo, "__version__", "0.0.0")
    assert tfalign("demo", "--out", out, *WORDS).code == 0
    assert [arguments[1] for arguments in exported] == ["float32", "int8"]
    other = tfalign("demo", "--out", out, *WORDS, "--seed", "1")
    assert other.code == 2
    assert "An output folder belongs to one configuration" in other.err
    assert "seed: there 0, wanted 1" in other.err
