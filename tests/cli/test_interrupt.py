"""Ctrl-C as a terminal sends it: to every process of the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FACES = 1200


def wait_for(parts: Path, running: subprocess.Popen[str]) -> int:
    """Waits until the first faces are finished, and returns how many shards are."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and running.poll() is None:
        found = len(list(parts.glob("*.txt")))
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no faces after 300 s: {running.poll()}")


@pytest.mark.slow
def test_rendering_is_interrupted_and_continued(repository: Path, tmp_path: Path, tfalign) -> None:
    out = tmp_path / "faces"
    words = ["render", "--out", str(out), "--train", str(FACES), "--test", "1", "--size", "64"]
    running = subprocess.Popen(
        [sys.executable, "-m", "tfalign", *words],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
        start_new_session=True,  # a group of its own, as the foreground job of a terminal is
    )
    before = wait_for(out / "WFLW_annotations" / "parts", running)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert "interrupted: what was finished is kept" in err
    kept = list((out / "WFLW_annotations" / "parts").glob("*.txt"))
    assert before <= len(kept) < FACES // 50
    times = {path: path.stat().st_mtime_ns for path in (out / "WFLW_images").rglob("000000.jpg")}
    assert tfalign(*words, "--workers", "1", "--quiet").code == 0
    lists = out / "WFLW_annotations/list_98pt_rect_attr_train_test"
    (train,) = lists.glob("*train.txt")
    assert len(train.read_text().splitlines()) == FACES
    # What was there was not drawn again.
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
