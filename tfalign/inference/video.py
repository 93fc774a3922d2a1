"""Reading and writing films with OpenCV, and aligning every frame of one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tfalign.data.readers.image import MAX_PIXELS, check_pixels
from tfalign.inference.aligner import Aligner
from tfalign.inference.faces import Faces
from tfalign.inference.overlay import draw_faces
from tfalign.inference.tracker import Tracker

Image = NDArray[np.uint8]
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}  # both are built into OpenCV's wheels
_USUAL_FPS = 25.0
# Some containers announce their length times their rate, or that of a longer sound track.
_USUAL_ERROR = 0.1
_SMALLEST_ERROR = 2


class VideoReader:
    """The frames of a film or a camera, one after the other.

    Args:
        source: Path of a file, or the number of a camera.
        max_pixels: Larger frames are refused.

    Attributes:
        fps: Frames per second; 25 where the source does not say.
        size: (width, height) of a frame in pixels.
        count: Number of frames that the file announces, None for a camera or where it is silent.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no film that OpenCV can read, no camera, or its frames are too large.
    """

    def __init__(self, source: str | os.PathLike[str] | int, max_pixels: int = MAX_PIXELS) -> None:
        self.camera = isinstance(source, int)
        if not isinstance(source, int):
            path = Path(source)
            if not path.exists():
                raise FileNotFoundError(f"A video file must exist. Received: {str(path)!r}")
            if not path.is_file():
                raise ValueError(f"A video must be a regular file. Received: {str(path)!r}")
            # OpenCV takes names with % for series of images: an absolute path leaves the name, so
            # the back end that reads series is not asked.
            self._capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
        else:
            self._capture = cv2.VideoCapture(source)
        self.source = source
        if not self._capture.isOpened():
            raise ValueError(
                f"A video must be a film that FFmpeg reads, or a camera. Received: {source!r}"
            )
        self.size = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        try:
            check_pixels(*self.size, max_pixels)
        except ValueError as error:
            self._capture.release()
            raise ValueError(f"{source} cannot be used as a video: {error}") from error
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if np.isfinite(fps) and 0 < fps <= 1000 else _USUAL_FPS
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 and not self.camera else None

    def __iter__(self) -> Iterator[tuple[int, float, Image]]:
        """Yields (number, seconds, frame (H, W, 3) uint8 RGB).

        A film's time follows from its frame rate, a camera's from the clock.
        """
        begin = time.monotonic()
        number = 0
        last = -1.0
        while True:
            good, frame = self._capture.read()
            if not good:
                return
            clock = time.monotonic() - begin
            # Two frames of a camera may come within the clock's resolution.
            seconds = max(clock, last + 1e-4) if self.camera else number / self.fps
            yield number, seconds, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            last = seconds
            number += 1

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()


class VideoWriter:
    """Writes frames to a film that appears under its name when it is whole.

    As a context manager: leaving it normally finishes the film, leaving it by an exception removes
    what was written.

    Args:
        path: Ends in .mp4 or .avi.
        fps: Frames per second.
        size: (width, height) in pixels.

    Raises:
        ValueError: If the suffix is another.
        OSError: If the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float, size: tuple[int, int]) -> None:
        self.path = Path(path)
        codec = _CODECS.get(self.path.suffix.lower())
        if codec is None:
            raise ValueError(
                f"A film's name must end in one of {', '.join(_CODECS)}. Received: "
                f"{str(self.path)!r}"
            )
        self._temporary = self.path.with_name(f".{os.getpid()}.partial.{self.path.name}")
        # OpenCV reports nothing but "not opened": this raises the system's own error.
        self._temporary.write_bytes(b"")
        self._writer = cv2.VideoWriter(
            str(self._temporary), cv2.VideoWriter.fourcc(*codec), fps, size
        )
        self.size = size
        if not self._writer.isOpened():
            self._temporary.unlink()
            raise OSError(f"OpenCV cannot write {codec} films of {size} pixels to {self.path}")

    def write(self, frame: Image) -> None:
        """Adds a frame (H, W, 3) uint8 RGB.

        Raises:
            ValueError: If it has another size; OpenCV would leave it out silently.
        """
        if frame.shape[1::-1] != self.size:
            raise ValueError(
                f"A frame must have {self.size} pixels. Received: {frame.shape[1::-1]}"
            )
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self, keep: bool = True) -> None:
        """Finishes the film, or (``keep=False``) removes it."""
        self._writer.release()
        if keep:
            self._temporary.replace(self.path)
        else:
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(keep=kind is None)


