"""Finds faces and their landmarks in photographs, folders and clips, and draws them.

    tfalign align photo.jpg --out aligned
    tfalign align album/ portrait.png --model runs/300w/model.keras --out aligned --pts
    tfalign align clip.mp4 --out aligned                   # tracked, filtered against jitter
    tfalign align photo.jpg --box 120 80 260 250 --json    # a box of your own; JSON on the terminal

OUT receives NAME_aligned.jpg for each photograph, and landmarks.json and landmarks.csv for all of
them; for each clip NAME_aligned.mp4, .json and .csv. With --pts a photograph's face is NAME.pts,
several are NAME_1.pts, NAME_2.pts, … Coordinates are pixels of the upright picture, pixel centres
at i + 0.5. No face is no error. A picture that cannot be read is told and left out, a clip that
ends early is told, and the exit code is 2. After Ctrl-C, the numbers found so far are written; the
film of a clip is not.

The model is a preset that ships with the package, a .keras file, or a .tflite file with the
metadata.json of its export beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tfalign.argument_help import HelpFormatter
from tfalign.cli.program import one_line
from tfalign.inference import (
    MAX_PIXELS,
    VIDEO_SUFFIXES,
    Aligner,
    Face,
    Faces,
    Tracker,
    align_video,
    draw_faces,
    find_images,
    output_stems,
    read_image,
    write_image,
)


def options(prog: str = "tfalign align") -> argparse.ArgumentParser:
    """Returns the program's options; ``prog`` is how the program is called."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="IMAGE|VIDEO|DIR", help="what to look at"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("aligned"), metavar="DIR", help="default: aligned"
    )
    parser.add_argument(
        "--model", default="300w", metavar="MODEL.keras|FILE.tflite|PRESET", help="default: 300w"
    )
    parser.add_argument(
        "--box",
        type=float,
        nargs=4,
        action="append",
        metavar=("X0", "Y0", "X1", "Y1"),
        help="tight landmark box of a face in every photograph, instead of the detector; may be "
        "repeated",
    )
    parser.add_argument(
        "--passes", type=int, default=2, metavar="N", help="crops are cut anew round the landmarks"
    )
    parser.add_argument(
        "--min-quality",
        type=float,
        metavar="SHARE",
        help="detections of less quality are taken for no face, and a face that is followed "
        "through a clip is lost (default: 0.2 in photographs, 0.5 in clips; the quality of a "
        "coarser model is lower)",
    )
    parser.add_argument("--pts", action="store_true", help="also write a .pts file for each face")
    parser.add_argument("--no-overlay", action="store_true", help="numbers only, no pictures")
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help=f"larger pictures are refused before they are decoded (default: {MAX_PIXELS})",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    clips = parser.add_argument_group("clips")
    clips.add_argument(
        "--detect-every", type=int, default=10, metavar="FRAMES", help="between detections"
    )
    clips.add_argument("--no-smooth", action="store_true", help="without the One-Euro filter")
    clips.add_argument("--max-frames", type=int, metavar="N", help="only the first N frames")
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Aligns everything; returns the faces as plain data, and what could not be read."""
    paths = _expanded(arguments.inputs)
    arguments.out.mkdir(parents=True, exist_ok=True)
    aligner = Aligner(
        arguments.model,
        detector=None if arguments.box else "haar",
        passes=arguments.passes,
        **_min_quality(arguments),
        max_pixels=arguments.max_pixels,
    )
    # Names under OUT are made of the inputs' stems alone, so that no input leads out of it.
    named = list(zip(paths, output_stems([str(path) for path in paths]), strict=True))
    photographs = [pair for pair in named if not _is_clip(pair[0])]
    errors: list[str] = []
    result: dict[str, Any] = {"out": str(arguments.out), "errors": errors}
    if photographs:
        result["photographs"] = _align_photographs(photographs, aligner, arguments, errors)
    result["clips"] = []
    for path, stem in named:
        if _is_clip(path):
            try:
                result["clips"].append(_align_clip(path, stem, aligner, arguments, errors))
            except (ValueError, OSError) as error:
                errors.append(one_line(error))
    return result


def _expanded(inputs: Sequence[Path]) -> list[Path]:
    """Returns the inputs with the photographs of folders in the folders' place.

    Raises:
        FileNotFoundError: If an input does not exist.
        ValueError: If a folder holds no photograph.
    """
    paths: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise FileNotFoundError(f"There is no such image, clip or folder. Received: {path}")
        paths += find_images(path) if path.is_dir() else [path]
    return paths


def _min_quality(arguments: argparse.Namespace) -> dict[str, float]:
    """Returns the option as a keyword; nothing, for each function's own value, if not given."""
    given = arguments.min_quality
    return {} if given is None else {"min_quality": given}


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _align_photographs(
    named: Sequence[tuple[Path, str]],
    aligner: Aligner,
    arguments: argparse.Namespace,
    errors: list[str],
) -> dict[str, Any]:
    """Aligns photographs; what cannot be read goes to ``errors``."""
    out: Path = arguments.out
    done: list[tuple[str, str, list[Face]]] = []  # one entry each, which Ctrl-C cannot split
    try:
        for path, stem in tqdm(named, unit="image", disable=arguments.quiet or len(named) < 2):
            try:
                image = read_image(path, arguments.max_pixels)
            except (ValueError, OSError) as error:
                errors.append(one_line(error))
                continue
            aligned = aligner.align(image, boxes=arguments.box)
            faces = [replace(face, image=len(done), source=str(path)) for face in aligned]
            if not arguments.no_overlay:
                try:
                    write_image(out / f"{stem}_aligned.jpg", draw_faces(image, faces))
                except ValueError as error:  # too large for JPEG: the numbers are kept
                    errors.append(one_line(error))
            done.append((str(path), stem, faces))
            counts = f"{_counted(len(faces))}{_left_out(sum(aligned.left_out))}"
            tqdm.write(f"{path}: {counts}", file=sys.stdout)
    finally:
        # After Ctrl-C, too.
        found = [face for _, _, faces in done for face in faces]
        everything = Faces(found, [source for source, _, _ in done], aligner.num_landmarks)
        if done:
            everything.write_json(out / "landmarks.json")
            everything.write_csv(out / "landmarks.csv")
            if arguments.pts:
                everything.write_pts(out, [stem for _, stem, _ in done])
    return everything.to_dict()


