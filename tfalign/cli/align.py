"""Finds faces and their landmarks in photographs, folders and clips, and draws them.

    tfalign align photo.jpg --out aligned
    tfalign align album/ --recursive --model runs/300w/model.keras --out aligned --pts
    tfalign align clip.mp4 --out aligned                   # tracked, filtered against jitter
    find /photos -name '*.jpg' | tfalign align --list - --workers 8 --no-overlay --out aligned
    tfalign align --camera 0 --headless --out aligned
    tfalign align photo.jpg --box 120 80 260 250 --json    # a box of your own; JSON on the terminal

OUT receives NAME_aligned.jpg for each photograph and NAME_aligned.mp4 for each clip; with --pts a
photograph's face is NAME.pts, several are NAME.1.pts, NAME.2.pts, … The numbers of photographs go
to landmarks.jsonl, a line for each as soon as it is done, which names its files, and at the end to
landmarks.csv; those of a clip to NAME_aligned.jsonl, a line for each frame, and .csv. Coordinates
are pixels of the upright picture, pixel centres at i + 0.5.

The same command with the same OUT continues where it was interrupted or killed; nothing is done
twice. No face is no error. What cannot be read is told, has a line with its error, and the exit
code is 2. What was left out stands in summary.json.

The model is a preset that ships with the package, a .keras file, or a .tflite file with the
metadata.json of its export beside it.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from tfalign.argument_help import HelpFormatter
from tfalign.cli.program import one_line
from tfalign.files import claimed, replacing, settled, write_json
from tfalign.inference import (
    MAX_PIXELS,
    VIDEO_SUFFIXES,
    Aligner,
    Faces,
    Tracker,
    align_video,
    draw_faces,
    write_image,
)
from tfalign.inference.detectors import DETECTORS
from tfalign.inference.jobs import (
    RowFile,
    find_inputs,
    listed_paths,
    picture_row,
    read_rows,
    row_key,
    row_source,
    write_parquet,
)
from tfalign.inference.names import Names, shown

_CHUNK = 8  # photographs that one worker gets at a time
_RESULTS = "landmarks.jsonl"


def options(prog: str = "tfalign align") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="IMAGE|VIDEO|DIR|PATTERN",
        help="Photographs, clips, folders of them, or patterns such as 'album/*.jpg'.",
    )
    parser.add_argument(
        "--list", metavar="FILE", help="Read further inputs from a file, one a line; - is stdin."
    )
    parser.add_argument("--recursive", action="store_true", help="Enter the folders in folders.")
    parser.add_argument(
        "--out", type=Path, default=Path("aligned"), metavar="DIR", help="The results' folder."
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace the results of another run in OUT instead of refusing.",
    )
    parser.add_argument(
        "--model",
        default="300w",
        metavar="MODEL.keras|FILE.tflite|PRESET",
        help="The model that finds the landmarks.",
    )
    parser.add_argument(
        "--detector",
        default="auto",
        metavar="NAME|FILE.onnx",
        help=f"What finds the faces: {', '.join(DETECTORS)}, or the file of a YuNet model; auto "
        "takes BlazeFace where its extra is installed.",
    )
    parser.add_argument(
        "--smallest",
        type=float,
        metavar="SHARE",
        help="The smallest face to look for, as a share of the shorter side (default: the "
        "detector's; smaller faces take longer).",
    )
    parser.add_argument(
        "--rotations",
        action="store_true",
        help="Search each photograph in its four quarter turns.",
    )
    parser.add_argument(
        "--box",
        type=float,
        nargs=4,
        action="append",
        metavar=("X0", "Y0", "X1", "Y1"),
        help="The tight landmark box of a face in every photograph, instead of the detector; may "
        "be repeated.",
    )
    parser.add_argument(
        "--passes", type=int, default=2, metavar="N", help="How often crops are cut anew."
    )
    parser.add_argument(
        "--min-quality",
        type=float,
        metavar="SHARE",
        help="Detections of less quality are taken for no face, and a face that is followed "
        "through a clip is lost (default: 0.02 for BlazeFace, 0.2 for others, 0.5 in clips; the "
        "quality of a coarser model is lower).",
    )
    parser.add_argument("--pts", action="store_true", help="Also write a .pts file for each face.")
    parser.add_argument(
        "--crops", action="store_true", help="Also write each face's crop as NAME.crop1.png, …"
    )
    parser.add_argument(
        "--no-overlay", action="store_true", help="Write numbers only, no pictures."
    )
    parser.add_argument(
        "--parquet", action="store_true", help="Also write landmarks.parquet at the end."
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="Processes that share photographs."
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="CPU threads of a .tflite model and of BlazeFace, in each process.",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help=f"Larger pictures are refused before they are decoded (default: {MAX_PIXELS}).",
    )
    parser.add_argument("--quiet", action="store_true", help="Show no progress bar.")
    clips = parser.add_argument_group("clips")
    clips.add_argument(
        "--camera", type=int, metavar="N", help="Follow the faces before a camera until Ctrl-C."
    )
    clips.add_argument(
        "--headless", action="store_true", help="Open no window for the camera's picture."
    )
    clips.add_argument(
        "--detect-every",
        type=int,
        default=10,
        metavar="FRAMES",
        help="The number of frames from one detection to the next.",
    )
    clips.add_argument("--no-smooth", action="store_true", help="Leave the One-Euro filter out.")
    clips.add_argument("--max-frames", type=int, metavar="N", help="Read only the first N frames.")
    return parser


@dataclass(frozen=True)
class _Job:
    """What decides the results, the same in every process."""

    model: str
    detector: str
    smallest: float | None
    rotations: bool
    box: tuple[tuple[float, ...], ...] | None
    passes: int
    min_quality: float | None
    max_pixels: int
    threads: int
    overlay: bool
    pts: bool
    crops: bool
    out: str

    def aligner(self) -> Aligner:
        """Makes the aligner."""
        quality = {} if self.min_quality is None else {"min_quality": self.min_quality}
        return Aligner(
            self.model,
            detector=None if self.box else self.detector,
            passes=self.passes,
            max_pixels=self.max_pixels,
            smallest=self.smallest,
            rotations=self.rotations,
            threads=self.threads,
            **quality,  # type: ignore[arg-type]
        )


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Aligns everything; returns what was found as plain data, and what could not be read."""
    if arguments.workers < 1:
        raise ValueError(f"--workers must be positive. Received: {arguments.workers}")
    given = list(arguments.inputs)
    if arguments.list == "-":
        given += listed_paths(sys.stdin.buffer)
    elif arguments.list is not None:
        with Path(arguments.list).open("rb") as file:
            given += listed_paths(file)
    if not given and arguments.camera is None:
        raise ValueError(
            "Give an image, a clip, a folder, --list or --camera (tfalign align --help tells more)."
        )
    out: Path = arguments.out
    inputs = find_inputs(given, arguments.recursive, without=out) if given else None
    job = _Job(
        model=str(arguments.model),
        detector=arguments.detector,
        smallest=arguments.smallest,
        rotations=arguments.rotations,
        box=None if arguments.box is None else tuple(map(tuple, arguments.box)),
        passes=arguments.passes,
        min_quality=arguments.min_quality,
        max_pixels=arguments.max_pixels,
        threads=arguments.threads,
        overlay=not arguments.no_overlay,
        pts=arguments.pts,
        crops=arguments.crops,
        out=str(out),
    )
    aligner = job.aligner()  # a mistake in the options is told before anything is written
    settings = {key: value for key, value in asdict(job).items() if key not in ("out", "threads")}
    with claimed(out) as free:
        if not free:
            raise ValueError(f"Another run is writing to this folder. Received: out={str(out)!r}")
        if arguments.overwrite:
            for name in (_RESULTS, "settings.json"):
                (out / name).unlink(missing_ok=True)
        elif (out / "landmarks.json").exists() and not (out / _RESULTS).exists():
            raise ValueError(
                "The folder holds results of an older version: give another, or --overwrite. "
                f"Received: out={str(out)!r}"
            )
        with settled(out, settings), RowFile(out / _RESULTS) as rows:
            return _work(arguments, job, aligner, inputs, rows)


