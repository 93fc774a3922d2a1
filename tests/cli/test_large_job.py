"""Twenty thousand pictures, killed five times: each once, none lost; an hour's clip: memory flat.

``pytest -m exhaustive -s tests/cli/test_large_job.py`` prints the memory over time.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobile_export import export
from tfalign.data import synthetic
from tfalign.inference import VideoWriter
from tfalign.models import GRegNet

PICTURES = 20_000
KILLS = 5


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small landmark model as .tflite."""
    model = GRegNet(
        68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", name="small", scheme="ibug68"
    )
    return export(model, "float32", out=tmp_path_factory.mktemp("lite") / "small").path


def resident(process: int) -> float:
    """MiB of memory that a process and its children hold."""
    children = Path(f"/proc/{process}/task/{process}/children")
    try:
        family = [process, *map(int, children.read_text().split())]
        pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # it has just ended
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def flat(memory: list[tuple[int, float]]) -> None:
    """Asserts that no more is held at the end than near the beginning."""
    held = np.array([held for _, held in memory if held])
    third = len(held) // 3
    assert third > 3
    assert np.median(held[-third:]) < 1.05 * np.median(held[:third])


def rows_of(out: Path, name: str = "landmarks.jsonl") -> int:
    """Number of whole lines in a file that is being written."""
    file = out / name
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_twenty_thousand_pictures_killed_five_times(lite, tmp_path, rng):
    pytest.importorskip("ai_edge_litert")
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(20):
        picture = synthetic.render(3, number, 96).image
        Image.fromarray(picture).save(folder / f"{number:05}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    for number in range(20, PICTURES - 1):
        link = os.link if number % 2 else os.symlink
        link(folder / f"{number % 20:05}.png", folder / f"{number:05}.png")
    out = tmp_path / "out"
    words = [
        *(sys.executable, "-m", "tfalign", "align", folder, "--model", lite, "--out", out),
        *("--workers", 2, "--detector", "haar", "--min-quality", 0, "--no-overlay", "--quiet"),
    ]
    command = [str(word) for word in words]
    stops = np.sort(rng.integers(500, PICTURES - 500, KILLS))
    for run, stop in enumerate([*stops, None]):
        begin, memory = time.monotonic(), []
        before = rows_of(out)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as job:
            while job.poll() is None:
                time.sleep(1)
                count = rows_of(out)
                if count > before + 200:
                    memory.append((count, resident(job.pid)))
                if stop is not None and count >= stop:
                    time.sleep(float(rng.uniform(0, 0.5)))
                    job.send_signal(signal.SIGKILL)
                    break
        print(f"\nrun {run}: {before} to {rows_of(out)} rows in {time.monotonic() - begin:.0f} s")
        for count, held in memory[:: max(1, len(memory) // 8)]:
            print(f"  {count:6} rows {held:7.1f} MiB")
        if stop is not None:
            assert job.returncode == -signal.SIGKILL
    assert job.returncode == 2  # for the picture that is none
    counted = collections.Counter()
    answers = collections.defaultdict(set)
    for line in (out / "landmarks.jsonl").read_text().splitlines():
        row = json.loads(line)
        name = Path(row["source"]).name
        counted[name] += 1
        number = -1 if name == "bad.png" else int(Path(name).stem) % 20
        answers[number].add(json.dumps([row["error"] is None, row["faces"]]))
    assert counted == {path.name: 1 for path in folder.iterdir()}
    assert len(counted) == PICTURES
    assert {len(found) for found in answers.values()} == {1}  # links have their picture's faces
    flat(memory)


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_hour_of_film(lite, tmp_path):
    """Ten frames a second, so that it does not take an hour."""
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("av")
    face = synthetic.render(3, 2, 96).image
    frames = [np.roll(face, shift, axis=1) for shift in (0, 1, 2, 3, 2, 1)]
    film = tmp_path / "film.mp4"
    with VideoWriter(film, 10, (96, 96)) as writer:
        for number in range(36_000):
            writer.write(frames[number % len(frames)])
    out = tmp_path / "out"
    words = [
        *(sys.executable, "-m", "tfalign", "align", film, "--model", lite, "--out", out),
        *("--detector", "haar", "--min-quality", 0, "--quiet"),
    ]
    memory = []
    with subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL) as job:
        while job.poll() is None:
            time.sleep(1)
            count = rows_of(out, "film_aligned.jsonl")
            if count > 1000:
                memory.append((count, resident(job.pid)))
    assert job.returncode == 0
    for count, held in memory[:: max(1, len(memory) // 12)]:
        print(f"  {count:6} frames {held:7.1f} MiB")
    assert rows_of(out, "film_aligned.jsonl") == 36_000
    flat(memory)
