"""The commands that README and guides show: those in ``sh`` blocks run, those in ``text`` blocks,
which need a reader's own data, are read by the command's own parser."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tfalign_command import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What sets the environment up is run by `.ci/run`, to the letter.
SET_UP = re.compile(r"^(python -m (pip|pytest)|\.ci/run|npm |pip )")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[str]:
    """A block's commands: continued lines joined, comments and set-up left out."""
    lines = block.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not SET_UP.match(line) and line[0] != "#"]


def runnable(page: Path) -> str:
    return "\n".join(line for block in blocks(page, "sh") for line in commands(block))


def shown() -> list[str]:
    """Every line that begins with ``tfalign``, of all pages."""
    return [
        line
        for page in PAGES
        for language in ("sh", "text")
        for block in blocks(page, language)
        for line in commands(block)
        if line.startswith("tfalign ")
    ]


@pytest.mark.parametrize("command", sorted(set(shown())))
def test_shown_commands_have_these_options(command):
    words = shlex.split(command, comments=True)[1:]
    name = next(
        (n for n in sorted(COMMANDS, reverse=True) if words[: len(n.split())] == n.split()),
        None,
    )
    if name is None:
        assert words in (["--help"], ["--version"]), f"no such command: {command}"
        return
    module = importlib.import_module(f"tfalign.cli.{COMMANDS[name].module}")
    parser = module.options(f"tfalign {name}")
    parser.add_argument("--json", action="store_true")
    parser.parse_args(words[len(name.split()) :])


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if runnable(p)], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_commands_run(page, tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", runnable(page)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