def _work(
    arguments: argparse.Namespace, job: _Job, aligner: Aligner, inputs: Any, rows: RowFile
) -> dict[str, Any]:
    out: Path = arguments.out
    names = Names(rows.names)
    paths = [] if inputs is None else inputs.paths
    waiting = [path for path in paths if row_key(path) not in rows.done]
    if already := len(paths) - len(waiting):
        _say(f"{already} of {len(paths)} inputs are done already")
    named = [(path, names.give(path)) for path in waiting]
    clips = [pair for pair in named if pair[0].suffix.lower() in VIDEO_SUFFIXES]
    photographs = [pair for pair in named if pair[0].suffix.lower() not in VIDEO_SUFFIXES]
    faces = found = 0
    errors: list[str] = []
    result: dict[str, Any] = {"out": str(out), "errors": errors, "clips": []}
    try:
        with tqdm(
            total=len(photographs),
            unit="image",
            disable=arguments.quiet or len(photographs) < 2,
        ) as bar:
            for row in _rows(job, aligner, photographs, arguments.workers):
                rows.add(row)
                bar.update()
                faces += len(row["faces"])
                found += bool(row["faces"])
                if row["error"] is not None:
                    errors.append(row["error"])
                else:
                    tqdm.write(_told(row), file=sys.stdout)
        for path, name in clips:
            try:
                clip = _align_clip(path, name, aligner, arguments, errors)
                rows.add(_clip_row(path, name, None))
                result["clips"].append(clip)
            except (ValueError, OSError) as error:
                errors.append(one_line(error))
                rows.add(_clip_row(path, name, one_line(error)))
        if arguments.camera is not None:
            name = names.give(f"camera{arguments.camera}")
            result["clips"].append(_align_clip(arguments.camera, name, aligner, arguments, errors))
    finally:
        # After Ctrl-C, too: the lines written so far as a table.
        if rows.done:
            _write_csv(rows.path, out / "landmarks.csv", aligner.num_landmarks)
            if arguments.parquet:
                write_parquet(rows.path, out / "landmarks.parquet")
        left_out = [] if inputs is None else inputs.left_out
        summary = {
            "inputs": len(paths),
            "done_before": already,
            "photographs": len(photographs),
            "with_a_face": found,
            "faces": faces,
            "clips": len(clips),
            "errors": errors,
            "left_out": [{"path": shown(path), "reason": why} for path, why in left_out],
        }
        write_json(out / "summary.json", summary)
        if left_out:
            first = "; ".join(f"{shown(path)} ({why})" for path, why in left_out[:5])
            more = "" if len(left_out) <= 5 else f" … all in {out / 'summary.json'}"
            print(f"left out: {len(left_out)} entries: {first}{more}", file=sys.stderr)
        if photographs and not found and not job.rotations and not job.box:
            print(
                "no face found: --rotations also tries pictures that lie on their side, "
                "--smallest looks for smaller faces",
                file=sys.stderr,
            )
    result |= {"summary": summary}
    if arguments.json:
        wanted = {row_key(path) for path in paths}
        result["photographs"] = [
            row
            for row in read_rows(rows.path)
            if "faces" in row and "clip" not in row and row_key(row_source(row)) in wanted
        ]
    return result


