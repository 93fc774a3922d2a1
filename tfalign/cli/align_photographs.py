"""The photographs of ``tfalign align``: a row and files for each, by one process or several."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tfalign.cli.program import one_line
from tfalign.inference import Aligner, Faces, draw_faces, picture_row, write_image
from tfalign.inference.jobs import file_state

Named = Sequence[tuple[Path, str]]
"""Photographs, each with the name of its outputs."""

_CHUNK = 8  # photographs that one worker gets at a time


@dataclass(frozen=True)
class PhotographJob:
    """What is done with each photograph, the same in every process.

    Attributes:
        aligner: Keywords of ``Aligner``.
        box: Tight boxes of the faces in every photograph, or None for the detector.
        overlay, pts, crops: Which files are written.
        out: The folder of these.
    """

    aligner: Mapping[str, Any]
    box: Sequence[Sequence[float]] | None
    overlay: bool
    pts: bool
    crops: bool
    out: Path

    def make_aligner(self) -> Aligner:
        """Makes the aligner; where boxes are given, it has no detector."""
        return Aligner(**{**self.aligner, **({"detector": None} if self.box else {})})

    def rows(self, aligner: Aligner, named: Named, workers: int) -> Iterator[dict[str, Any]]:
        """Yields a row for each photograph (``picture_row``), in their order.

        Raises:
            OSError: If a worker was ended from outside.
        """
        if workers == 1 or len(named) <= _CHUNK:
            yield from self._align(aligner, named)
            return
        chunks = (named[start : start + _CHUNK] for start in range(0, len(named), _CHUNK))
        # Spawned, not forked: TensorFlow's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, _start_worker, (self,)) as pool:
            running: deque[Future[list[dict[str, Any]]]] = deque()
            try:
                for chunk in itertools.islice(chunks, 2 * workers):
                    running.append(pool.submit(_align_chunk, chunk))
                while running:
                    rows = running.popleft().result()
                    for chunk in itertools.islice(chunks, 1):
                        running.append(pool.submit(_align_chunk, chunk))
                    yield from rows
            except BrokenProcessPool as error:
                raise OSError(
                    "A worker process was ended from outside, perhaps for want of memory. What "
                    "was finished is kept: repeat the command to continue, with fewer --workers."
                ) from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _align(self, aligner: Aligner, named: Named) -> Iterator[dict[str, Any]]:
        """Aligns photographs, a few at a time, and writes their files."""
        read: deque[tuple[np.ndarray, list[int]] | None] = deque()

        def images() -> Iterator[Any]:
            for path, _ in named:
                try:
                    state = file_state(path)  # before it is read: what changes later is told
                    image = aligner.read(path)
                    image.setflags(write=False)  # so that the stream need not copy it
                    read.append((image, state))
                except (ValueError, OSError):
                    read.append(None)  # the stream tells why
                yield path if read[-1] is None else read[-1][0]

        boxes = None if self.box is None else [self.box] * len(named)
        stream = aligner.align_stream(images(), boxes, on_error="skip")
        for (path, name), faces in zip(named, stream, strict=True):
            found = read.popleft()
            if found is None or faces.errors[0] is not None:
                yield picture_row(faces, path)
                continue
            image, state = found
            files: dict[str, Any] = {"name": name, "source": state}
            error = None
            try:
                self._write_files(aligner, name, image, faces, files)
            except ValueError as caught:  # too large for JPEG: the numbers are kept
                error = one_line(caught)
            yield {**picture_row(faces, path, files), "error": error}

    def _write_files(
        self, aligner: Aligner, name: str, image: np.ndarray, faces: Faces, files: dict[str, Any]
    ) -> None:
        if self.pts:
            files["pts"] = [path.name for path in faces.write_pts(self.out, [name])]
        if self.crops and len(faces):
            boxes = np.stack([face.landmark_box for face in faces])
            crops = aligner.predictor.crops([image] * len(faces), boxes)
            files["crops"] = [
                write_image(self.out / f"{name}.crop{k}.png", crop).name
                for k, crop in enumerate(crops, 1)
            ]
        if self.overlay:
            drawn = draw_faces(image, faces)
            files["overlay"] = write_image(self.out / f"{name}_aligned.jpg", drawn).name


_worker: tuple[PhotographJob, Aligner] | None = None


def _start_worker(job: PhotographJob) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    # A parent that is killed cannot end its workers, which would wait for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)  # the processes share the cores already
    _worker = (job, job.make_aligner())


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _align_chunk(named: Named) -> list[dict[str, Any]]:
    assert _worker is not None
    job, aligner = _worker
    return list(job._align(aligner, named))
