"""Ctrl-C as a terminal sends it, to every process of the command: once for each command."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli.conftest import write_rgb

FACES = 1200
MANY = 3000  # faces of a data set, which no command is through with when it is interrupted

TRAIN = ["--model", "gregnet", "--width", "0.125", "--image-size", "32", "--batch-size", "4",
         "--steps", "1000000"]  # fmt: skip
DATA = ["--dataset", "300w", "--data", "data", "--split", "helen/trainset", "--batch-size", "1"]
# Every command, working for much longer than the test waits, and the sign that it has begun.
COMMANDS: dict[str, tuple[list[str], str]] = {
    "align": (["align", "photos", "--model", "small.keras", "--min-quality", "0"],
              "_aligned.jpg"),
    "train": (["train", "300w", "--data", "few", "--holdout", "2", *TRAIN], "checkpoint.npz"),
    "evaluate": (["evaluate", "--model", "small.keras", *DATA], "bar"),
    "robustness": (["robustness", "--model", "small.keras", *DATA], "bar"),
    "export": (["export", "small.keras"], "temporary file"),
    "benchmark": (["benchmark", "small.tflite", "--runs", "1000000"], "interpreter"),
    "demo": (["demo", "--synthetic-faces", "12", "4", "--validation", "0.25", *TRAIN],
             "checkpoint.npz"),
}  # fmt: skip


# Where Ctrl-C meets TensorFlow's compiled code in the midst of a call back into Python, that code
# itself prints the interrupt, or the SystemError that it makes of it, and goes on; no program can
# keep it from that.
PRINTED_BY_TENSORFLOW = re.compile(
    r"Traceback \(most recent call last\):\n"
    r"  File \"[^\"]*/tensorflow/[^\n]*\n(?:  [^\n]*\n)*(?:KeyboardInterrupt|SystemError)[^\n]*\n"
)


def start(repository: Path, words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Starts a command as a terminal does, in ``folder``; its output goes to ``folder/err``."""
    temporary = folder / "temporary"
    temporary.mkdir()
    with (folder / "err").open("wb") as told:
        return subprocess.Popen(
            [sys.executable, "-m", "tfalign", *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=told,
            env={**os.environ, "PYTHONPATH": str(repository), "TMPDIR": str(temporary)},
            start_new_session=True,  # a group of its own, as the foreground job of a terminal is
            # Who was started in the background of a shell without job control ignores the signal
            # and hands that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def wait_until(begun: Callable[[], bool], running: subprocess.Popen[bytes], err: Path) -> None:
    """Waits until work has begun."""
    deadline = time.monotonic() + 300
    while not begun():
        if running.poll() is not None or time.monotonic() > deadline:
            running.kill()
            raise AssertionError(f"no work begun: {running.poll()}, {err.read_text()}")
        time.sleep(0.02)


def interrupt(running: subprocess.Popen[bytes], err: Path) -> str:
    """Sends Ctrl-C, checks how the command ended, and returns what it told."""
    os.killpg(running.pid, signal.SIGINT)
    try:
        code = running.wait(timeout=120)
    finally:
        running.kill()
    told = err.read_text(errors="replace")
    assert code == 130, told
    assert "Traceback" not in PRINTED_BY_TENSORFLOW.sub("", told), told
    assert "interrupted: what was finished is kept" in told
    return told


def data_set(root: Path, faces: int) -> None:
    """Makes a 300-W folder of one picture under many names."""
    folder = root / "helen" / "trainset"
    folder.mkdir(parents=True)
    first = write_rgb(folder / "0000_1.png", np.full((90, 110, 3), 90, np.uint8))
    points = np.random.default_rng(5).uniform((30, 20), (80, 70), (68, 2))
    lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
    first.with_suffix(".pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
    for index in range(1, faces):
        for suffix in (".png", ".pts"):
            (folder / f"{index:04}_1{suffix}").hardlink_to(first.with_suffix(suffix))


def mapped(pid: int, name: str) -> bool:
    """Whether a process has mapped a file whose path has this in it, such as a library."""
    return name in Path(f"/proc/{pid}/maps").read_text(errors="replace")


@pytest.fixture(scope="module")
def small_tflite(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ai_edge_litert")
    from mobile_export.exporter import export
    from tfalign.models.saved import load_model

    folder = tmp_path_factory.mktemp("exported")
    export(load_model(small_model), "float32", None, folder)
    return folder / "model.tflite"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "command",
    # The demo's longest part is the training of "train".
    [pytest.param(c, marks=[pytest.mark.exhaustive] * (c == "demo")) for c in COMMANDS],
)
def test_every_command_is_interrupted(
    command: str,
    repository: Path,
    small_model: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    words, sign = COMMANDS[command]
    out, err = tmp_path / "out", tmp_path / "err"
    shutil.copy(small_model, tmp_path / "small.keras")
    if "photos" in words:
        (tmp_path / "photos").mkdir()
        first = write_rgb(tmp_path / "photos" / "0.png", np.full((64, 64, 3), 90, np.uint8))
        for index in range(1, MANY):
            first.with_name(f"{index}.png").hardlink_to(first)
    for name, faces in (("data", MANY), ("few", 8)):
        if name in words:
            data_set(tmp_path / name, faces)
    if command == "benchmark":
        shutil.copy(request.getfixturevalue("small_tflite"), tmp_path / "small.tflite")
    if command != "benchmark":
        words = [*words, "--out", "out"]
    running = start(repository, words, tmp_path)
    signs: dict[str, Callable[[], bool]] = {
        "bar": lambda: re.search(rf"[1-9]\d*/{MANY}".encode(), err.read_bytes()) is not None,
        "temporary file": lambda: any((tmp_path / "temporary").rglob("*")),
        "interpreter": lambda: mapped(running.pid, "pywrap_litert"),
    }
    default = lambda: any(path.name.endswith(sign) for path in out.rglob("*"))  # noqa: E731
    wait_until(signs.get(sign, default), running, err)
    interrupt(running, err)

    left = [path for path in out.rglob("*") if path.is_file()]
    # Files have hidden names until they are whole. Training may leave the one that it was at, which
    # nothing reads; the other commands remove it.
    # A claim's file stays, too: it is the system's lock on it that counts.
    left = [path for path in left if path.name != ".lock"]
    hidden = [path.name for path in left if path.name.startswith(".")]
    assert len(hidden) <= (command in ("train", "demo")), hidden
    if command == "align":
        rows = (out / "landmarks.jsonl").read_text().split("\n")
        assert rows.pop() == ""  # whole lines alone
        images = [json.loads(row)["source"] for row in rows]
        assert 0 < len(images) < MANY
        # Each picture that was drawn stands in the list, but for one that Ctrl-C came between.
        assert len(list(out.glob("*_aligned.jpg"))) - len(images) in (0, 1)
    elif command in ("train", "demo"):
        assert not (out / "result.json").exists()
        assert (out / "history.csv").read_text().endswith("\n")
        with np.load(out / "checkpoint.npz") as checkpoint:
            assert checkpoint.files
    else:  # these keep nothing: the folder is free for another command
        assert left == []
        assert not list((tmp_path / "temporary").rglob("*"))


@pytest.mark.exhaustive
def test_rendering_is_interrupted_and_continued(repository: Path, tmp_path: Path, tfalign) -> None:
    out, err = tmp_path / "faces", tmp_path / "err"
    words = ["render", "--out", str(out), "--train", str(FACES), "--test", "1", "--size", "64"]
    running = start(repository, words, tmp_path)
    parts = out / "WFLW_annotations" / "parts"
    wait_until(lambda: any(parts.glob("*.txt")), running, err)
    before = len(list(parts.glob("*.txt")))
    interrupt(running, err)
    kept = list(parts.glob("*.txt"))
    assert before <= len(kept) < FACES // 50
    times = {path: path.stat().st_mtime_ns for path in (out / "WFLW_images").rglob("000000.jpg")}
    assert tfalign(*words, "--workers", "1", "--quiet").code == 0
    lists = out / "WFLW_annotations/list_98pt_rect_attr_train_test"
    (train,) = lists.glob("*train.txt")
    assert len(train.read_text().splitlines()) == FACES
    # What was there was not drawn again.
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