def _rows(
    job: _Job, aligner: Aligner, named: Sequence[tuple[Path, str]], workers: int
) -> Iterator[dict[str, Any]]:
    """Yields a row for each photograph, in the order in which they are done."""
    if workers == 1 or len(named) <= _CHUNK:
        yield from _align(job, aligner, named)
        return
    chunks = (named[start : start + _CHUNK] for start in range(0, len(named), _CHUNK))
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (job,)) as pool:
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
                "A worker process was ended from outside, perhaps for want of memory. What was "
                "finished is kept: repeat the command to continue, with fewer --workers."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_worker: tuple[_Job, Aligner] | None = None


def _start_worker(job: _Job) -> None:
    global _worker
    # A parent that is killed cannot end its workers, which would wait for ever.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)  # the processes share the cores already
    _worker = (job, job.aligner())


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _align_chunk(named: Sequence[tuple[Path, str]]) -> list[dict[str, Any]]:
    assert _worker is not None
    return list(_align(*_worker, named))


def _align(
    job: _Job, aligner: Aligner, named: Sequence[tuple[Path, str]]
) -> Iterator[dict[str, Any]]:
    """Aligns photographs, a few at a time, and writes their files."""
    read: deque[tuple[Path, str, np.ndarray | str]] = deque()

    def images() -> Iterator[Any]:
        for path, name in named:
            try:
                image: Any = aligner.read(path)
            except (ValueError, OSError) as error:
                image = one_line(error)
            read.append((path, name, image))
            yield np.zeros((1, 1, 3), np.uint8) if isinstance(image, str) else image

    def boxes() -> Iterator[Any]:
        for _ in named:  # no detector is asked about what could not be read
            yield np.zeros((0, 4)) if isinstance(read[-1][2], str) else job.box

    stream = aligner.align_stream(images(), boxes(), on_error="skip")
    for faces in stream:
        path, name, image = read.popleft()
        if isinstance(image, str):
            failed = Faces([], [None], aligner.num_landmarks, errors=[image])
            yield picture_row(failed, path)
            continue
        if faces.errors[0] is not None:
            yield picture_row(faces, path)
            continue
        files: dict[str, Any] = {"name": name}
        try:
            _write_files(job, aligner, name, image, faces, files)
        except ValueError as error:  # too large for JPEG: the numbers are kept
            faces = Faces(
                list(faces), [None], aligner.num_landmarks, faces.first, faces.left_out,
                [one_line(error)],
            )  # fmt: skip
        yield picture_row(faces, path, files)


def _write_files(
    job: _Job, aligner: Aligner, name: str, image: Any, faces: Faces, files: dict[str, Any]
) -> None:
    out = Path(job.out)
    if job.pts:
        several = len(faces) > 1
        files["pts"] = [
            face.write_pts(out / f"{name}{f'.{k}' if several else ''}.pts").name
            for k, face in enumerate(faces, 1)
        ]
    if job.crops and len(faces):
        boxes = np.stack([face.landmark_box for face in faces])
        crops = aligner.predictor.crops([image] * len(faces), boxes)
        files["crops"] = [
            write_image(out / f"{name}.crop{k}.png", crop).name for k, crop in enumerate(crops, 1)
        ]
    if job.overlay:
        files["overlay"] = write_image(out / f"{name}_aligned.jpg", draw_faces(image, faces)).name