def _align_clip(
    path: Path,
    stem: str,
    aligner: Aligner,
    arguments: argparse.Namespace,
    errors: list[str],
) -> dict[str, Any]:
    """Aligns a clip; after Ctrl-C the numbers of the frames so far are written, too.

    Frames that the file announces and does not have go to ``errors``.
    """
    out: Path = arguments.out
    tracker = Tracker(
        aligner,
        detect_every=arguments.detect_every,
        smooth=not arguments.no_smooth,
        **_min_quality(arguments),
    )
    found: list[Face] = []
    frames = 0

    def keep(index: int, image: Any, faces: Faces) -> None:
        nonlocal frames
        frames = index + 1
        found.extend(faces)

    try:
        result = align_video(
            path,
            tracker,
            out=None if arguments.no_overlay else out / f"{stem}_aligned.mp4",
            max_frames=arguments.max_frames,
            progress=not arguments.quiet,
            on_frame=keep,
        )
    finally:
        everything = Faces(found, [str(path)] * frames, aligner.num_landmarks)
        if frames:
            everything.write_json(out / f"{stem}_aligned.json")
            everything.write_csv(out / f"{stem}_aligned.csv")
    tracks = len({face.track for face in found})
    print(f"{path}: {frames} frames, {tracks} faces tracked{_left_out(tracker.left_out)}")
    if result.missing:
        errors.append(
            f"{path} is damaged or cut off: {frames} of {result.announced} announced frames could "
            "be read"
        )
    return {"source": str(path), "fps": result.fps, **everything.to_dict()}


def _left_out(detections: int) -> str:
    if not detections:
        return ""
    plural = "" if detections == 1 else "s"
    return f"; {detections} detection{plural} left out for low quality (--min-quality)"


def _counted(faces: int) -> str:
    return {0: "no face found", 1: "1 face"}.get(faces, f"{faces} faces")
