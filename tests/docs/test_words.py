"""Words that mean one thing have one form in all that people read."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_multiply_accumulates_are_macc():
    """MACC, MMACC and GMACC; in papers' titles nothing else occurs."""
    folders = ("docs", "tfalign", "mobile_export", "recipes")
    files = [
        ROOT / "README.md",
        *(
            p
            for f in folders
            for kind in ("md", "py", "txt")
            for p in (ROOT / f).rglob(f"*.{kind}")
        ),
    ]
    wrong = [
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in files
        for found in re.finditer(r"\b([MG]MACC?s|[MG]MAC|MACC?s|MAC)\b", path.read_text())
    ]
    assert not wrong


def test_the_readme_says_what_its_unit_means():
    assert "MMACC: million multiply-accumulates" in (ROOT / "README.md").read_text()
