"""The tutorials' cells run, in order, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))

jupytext = pytest.importorskip("jupytext", reason="jupytext (extra 'docs') is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda path: path.stem)
def test_cells_run(page, tmp_path):
    notebook = jupytext.read(page)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    program = tmp_path / "tutorial.py"
    program.write_text("\n\n".join(cells))
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