def _told(row: dict[str, Any]) -> str:
    faces = len(row["faces"])
    counted = {0: "no face found", 1: "1 face"}.get(faces, f"{faces} faces")
    return f"{row['source']}: {counted}{_left_out(row['left_out'])}"


def _clip_row(path: Path, name: str, error: str | None) -> dict[str, Any]:
    empty = Faces([], [None], 0, errors=[error])
    return {**picture_row(empty, path, {"name": name}), "clip": error is None}


def _write_csv(rows: Path, out: Path, num_landmarks: int) -> None:
    """Writes the faces of a file of rows as a table, a row at a time."""
    boxes = ("box_x0", "box_y0", "box_x1", "box_y1")
    points = [f"{axis}{index}" for index in range(num_landmarks) for axis in "xy"]
    with replacing(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "face", "quality", "expected_nme", *boxes, *points])
        for row in read_rows(rows):
            for index, face in enumerate(row["faces"]):
                flat = [value for point in face["landmarks"] for value in point]
                figures = [face["quality"], face["expected_nme"], *face["box"], *flat]
                writer.writerow([row["source"], index, *figures])


def _align_clip(
    source: Path | int,
    name: str,
    aligner: Aligner,
    arguments: argparse.Namespace,
    errors: list[str],
) -> dict[str, Any]:
    """Aligns a clip or a camera's; the lines of the frames are written as they come."""
    out: Path = arguments.out
    quality = {} if arguments.min_quality is None else {"min_quality": arguments.min_quality}
    tracker = Tracker(
        aligner,
        detect_every=arguments.detect_every,
        smooth=not arguments.no_smooth,
        **quality,
    )
    label = f"camera {source}" if isinstance(source, int) else shown(source)
    shows = isinstance(source, int) and not arguments.headless
    tracks: set[int | None] = set()
    count = 0
    with (out / f"{name}_aligned.jsonl").open("w", encoding="ascii") as lines:

        def keep(index: int, image: Any, faces: Faces) -> bool | None:
            nonlocal count
            tracks.update(face.track for face in faces)
            count += len(faces)
            seconds = tracker.seconds
            plain = [face.to_dict() for face in faces]
            for face in plain:
                del face["stages"], face["image"], face["source"], face["seconds"]
            row = {"source": label, "frame": index, "seconds": seconds, "faces": plain}
            lines.write(json.dumps(row, allow_nan=False) + "\n")
            lines.flush()
            return _show(draw_faces(image, faces)) if shows else None

        result = align_video(
            source,
            tracker,
            out=None if arguments.no_overlay else out / f"{name}_aligned.mp4",
            max_frames=arguments.max_frames,
            progress=not arguments.quiet,
            on_frame=keep,
            keep_faces=False,
        )
    _write_clip_csv(out / f"{name}_aligned.jsonl", out / f"{name}_aligned.csv", aligner)
    for problem in result.problems:
        errors.append(f"{label}: {problem}")
    _say(
        f"{label}: {result.frames} frames, {len(tracks)} faces tracked{_left_out(tracker.left_out)}"
    )
    return {
        "source": label,
        "frames": result.frames,
        "fps": result.fps,
        "faces": count,
        "tracks": len(tracks),
        "problems": list(result.problems),
        "files": sorted(path.name for path in out.glob(f"{name}_aligned.*")),
    }


def _write_clip_csv(rows: Path, out: Path, aligner: Aligner) -> None:
    points = [f"{axis}{index}" for index in range(aligner.num_landmarks) for axis in "xy"]
    with replacing(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "seconds", "track", "quality", "expected_nme", *points])
        for row in read_rows(rows):
            for face in row["faces"]:
                flat = [value for point in face["landmarks"] for value in point]
                figures = [face["track"], face["quality"], face["expected_nme"], *flat]
                writer.writerow([row["frame"], row["seconds"], *figures])


def _show(picture: np.ndarray) -> bool:
    """Shows a frame; returns False, which ends the film, once a key is pressed."""
    try:
        cv2.imshow("tfalign", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) < 0
    except cv2.error as error:
        raise ValueError(
            "This OpenCV opens no window: pip install opencv-python in the place of "
            "opencv-python-headless, or give --headless."
        ) from error


def _say(text: str) -> None:
    print(text, file=sys.stdout)


def _left_out(detections: int) -> str:
    if not detections:
        return ""
    plural = "" if detections == 1 else "s"
    return f"; {detections} detection{plural} left out for low quality (--min-quality)"
