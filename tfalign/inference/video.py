"""Reading and writing films with PyAV, and aligning every frame of one."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tfalign.data.readers.image import MAX_PIXELS, check_pixels
from tfalign.extras import how_to_install
from tfalign.inference.aligner import Aligner
from tfalign.inference.faces import Faces
from tfalign.inference.overlay import draw_faces
from tfalign.inference.tracker import Tracker

Image = NDArray[np.uint8]
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm", ".mts", ".m2ts", ".mpg", ".mpeg"),
    *(".wmv", ".flv", ".ogv"),
)
"""How the names of clips end, in small letters."""

# Codecs that browsers play, the first that PyAV was built with.
_CODECS = {
    ".mp4": ("libx264", "libvpx-vp9"),
    ".mkv": ("libx264", "libvpx-vp9"),
    ".webm": ("libvpx-vp9",),
}
_USUAL_FPS = 25.0
_USUAL_ERROR = 0.1
_SMALLEST_ERROR = 2
_WRITERS = itertools.count()  # of this process: two at a time may write to one folder
_TICKS = 90_000  # a second in the time base of what is written, as MPEG streams have it


class VideoReader:
    """The frames of a film or a camera, one after the other.

    Args:
        source: Path of a file, or the number of a camera.
        max_pixels: Larger frames are refused.

    Attributes:
        fps: Frames per second, on average; 25 where the source does not say.
        size: (width, height) of a frame in pixels, turned upright.
        count: Number of frames that the file announces, None for a camera or where it is silent.
        problems: What was found wrong while frames were read, one line for each gap.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If PyAV is not installed (a camera needs it not).
        ValueError: If it is no film, has no picture stream, no camera answers, or its frames are
            too large.
    """

    def __init__(self, source: str | os.PathLike[str] | int, max_pixels: int = MAX_PIXELS) -> None:
        self.source = source
        self.problems: list[str] = []
        self._container: Any = None
        self._camera: cv2.VideoCapture | None = None
        if isinstance(source, int):
            self._open_camera(source)
        else:
            self._open_file(Path(source))
        try:
            check_pixels(*self.size, max_pixels)
        except ValueError as error:
            self.close()
            raise ValueError(f"{source} cannot be used as a video: {error}") from error

    def _open_camera(self, number: int) -> None:
        self._camera = cv2.VideoCapture(number)
        if not self._camera.isOpened():
            raise ValueError(f"No camera of that number answers. Received: {number}")
        width, height, fps = (
            self._camera.get(which)
            for which in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
        )
        self.size, self.count = (int(width), int(height)), None
        self.fps = float(fps) if 0 < fps <= 1000 else _USUAL_FPS

    def _open_file(self, path: Path) -> None:
        av = _av()
        if not path.exists():
            raise FileNotFoundError(f"A video file must exist. Received: {str(path)!r}")
        if not path.is_file():
            raise ValueError(f"A video must be a regular file. Received: {str(path)!r}")
        try:
            # As bytes, a name need not be UTF-8; opened here, it is no pattern or address either.
            self._file = path.open("rb")
            self._container = av.open(self._file)
        except (av.FFmpegError, OSError) as error:
            self._file.close()
            raise ValueError(
                f"A video must be a film that FFmpeg reads. Received: {str(path)!r} ({error})"
            ) from error
        streams = self._container.streams.video
        if not streams:
            self.close()
            raise ValueError(f"A video must have a picture stream. Received: {str(path)!r}")
        self._stream = streams[0]
        self._stream.thread_type = "SLICE"  # a decoder of whole frames in threads hides bad ones
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate <= 1000 else _USUAL_FPS
        self.count = self._stream.frames or None
        width, height = self._stream.width, self._stream.height
        self.size = (int(width), int(height))
        # Whether frames lie on their side stands in the first of them.
        self._ahead = self._decoded()
        self._first = next(self._ahead, None)
        if self._first is not None and _orientation(self._first)[0]:
            self.size = (int(height), int(width))

    def __iter__(self) -> Iterator[tuple[int, float, Image]]:
        """Yields (number, seconds, frame (H, W, 3) uint8 RGB, upright).

        A film's times are the file's, from its first frame; a camera's are the clock's.
        """
        last = -1.0
        for number, (seconds, frame) in enumerate(
            self._camera_frames() if self._camera is not None else self._file_frames()
        ):
            # Damaged files repeat times, and two frames of a camera may come within the clock's
            # resolution.
            last = max(seconds, last + 1e-4)
            yield number, last, frame

    def _camera_frames(self) -> Iterator[tuple[float, Image]]:
        assert self._camera is not None
        begin = time.monotonic()
        while True:
            good, frame = self._camera.read()
            if not good:
                return
            yield time.monotonic() - begin, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def _file_frames(self) -> Iterator[tuple[float, Image]]:
        start: float | None = None
        seconds = -1 / self.fps
        while self._first is not None:
            frame, self._first = self._first, None
            # Where the file gives a frame no time, it follows its neighbour.
            seconds = seconds + 1 / self.fps if frame.time is None else float(frame.time)
            start = seconds if start is None else start
            on_side, across, down = _orientation(frame)
            pixels = frame.to_ndarray(format="rgb24")
            pixels = pixels.transpose(1, 0, 2) if on_side else pixels
            yield seconds - start, np.ascontiguousarray(pixels[::down, ::across])
            self._first = next(self._ahead, None)

    def _decoded(self) -> Iterator[Any]:
        """Yields frames; what cannot be decoded is skipped and told."""
        av = _av()
        bad = 0
        where = last = 0.0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                frames = packet.decode()
            except av.FFmpegError:
                where = last if not bad else where
                bad += 1
                if bad > 10_000:  # a file that goes on failing without an end
                    break
                continue
            for frame in frames:
                if bad:
                    self._tell_gap(bad, where)
                    bad = 0
                last = last if frame.time is None else float(frame.time)
                yield frame
        if bad:
            self._tell_gap(bad, where)

    def _tell_gap(self, bad: int, where: float) -> None:
        plural = "s" if bad > 1 else ""
        self.problems.append(f"{bad} frame{plural} after {where:.2f} s cannot be decoded")

    def close(self) -> None:
        """Closes the file or the camera."""
        if self._camera is not None:
            self._camera.release()
        if self._container is not None:
            self._container.close()
            self._file.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class VideoWriter:
    """Writes frames to a film that appears under its name when it is whole.

    The film is H.264 or VP9, as browsers play it; every frame keeps its time. A side of an odd
    number of pixels, which these codecs do not have, is made one longer by repeating its last.

    As a context manager: leaving it normally finishes the film, leaving it by an exception removes
    what was written.

    Args:
        path: Ends in .mp4, .mkv or .webm.
        fps: Frames per second, on average.
        size: (width, height) in pixels.

    Raises:
        ImportError: If PyAV is not installed.
        ValueError: If the suffix is another, or PyAV was built without such a codec.
        OSError: If the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float, size: tuple[int, int]) -> None:
        av = _av()
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in _CODECS:
            raise ValueError(
                f"A film's name must end in one of {', '.join(_CODECS)}. Received: "
                f"{str(self.path)!r}"
            )
        codec = next((c for c in _CODECS[suffix] if c in av.codec.codecs_available), None)
        if codec is None:
            raise ValueError(f"This PyAV writes none of the codecs {_CODECS[suffix]}.")
        self.size = size
        self._odd = (size[0] % 2, size[1] % 2)
        self._temporary = self.path.with_name(f".{os.getpid()}-{next(_WRITERS)}.partial{suffix}")
        self._file = self._temporary.open("wb")
        container_format = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm"}[suffix]
        self._container = av.open(self._file, "w", format=container_format)
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = self._container.add_stream(codec, rate=rate)
        self._stream.width = size[0] + self._odd[0]
        self._stream.height = size[1] + self._odd[1]
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._frames = 0
        self._step = 1 / fps

    def write(self, frame: Image, seconds: float | None = None) -> None:
        """Adds a frame (H, W, 3) uint8 RGB.

        Args:
            frame: The frame.
            seconds: Its time, later than the last one's; None for one that follows the rate.

        Raises:
            ValueError: If it has another size.
        """
        if frame.shape[1::-1] != self.size:
            raise ValueError(
                f"A frame must have {self.size} pixels. Received: {frame.shape[1::-1]}"
            )
        if any(self._odd):
            frame = np.pad(frame, [(0, self._odd[1]), (0, self._odd[0]), (0, 0)], mode="edge")
        picture = _av().VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        at = self._frames * self._step if seconds is None else seconds
        picture.pts, picture.time_base = round(at * _TICKS), Fraction(1, _TICKS)
        self._frames += 1
        self._container.mux(self._stream.encode(picture))

    def close(self, keep: bool = True) -> None:
        """Finishes the film, or (``keep=False``) removes it."""
        if keep:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        self._file.close()
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


