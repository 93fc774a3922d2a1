"""One process at a time works in a claimed folder, and a killed one leaves it free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tfalign.training.claim import claimed

HOLD = """
import sys, time
from pathlib import Path
from tfalign.training.claim import claimed
with claimed(Path(sys.argv[1])) as free:
    print(free, flush=True)
    time.sleep(60)
"""


def test_claim_lasts_until_the_process_is_killed(tmp_path, repository):
    folder = tmp_path / "run"
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout.readline() == "True\n"
        with claimed(folder) as free:
            assert not free
    finally:
        other.send_signal(signal.SIGKILL)
        other.communicate()
    with claimed(folder) as free:
        assert free


def test_claim_ends_with_the_block(tmp_path):
    for _ in range(2):
        with claimed(tmp_path) as free:
            assert free
