"""Writes synthetic faces as a WFLW directory, which the WFLW reader reads."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from tfalign.data.readers.wflw import FILES
from tfalign.data.sample import Sample
from tfalign.data.synthetic.scene import ATTRIBUTES, MAX_SIZE, MIN_SIZE, render
from tfalign.files import settle, write_whole

# Part of the configuration: raise it when the pictures of a (seed, index) change.
RENDERER_VERSION = 1
CONFIGURATION = "synthetic.json"
TEST_OFFSET = 1 << 24
_TEST_LIST = "WFLW_annotations/list_98pt_test/list_98pt_test.txt"
_PARTS = "WFLW_annotations/parts"
_SHARD = 50
_WORTH_PROCESSES = 100  # faces: fewer are drawn without starting any
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Configuration:
    """What decides a directory's contents; kept in it as ``synthetic.json``."""

    train: int
    test: int
    size: int
    seed: int
    renderer: int = RENDERER_VERSION


@dataclass(frozen=True)
class _Shard:
    root: Path
    split: str
    start: int
    stop: int
    configuration: Configuration

    @property
    def part(self) -> Path:
        return self.root / _PARTS / f"{self.split}_{self.start:08d}.txt"


def write_wflw(
    out: str | os.PathLike[str],
    train: int = 2000,
    test: int = 300,
    size: int = 256,
    seed: int = 0,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Writes a WFLW directory of synthetic faces.

    Images, the train and test lists with boxes and flags, and the six subset lists of the test
    faces are laid out as in WFLW. Every file is written under another name and then renamed, and
    an interrupted call goes on where it stopped. The contents depend on ``train``, ``test``,
    ``size`` and ``seed`` alone, not on ``workers``; training image i does not depend on ``train``.

    Args:
        out: The directory; made if missing.
        train: Number of training faces.
        test: Number of test faces, different from all training faces.
        size: Side of the images in pixels.
        seed: Non-negative.
        workers: Number of processes.
        progress: Whether to show a progress bar.

    Returns:
        The directory, which ``tfalign.data.readers.wflw.read`` reads.

    Raises:
        ValueError: If an argument is out of range, or ``out`` holds another configuration or
            files that are not synthetic faces.
    """
    root = Path(out)
    configuration = _checked(train, test, size, seed, workers)
    _claim(root, configuration)
    if all((root / name).is_file() for name in (*FILES.values(), _TEST_LIST)):
        return root
    shards = [
        _Shard(root, split, start, min(start + _SHARD, count), configuration)
        for split, count in (("train", train), ("test", test))
        for start in range(0, count, _SHARD)
    ]
    waiting = [shard for shard in shards if not shard.part.is_file()]
    done = train + test - sum(shard.stop - shard.start for shard in waiting)
    with tqdm(total=train + test, initial=done, unit="face", disable=not progress) as bar:
        for count in _run(waiting, workers):
            bar.update(count)
    _write_lists(root, shards)
    shutil.rmtree(root / _PARTS)
    return root


def _checked(train: int, test: int, size: int, seed: int, workers: int) -> Configuration:
    if train < 1 or test < 1 or train > TEST_OFFSET:
        raise ValueError(
            f"train must be from 1 to {TEST_OFFSET} and test at least 1. "
            f"Received: train={train}, test={test}"
        )
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size must be from {MIN_SIZE} to {MAX_SIZE}. Received: size={size}")
    if seed < 0:
        raise ValueError(f"seed must not be negative. Received: seed={seed}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Received: workers={workers}")
    return Configuration(train=train, test=test, size=size, seed=seed)


def _claim(root: Path, configuration: Configuration) -> None:
    """Makes the directory this configuration's, or raises if it is something else's."""
    foreign = root.exists() and not (root.is_dir() and not any(root.iterdir()))
    if foreign and not (root / CONFIGURATION).is_file():
        raise ValueError(f"out must be an empty or a new directory. Received: out={root}")
    settle(root, asdict(configuration), CONFIGURATION)


def _run(shards: list[_Shard], workers: int) -> Iterator[int]:
    """Makes the shards and yields the number of faces of each as it is done."""
    faces = sum(shard.stop - shard.start for shard in shards)
    if workers == 1 or len(shards) < 2 or faces < _WORTH_PROCESSES:
        for shard in shards:
            yield _make(shard)
        return
    # Spawned, not forked: the caller may hold a framework's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(shards)), context) as pool:
        with _interrupts_ignored(), _smallest_back_end():
            futures = [pool.submit(_make, shard) for shard in shards]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            # Waits for the shards at hand. Without waiting, the end of the `with` block would
            # shut down once more, without cancelling, before the first request is seen.
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Starts processes that ignore Ctrl-C, which a terminal sends to every process of a command.

    The caller gets it all the same, lets the shards at hand be finished and stops; workers that got
    it too would each print a traceback. A disposition of "ignore" is inherited by new processes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change dispositions
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _smallest_back_end() -> Iterator[None]:
    """Starts processes that import Keras without TensorFlow, which drawing does not need."""
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "numpy"
    try:
        yield
    finally:
        if before is None:
            del os.environ["KERAS_BACKEND"]
        else:
            os.environ["KERAS_BACKEND"] = before


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keeps OpenCV to one thread: the processes share the cores already."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _make(shard: _Shard) -> int:
    lines = []
    offset = TEST_OFFSET if shard.split == "test" else 0
    with _one_thread():
        for number in range(shard.start, shard.stop):
            sample = render(shard.configuration.seed, offset + number, shard.configuration.size)
            name = f"{shard.split}/{number:06d}.jpg"
            _write_image(shard.root / "WFLW_images" / name, sample.image)
            lines.append(annotation_line(sample, name))
    write_whole(shard.part, "".join(lines))
    return len(lines)


def annotation_line(sample: Sample, name: str) -> str:
    """Formats a sample as a line of a WFLW list, in WFLW's coordinates.

    WFLW counts from 0 with the centre of the first pixel at 0: 0.5 less than image space.

    Args:
        sample: A 98-point sample with a box at pixel centres and WFLW's six attributes.
        name: The image's path below ``WFLW_images``.
    """
    points = " ".join(
        f"{value:.6f}" for value in (sample.landmarks.astype(np.float64) - 0.5).ravel()
    )
    box = " ".join(str(round(float(value) - 0.5)) for value in sample.box)
    flags = " ".join(str(int(sample.attributes[attribute])) for attribute in ATTRIBUTES)
    return f"{points} {box} {flags} {name}\n"


def _write_lists(root: Path, shards: list[_Shard]) -> None:
    for split in ("train", "test"):
        lines = [
            line
            for shard in shards
            if shard.split == split
            for line in shard.part.read_text(encoding="utf-8").splitlines()
        ]
        if split == "test":
            bare = [" ".join([*line.split()[:196], line.split()[-1]]) for line in lines]
            write_whole(root / _TEST_LIST, "".join(f"{line}\n" for line in bare))
            for position, attribute in enumerate(ATTRIBUTES):
                chosen = [
                    b
                    for b, line in zip(bare, lines, strict=True)
                    if line.split()[200 + position] == "1"
                ]
                write_whole(
                    root / FILES[f"test/{attribute}"], "".join(f"{line}\n" for line in chosen)
                )
        write_whole(root / FILES[split], "".join(f"{line}\n" for line in lines))


def _write_image(path: Path, image: np.ndarray) -> None:
    encoded, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    if not encoded:
        raise OSError(f"OpenCV could not encode {path}")
    write_whole(path, data.tobytes())