def _orientation(frame: Any) -> tuple[bool, int, int]:
    """Returns how a frame becomes upright, turned and mirrored as FFmpeg's autorotate does it.

    Returns:
        Whether rows and columns change places, and then the steps (1 or -1) across and down.
    """
    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return False, 1, 1
    # Of the matrix (3, 3) in fixed point, a row vector (x, y, 1) times which is where it is shown.
    (a, b, _), (c, d, _), _ = np.frombuffer(bytes(found), np.int32).reshape(3, 3).tolist()
    on_side = abs(b) + abs(c) > abs(a) + abs(d)  # to the nearest quarter turn
    across, down = (c, b) if on_side else (a, d)
    return on_side, -1 if across < 0 else 1, -1 if down < 0 else 1


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise ImportError(f"Films need PyAV. {how_to_install('media')}") from error
    av.logging.set_level(av.logging.PANIC)  # what matters is told as a problem
    return av


@dataclass(frozen=True, eq=False)
class VideoResult:
    """What was found in a film.

    Attributes:
        faces: All faces of all frames; ``face.image`` is the frame, ``face.track`` the person.
        frames: Number of frames that were read.
        announced: Number of frames that the file announces; None for a camera or where it is
            silent.
        problems: Frames that could not be read, one line for each gap.
        fps: The film's frames per second, on average.
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
    problems: tuple[str, ...] = ()


def align_video(
    source: str | os.PathLike[str] | int,
    aligner: Aligner | Tracker,
    out: str | os.PathLike[str] | None = None,
    max_frames: int | None = None,
    progress: bool = True,
    draw: bool = True,
    on_frame: Callable[[int, Image, Faces], Any] | None = None,
    keep_faces: bool = True,
) -> VideoResult:
    """Follows the faces through a film or before a camera.

    Args:
        source: Path of a film, or the number of a camera. A camera is read until ``max_frames``,
            ``on_frame`` or Ctrl-C ends it.
        aligner: A tracker, which is reset; or an aligner, which a ``Tracker`` is made of.
        out: Film (.mp4, .mkv or .webm) to write, frame times as in the source; its folder must
            exist.
        max_frames: Most frames to read; None for all.
        progress: Whether to show a progress bar.
        draw: Whether the film written shows the faces; False copies the frames.
        on_frame: Called with number, frame (RGB) and faces; returning False ends the film.
        keep_faces: Whether the result holds all faces; without, memory does not grow with the
            film, and ``on_frame`` is where they are seen.

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
                if keep_faces:
                    found += faces
                frames = number + 1
                if writer is not None:
                    writer.write(draw_faces(frame, faces) if draw else frame, seconds)
                bar.update()
                ended = on_frame is not None and on_frame(number, frame, faces) is False
                ended = ended or frames == max_frames
                if ended:
                    break
            whole = True
        except KeyboardInterrupt:
            if not isinstance(source, int):
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
        faces=Faces(found, [label] * (frames if keep_faces else 0), tracker.aligner.num_landmarks),
        frames=frames,
        fps=reader.fps,
        size=reader.size,
        elapsed=time.monotonic() - begin,
        detections=tracker.detections,
        out=path,
        stopped=stopped,
        announced=reader.count,
        problems=tuple(reader.problems + ([] if ended or stopped else _missing(reader, frames))),
    )


def _missing(reader: VideoReader, read: int) -> list[str]:
    """Tells of announced frames that are missing at the end, unless gaps explain them.

    Some containers announce their length times their rate, or that of a longer sound track.
    """
    short = 0 if reader.count is None or reader.problems else reader.count - read
    if reader.count is None or short <= max(_SMALLEST_ERROR, _USUAL_ERROR * reader.count):
        return []
    return [f"damaged or cut off: {read} of {reader.count} announced frames could be read"]
