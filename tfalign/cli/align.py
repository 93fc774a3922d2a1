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
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tfalign.argument_help import ArgumentParser
from tfalign.cli.align_clips import align_clip
from tfalign.cli.align_photographs import Named, PhotographJob
from tfalign.cli.aligner_options import add_aligner_options, aligner_keywords, aligner_settings
from tfalign.cli.program import one_line
from tfalign.files import claimed, settled, write_json
from tfalign.inference import VIDEO_SUFFIXES, Aligner, Faces, Names, Tracker, find_inputs
from tfalign.inference.jobs import (
    Inputs,
    RowFile,
    file_state,
    listed_paths,
    picture_row,
    read_rows,
    remove_files,
    row_key,
    row_source,
    write_csv,
    write_parquet,
)
from tfalign.inference.names import shown

_RESULTS = "landmarks.jsonl"
_TABLES = ("landmarks.csv", "landmarks.parquet")  # made of the results, anew after each run


def options(prog: str = "tfalign align") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = ArgumentParser(prog=prog, description=__doc__)
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
    add_aligner_options(parser)
    parser.add_argument(
        "--box",
        type=float,
        nargs=4,
        action="append",
        metavar=("X0", "Y0", "X1", "Y1"),
        help="The tight landmark box of a face in every photograph, instead of the detector; may "
        "be repeated.",
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


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Aligns everything; returns what was found as plain data, and what could not be read."""
    if arguments.workers < 1:
        raise ValueError(f"--workers must be positive. Received: {arguments.workers}")
    most = arguments.max_frames
    if arguments.detect_every < 1 or (most is not None and most < 1):
        raise ValueError(
            "--detect-every and --max-frames must be positive. Received: "
            f"{arguments.detect_every}, {most}"
        )
    out: Path = arguments.out
    inputs = _inputs(arguments)
    followed = [shown(path) for path in inputs.paths if path.suffix.lower() in VIDEO_SUFFIXES]
    if arguments.camera is not None:
        followed.append(f"camera {arguments.camera}")
    if arguments.box and followed:
        raise ValueError(
            "--box is for photographs, so name these alone: in clips and before a camera the "
            "detector starts a face. "
            f"Received: {', '.join(followed[:3])}{', …' if len(followed) > 3 else ''}"
        )
    job = PhotographJob(
        aligner=aligner_keywords(arguments),
        box=arguments.box,
        overlay=not arguments.no_overlay,
        pts=arguments.pts,
        crops=arguments.crops,
        out=out,
    )
    aligner = job.make_aligner()  # a mistake in the options is told before anything is written
    settings = aligner_settings(job.aligner, aligner) | {
        "box": job.box,
        "overlay": job.overlay,
        "pts": job.pts,
        "crops": job.crops,
        "clips": {
            "detect_every": arguments.detect_every,
            "smooth": not arguments.no_smooth,
            "max_frames": arguments.max_frames,
            # Given or not: clips have another default than photographs.
            "min_quality": arguments.min_quality,
        },
    }
    with claimed(out) as free:
        if not free:
            raise ValueError(f"Another run is writing to this folder. Received: out={str(out)!r}")
        if job.pts and (arguments.overwrite or not (out / _RESULTS).exists()):
            _keep_points(out, inputs)
        if arguments.overwrite:
            remove_files(out / _RESULTS)
            for name in ("settings.json", "summary.json", *_TABLES):
                (out / name).unlink(missing_ok=True)
        elif (out / "landmarks.json").exists() and not (out / _RESULTS).exists():
            raise ValueError(
                "The folder holds results of an older version: give another, or --overwrite. "
                f"Received: out={str(out)!r}"
            )
        remedy = " --overwrite replaces its results."
        with settled(out, settings, remedy=remedy), RowFile(out / _RESULTS) as rows:
            return _work(arguments, job, aligner, inputs, rows)


def _keep_points(out: Path, inputs: Inputs) -> None:
    """Refuses to replace points that somebody else has put into the folder, as annotations are.

    Raises:
        ValueError: If a file has the name that a photograph's points would get, and is none of
            those that the folder's results name.
    """
    ours: set[str] = set()
    # A line that is torn or damaged names no files.
    with contextlib.suppress(ValueError, FileNotFoundError):
        for row in read_rows(out / _RESULTS):
            ours.update(row.get("files", {}).get("pts", ()))
    names = Names()
    for name in map(names.give, inputs.paths):
        for file in (out / f"{name}.pts", out / f"{name}.1.pts"):
            if file.name not in ours and file.exists():
                raise ValueError(
                    f"--pts would replace points that no line of {_RESULTS} names: give another "
                    f"--out, or move them away. Received: {file}"
                )


def _inputs(arguments: argparse.Namespace) -> Inputs:
    given = list(arguments.inputs)
    if arguments.list == "-":
        given += listed_paths(sys.stdin.buffer)
    elif arguments.list is not None:
        with Path(arguments.list).open("rb") as file:
            given += listed_paths(file)
    if given:
        return find_inputs(given, arguments.recursive, without=arguments.out)
    if arguments.list is not None:
        raise ValueError(
            "--list must name an image, a clip or a folder, one a line. Received: no name in "
            f"{'standard input' if arguments.list == '-' else arguments.list}"
        )
    if arguments.camera is None:
        raise ValueError(
            "Give an image, a clip, a folder, --list or --camera (tfalign align --help tells more)."
        )
    return Inputs()


def _work(
    arguments: argparse.Namespace,
    job: PhotographJob,
    aligner: Aligner,
    inputs: Inputs,
    rows: RowFile,
) -> dict[str, Any]:
    """Does what is not done yet; ends with tables and a summary, also after Ctrl-C."""
    if changed := rows.retry(inputs.paths):
        print(f"{changed} of {len(inputs.paths)} inputs have changed and are done anew")
    names = Names(rows.names)
    waiting = [path for path in inputs.paths if row_key(path) not in rows.done]
    if already := len(inputs.paths) - len(waiting):
        print(f"{already} of {len(inputs.paths)} inputs are done already")
    named = [(path, names.give(path)) for path in waiting]
    clips = [pair for pair in named if pair[0].suffix.lower() in VIDEO_SUFFIXES]
    photographs = [pair for pair in named if pair[0].suffix.lower() not in VIDEO_SUFFIXES]
    summary: dict[str, Any] = {}
    seen: list[int] = []  # the number of faces in each photograph that this run could read
    found: list[dict[str, Any]] = []
    try:
        _align_photographs(arguments, job, aligner, photographs, rows, seen)
        for path, name in clips:
            found += _align_clip(arguments, aligner, path, name, rows)
        if arguments.camera is not None:
            # A camera has no row: what it has shown before is known by its files alone.
            shot = [path.stem for path in job.out.glob("*_aligned.jsonl")]
            names = Names([*rows.names, *(stem.removesuffix("_aligned") for stem in shot)])
            name = names.give(f"camera{arguments.camera}")
            found += _align_clip(arguments, aligner, arguments.camera, name, rows)
    finally:
        if rows.done:
            write_csv(rows.path, job.out / "landmarks.csv", aligner.num_landmarks)
            # One that lies there would lack what has been added.
            if arguments.parquet or (job.out / "landmarks.parquet").exists():
                write_parquet(rows.path, job.out / "landmarks.parquet")
        summary |= {
            "inputs": len(inputs.paths),
            "done_before": already,
            "left_out": [{"path": shown(path), "reason": why} for path, why in inputs.left_out],
            **rows.counts,
            "errors": rows.errors,
        }
        write_json(job.out / "summary.json", summary)
        if rows.done and not arguments.quiet:
            print(f"landmarks: {job.out / 'landmarks.csv'}, with all fields: {rows.path}")
        _hint(summary["left_out"], seen, job)
    result = {"out": str(job.out), "errors": rows.errors, "clips": found, "summary": summary}
    if arguments.json:
        wanted = {row_key(path) for path in inputs.paths}
        result["photographs"] = [
            row
            for row in read_rows(rows.path)
            if "clip" not in row and row_key(row_source(row)) in wanted
        ]
    return result


def _align_photographs(
    arguments: argparse.Namespace,
    job: PhotographJob,
    aligner: Aligner,
    named: Named,
    rows: RowFile,
    seen: list[int],
) -> None:
    hidden = arguments.quiet or len(named) < 2
    with tqdm(total=len(named), unit="image", disable=hidden) as bar:
        for row in job.rows(aligner, named, arguments.workers):
            rows.add(row)
            bar.update()
            if row["error"] is None:
                count = len(row["faces"])
                faces = {0: "no face found", 1: "1 face"}.get(count, f"{count} faces")
                source = row["source"].removeprefix(f"{Path.cwd()}{os.sep}")
                told = f"{source}: {faces}{_left_out(row['left_out'])}"
                tqdm.write(told, file=sys.stdout)
                seen.append(count)


def _align_clip(
    arguments: argparse.Namespace, aligner: Aligner, source: Path | int, name: str, rows: RowFile
) -> list[dict[str, Any]]:
    """Returns what was found in a clip or before a camera; nothing where it could not be read."""
    quality = {} if arguments.min_quality is None else {"min_quality": arguments.min_quality}
    tracker = Tracker(
        aligner,
        detect_every=arguments.detect_every,
        smooth=not arguments.no_smooth,
        **quality,
    )
    clip, error = None, None
    files: dict[str, Any] = {"name": name}
    try:
        if not isinstance(source, int):
            files["source"] = file_state(source)
        clip = align_clip(
            source,
            tracker,
            arguments.out,
            name,
            overlay=not arguments.no_overlay,
            window=not arguments.headless and isinstance(source, int),
            max_frames=arguments.max_frames,
            progress=not arguments.quiet,
        )
    except (ValueError, OSError) as caught:
        if isinstance(source, int):
            raise
        error = one_line(caught)
    problems = [] if clip is None else clip["problems"]
    if isinstance(source, int):
        rows.errors += problems
    else:
        empty = Faces([], [None], aligner.num_landmarks, errors=[error])
        row = picture_row(empty, source, files)
        row["left_out"] = 0 if clip is None else clip["left_out"]
        rows.add({**row, "clip": clip is not None, "problems": problems})
    if clip is None:
        return []
    told = _left_out(clip["left_out"])
    print(f"{clip['source']}: {clip['frames']} frames, {clip['tracks']} faces tracked{told}")
    return [clip]


def _hint(left_out: list[dict[str, str]], seen: list[int], job: PhotographJob) -> None:
    """Tells what was left out, and what else to try where no face was found."""
    if left_out:
        first = "; ".join(f"{entry['path']} ({entry['reason']})" for entry in left_out[:5])
        more = "" if len(left_out) <= 5 else f" … all in {job.out / 'summary.json'}"
        print(f"left out: {len(left_out)} entries: {first}{more}", file=sys.stderr)
    searched = not job.box and not job.aligner["rotations"]
    if seen and not any(seen) and searched:
        print(
            "no face found: --rotations also tries pictures that lie on their side, "
            "--smallest looks for smaller faces",
            file=sys.stderr,
        )


def _left_out(detections: int) -> str:
    if not detections:
        return ""
    plural = "" if detections == 1 else "s"
    return f"; {detections} detection{plural} left out for low quality (--min-quality)"
