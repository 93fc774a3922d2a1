import re
import struct

import cv2
import numpy as np
import pytest
from inference.eyes import picture, shape_in_box

from tfalign.inference import VideoReader, VideoWriter, align_video
from tfalign.inference import video as video_module

pytest.importorskip("av")

START = np.array([[20.0, 30, 80, 90]])
SHAPE = (120, 160)


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.mp4"
    with VideoWriter(path, 25.0, SHAPE[::-1]) as writer:
        for number in range(8):
            writer.write(picture(SHAPE, START + 2 * number))
    return path


def motion_jpeg(path, frames):
    """A film by another program, each frame a picture of its own; broken below by its bytes."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, SHAPE[::-1])
    assert writer.isOpened()
    for number in range(frames):
        writer.write(picture(SHAPE, START + number))
    writer.release()
    return path


@pytest.fixture
def finding(aligner):
    aligner.detector = lambda image: START.astype(np.float32)
    return aligner


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_written_films_are_read_back(tmp_path, suffix):
    frames = [np.full((64, 96, 3), (40 * k, 100, 200 - 40 * k), np.uint8) for k in range(5)]
    path = tmp_path / f"film%03d{suffix}"
    with VideoWriter(path, 10.0, (96, 64)) as writer:
        assert not path.exists()
        for frame in frames:
            writer.write(frame)
        with pytest.raises(ValueError, match="must have"):
            writer.write(frames[0][:32])
    with VideoReader(path) as reader:
        assert reader.size == (96, 64)
        assert reader.fps == pytest.approx(10.0)
        read = list(reader)
    assert [number for number, _, _ in read] == list(range(5))
    assert read[3][1] == pytest.approx(0.3)
    for (_, _, frame), expected in zip(read, frames, strict=True):
        assert np.abs(frame.astype(int) - expected).mean() < 6
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_every_frame_is_aligned_and_drawn(finding, film, tmp_path):
    seen = []
    result = align_video(
        film, finding, tmp_path / "out.mp4", progress=False,
        on_frame=lambda number, frame, faces: seen.append((number, frame.shape, len(faces))),
    )  # fmt: skip
    assert (result.frames, result.size, result.stopped, result.detections) == (
        8,
        (160, 120),
        False,
        1,
    )
    assert [face.image for face in result.faces] == list(range(8))
    assert {face.track for face in result.faces} == {0}
    assert set(result.faces.sources) == {str(film)}
    assert seen == [(k, (120, 160, 3), 1) for k in range(8)]
    for number, face in enumerate(result.faces):
        expected = shape_in_box(START[0] + 2 * number)
        np.testing.assert_allclose(face.stages[-1], expected, atol=1.5)
    assert len(result.faces.to_frame()) == 8
    with VideoReader(film) as plain, VideoReader(result.out) as drawn:
        pairs = list(zip(plain, drawn, strict=True))
    # The pictures are grey, what is drawn is not.
    for (_, _, before), (_, _, after) in pairs:
        assert (
            np.ptp(before.astype(int), axis=2).max() < 40 < np.ptp(after.astype(int), axis=2).max()
        )


def test_ends(finding, film):
    assert align_video(film, finding, max_frames=3, progress=False).frames == 3
    stopped = align_video(film, finding, progress=False, on_frame=lambda number, *_: number < 1)
    assert stopped.frames == 2
    with pytest.raises(ValueError, match="max_frames=0"):
        align_video(film, finding, max_frames=0)


def test_films_that_are_cut_off_are_told(finding, film, tmp_path):
    whole = align_video(film, finding, progress=False)
    assert (whole.frames, whole.announced, whole.problems) == (8, 8, ())
    cut = tmp_path / "cut.avi"
    # The header announces 8 frames; the pictures of the last ones are gone.
    content = motion_jpeg(tmp_path / "whole.avi", 8).read_bytes()
    chunks = [found.start() for found in re.finditer(b"00dc", content)]
    cut.write_bytes(content[: chunks[4]])
    short = align_video(cut, finding, tmp_path / "out.mp4", progress=False)
    assert short.frames in (3, 4)
    assert short.announced == 8
    assert short.problems == (
        f"damaged or cut off: {short.frames} of 8 announced frames could be read",
    )
    assert short.out.is_file()
    # Who stops early has not met the end.
    for early in ({"max_frames": 1}, {"on_frame": lambda number, *_: False}):
        stopped = align_video(film, finding, progress=False, **early)
        assert (stopped.frames, stopped.announced, stopped.problems) == (1, 8, ())


@pytest.mark.parametrize(
    ("announced", "read", "missing"),
    # Inexact announcements of a few frames, of one in ten; then what is neither.
    [(None, 5, 0), (8, 8, 0), (8, 9, 0), (8, 6, 0), (1000, 900, 0), (8, 5, 3), (1000, 899, 101)],
)
def test_announced_frames_are_counted_generously(
    finding, film, tmp_path, monkeypatch, announced, read, missing
):
    class Other(VideoReader):
        def __init__(self, source, max_pixels):
            super().__init__(film, max_pixels)
            self.count = announced

        def __iter__(self):
            blank = np.full((*SHAPE, 3), 90, np.uint8)
            return ((number, number / 25, blank) for number in range(read))

    finding.detector = lambda image: np.zeros((0, 4))
    monkeypatch.setattr(video_module, "VideoReader", Other)
    result = align_video(film, finding, progress=False)
    assert (result.frames, result.announced) == (read, announced)
    told = [f"damaged or cut off: {read} of {announced} announced frames could be read"]
    assert list(result.problems) == (told if missing else [])


def test_without_a_face(aligner, film, tmp_path):
    result = align_video(film, aligner, tmp_path / "out.mp4", progress=False)
    assert len(result.faces) == 0
    assert result.faces.images == 8
    assert result.detections == 8


def interrupt(number, frame, faces):
    if number == 2:
        raise KeyboardInterrupt


def test_interrupted_films_leave_nothing(finding, film, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        align_video(film, finding, tmp_path / "out.mp4", progress=False, on_frame=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == [film.name]


def test_two_films_written_at_a_time_in_one_folder(tmp_path):
    shades = {"dark": 20, "light": 230}
    writers = {name: VideoWriter(tmp_path / f"{name}.mp4", 25.0, (64, 48)) for name in shades}
    for _ in range(5):
        for name, shade in shades.items():
            writers[name].write(np.full((48, 64, 3), shade, np.uint8))
    for writer in writers.values():
        writer.close()
    for name, shade in shades.items():
        with VideoReader(tmp_path / f"{name}.mp4") as film:
            seen = [int(frame.mean()) for _, _, frame in film]
        assert np.abs(np.array(seen) - shade).max() < 5
        assert len(seen) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dark.mp4", "light.mp4"]


def test_interrupting_a_camera_ends_it(finding, film, tmp_path, monkeypatch):
    class Camera(VideoReader):
        def __init__(self, source, max_pixels):
            super().__init__(film, max_pixels)

    monkeypatch.setattr(video_module, "VideoReader", Camera)
    result = align_video(0, finding, tmp_path / "out.mp4", progress=False, on_frame=interrupt)
    assert result.stopped
    assert result.frames == 3
    assert result.out.is_file()
    seconds = [face.seconds for face in result.faces]
    assert seconds == sorted(set(seconds))


def test_what_is_no_film(finding, tmp_path):
    with pytest.raises(FileNotFoundError):
        align_video(tmp_path / "none.mp4", finding)
    with pytest.raises(ValueError, match="regular file"):
        align_video(tmp_path, finding)
    for content in (b"", b"no film at all"):
        (tmp_path / "text.mp4").write_bytes(content)
        with pytest.raises(ValueError, match=r"text\.mp4"):
            align_video(tmp_path / "text.mp4", finding)
    with pytest.raises(ValueError, match="camera"):
        VideoReader(97)


def test_too_large(finding, film):
    finding.max_pixels = 1000
    with pytest.raises(ValueError, match=r"film\.mp4 .* between 1 and 1000 pixels"):
        align_video(film, finding)


def test_where_a_film_cannot_be_written(finding, film, tmp_path):
    with pytest.raises(ValueError, match=r"\.gif"):
        align_video(film, finding, tmp_path / "out.gif")
    with pytest.raises(OSError, match="none"):
        align_video(film, finding, tmp_path / "none" / "out.mp4")


def test_one_bad_frame_is_skipped_and_told(finding, tmp_path):
    path = motion_jpeg(tmp_path / "film.avi", 20)
    content = bytearray(path.read_bytes())
    chunks = [found.start() for found in re.finditer(b"00dc", bytes(content))][:20]
    content[chunks[12] + 8 : chunks[13]] = bytes(chunks[13] - chunks[12] - 8)
    path.write_bytes(content)
    result = align_video(path, finding, progress=False)
    assert result.frames == 19
    # The first of the marks stands in the header: it is the twelfth frame that is bad.
    assert result.problems == ("1 frame after 0.40 s cannot be decoded",)
    times = [face.seconds for face in result.faces]
    assert times[10:12] == pytest.approx([0.40, 0.48])  # the gap stays a gap


def test_a_variable_rate_is_kept(finding, tmp_path):
    times = [*(k / 30 for k in range(6)), 1.0, 1.1, 1.2]
    path = tmp_path / "vfr.mp4"
    with VideoWriter(path, 30.0, SHAPE[::-1]) as writer:
        for number, seconds in enumerate(times):
            writer.write(picture(SHAPE, START + number), seconds)
    result = align_video(path, finding, tmp_path / "out.webm", progress=False)
    assert [face.seconds for face in result.faces] == pytest.approx(times, abs=2e-4)
    with VideoReader(result.out) as reader:
        assert [seconds for _, seconds, _ in reader] == pytest.approx(times, abs=2e-3)


@pytest.mark.parametrize("size", [(97, 64), (96, 63)])
def test_odd_sizes_are_written(tmp_path, size):
    with VideoWriter(tmp_path / "odd.mp4", 25, size) as writer:
        writer.write(np.full((size[1], size[0], 3), 90, np.uint8))
    with VideoReader(tmp_path / "odd.mp4") as reader:
        assert reader.size == (size[0] + size[0] % 2, size[1] + size[1] % 2)


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((0, 1, -1, 0), lambda stored: np.rot90(stored, -1)),
        ((0, -1, 1, 0), np.rot90),
        ((-1, 0, 0, -1), lambda stored: np.rot90(stored, 2)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda stored: stored.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda stored: np.rot90(stored, 2).swapaxes(0, 1)),
    ],
)
def test_films_on_their_side_or_mirrored_are_turned_upright(film, matrix, shown):
    """The matrix in the track's header, as a telephone writes it."""
    content = bytearray(film.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    with VideoReader(film) as reader:
        stored = next(iter(reader))[2]
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    film.write_bytes(content)
    expected = shown(stored)
    with VideoReader(film) as reader:
        assert reader.size == expected.shape[1::-1]
        np.testing.assert_array_equal(next(iter(reader))[2], expected)


def test_memory_does_not_hold_the_faces(finding, film):
    seen = []
    result = align_video(
        film, finding, progress=False, keep_faces=False,
        on_frame=lambda number, frame, faces: seen.append(len(faces)),
    )  # fmt: skip
    assert len(result.faces) == 0
    assert seen == [1] * 8


def test_sound_alone_is_one_clear_error(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r"must have a picture stream.*sound\.mp4"):
        VideoReader(path)


@pytest.mark.parametrize(
    ("name", "frames", "problem"),
    [
        ("vfr.mp4", 40, None),
        ("one_bad_frame_91_of_100.avi", 99, "1 frame after 3.56 s"),
        ("corrupt_middle.mp4", 27, "3 frames after"),
    ],
)
def test_reported_films(cases, name, frames, problem):
    with VideoReader(cases / name) as reader:
        times = [seconds for _, seconds, _ in reader]
        assert len(times) == frames
        if name == "vfr.mp4":
            assert times[19] == pytest.approx(0.627, abs=1e-3)
    assert [text.startswith(problem or "-") for text in reader.problems] == [True] * bool(problem)
