"""The clips and cameras of ``tfalign align``: a line for each frame as it comes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tfalign.inference import Faces, Tracker, align_video, draw_faces
from tfalign.inference.jobs import write_csv
from tfalign.inference.names import shown


def align_clip(
    source: Path | int,
    tracker: Tracker,
    out: Path,
    name: str,
    overlay: bool,
    window: bool,
    max_frames: int | None,
    progress: bool,
) -> dict[str, Any]:
    """Aligns a clip, or what a camera shows until Ctrl-C or a key.

    Args:
        source: The clip, or the camera's number.
        tracker: What follows the faces.
        out, name: Folder and first part of the outputs' names: ``_aligned.jsonl``, ``.csv`` and
            ``.mp4``.
        overlay: Whether to write the film.
        window: Whether to open a window.
        max_frames: Most frames to read; None for all.
        progress: Whether to show a bar.

    Returns:
        What was found, as plain data; ``problems`` are gaps in the clip.

    Raises:
        ValueError, OSError: As ``align_video``.
    """
    label = f"camera {source}" if isinstance(source, int) else shown(source)
    tracks: set[int | None] = set()
    count = 0
    lines = out / f"{name}_aligned.jsonl"
    with lines.open("w", encoding="ascii") as file:

        def keep(index: int, image: Any, faces: Faces) -> bool | None:
            nonlocal count
            tracks.update(face.track for face in faces)
            count += len(faces)
            file.write(json.dumps(_frame_row(label, index, tracker.seconds, faces)) + "\n")
            file.flush()
            return _show(draw_faces(image, faces)) if window else None

        result = align_video(
            source,
            tracker,
            out=out / f"{name}_aligned.mp4" if overlay else None,
            max_frames=max_frames,
            progress=progress,
            on_frame=keep,
            keep_faces=False,
        )
    write_csv(lines, out / f"{name}_aligned.csv", tracker.aligner.num_landmarks, frames=True)
    return {
        "source": label,
        "frames": result.frames,
        "fps": result.fps,
        "faces": count,
        "tracks": len(tracks),
        "left_out": tracker.left_out,
        "problems": [f"{label}: {problem}" for problem in result.problems],
        "files": sorted(path.name for path in out.glob(f"{name}_aligned.*")),
    }


def _frame_row(
    label: str, index: int, seconds: float | None, faces: Sequence[Any]
) -> dict[str, Any]:
    wanted = ("track", "quality", "expected_nme", "scheme", "box", "landmarks")
    plain = [face.to_dict() for face in faces]
    rows = [{key: face[key] for key in wanted} for face in plain]
    return {"source": label, "frame": index, "seconds": seconds, "faces": rows}


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