@dataclass(frozen=True, eq=False)
class VideoResult:
    """What was found in a film.

    Attributes:
        faces: All faces of all frames; ``face.image`` is the frame, ``face.track`` the person.
        frames: Number of frames that were read.
        announced: Number of frames that the file announces; None for a camera or where it is
            silent.
        missing: How many of the announced frames could not be read, where these are clearly too
            many for a container's inexact count: the file is damaged or cut off. 0 also where
            ``max_frames`` or ``on_frame`` ended the film.
        fps: The film's frames per second.
        size: (width, height) in pixels.
        elapsed: Seconds that it took.
        detections: How often the detector was asked.
        out: The film with the faces drawn on it, or None.
        stopped: Whether a camera was stopped by Ctrl-C.
    """

    faces: Faces
    frames: int
    fps: float
    size: tuple[int, int]
    elapsed: float
    detections: int
    out: Path | None
    stopped: bool
    announced: int | None = None
    missing: int = 0


def align_video(
    source: str | os.PathLike[str] | int,
    aligner: Aligner | Tracker,
    out: str | os.PathLike[str] | None = None,
    max_frames: int | None = None,
    progress: bool = True,
    draw: bool = True,
    on_frame: Callable[[int, Image, Faces], Any] | None = None,
) -> VideoResult:
    """Follows the faces through a film or before a camera.

    Args:
        source: Path of a film, or the number of a camera. A camera is read until ``max_frames``,
            ``on_frame`` or Ctrl-C ends it.
        aligner: A tracker, which is reset; or an aligner, which a ``Tracker`` is made of.
        out: Film (.mp4 or .avi) to write; its folder must exist.
        max_frames: Most frames to read; None for all.
        progress: Whether to show a progress bar.
        draw: Whether the film written shows the faces; False copies the frames.
        on_frame: Called with number, frame (RGB) and faces; returning False ends the film.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the source is no film, or an argument is out of range.
        OSError: If ``out`` cannot be written.
        KeyboardInterrupt: From Ctrl-C in a file; what was written of ``out`` is removed.
    """
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"`max_frames` must be positive. Received: max_frames={max_frames}")
    tracker = Tracker(aligner) if isinstance(aligner, Aligner) else aligner
    tracker.reset()
    begin = time.monotonic()
    found: list[Any] = []
    frames = 0
    stopped = False
    writer = None
    path = None if out is None else Path(out)
    limit = tracker.aligner.max_pixels
    with VideoReader(source, limit) as reader:
        writer = None if path is None else VideoWriter(path, reader.fps, reader.size)
        totals = [count for count in (reader.count, max_frames) if count is not None]
        bar = tqdm(
            total=min(totals) if totals else None, unit="frame", disable=not progress, leave=False
        )
        whole = ended = False
        try:
            for number, seconds, frame in reader:
                faces = tracker.update(frame, seconds)
                found += faces
                frames = number + 1
                if writer is not None:
                    writer.write(draw_faces(frame, faces) if draw else frame)
                bar.update()
                ended = on_frame is not None and on_frame(number, frame, faces) is False
                ended = ended or frames == max_frames
                if ended:
                    break
            whole = True
        except KeyboardInterrupt:
            if not reader.camera:
                raise
            stopped = whole = True
        finally:
            bar.close()
            if writer is not None:
                writer.close(keep=whole and frames > 0)
    if not frames:
        raise ValueError(f"A video must have a frame that can be decoded. Received: {source!r}")
    label = None if isinstance(source, int) else os.fspath(source)
    return VideoResult(
        faces=Faces(found, [label] * frames, tracker.aligner.num_landmarks),
        frames=frames,
        fps=reader.fps,
        size=reader.size,
        elapsed=time.monotonic() - begin,
        detections=tracker.detections,
        out=path,
        stopped=stopped,
        announced=reader.count,
        missing=0 if ended or stopped or reader.count is None else _missing(reader.count, frames),
    )


def _missing(announced: int, read: int) -> int:
    """Returns how many frames are missing, 0 where that may be an inexact announcement."""
    short = announced - read
    return short if short > max(_SMALLEST_ERROR, _USUAL_ERROR * announced) else 0
