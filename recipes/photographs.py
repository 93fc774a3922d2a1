"""Measures what stands between a stranger's photograph and its landmarks.

    python recipes/photographs.py detectors whole --data DATA --out runs/photographs
    python recipes/photographs.py rates --data DATA --out runs/photographs     # on an idle machine
    python recipes/photographs.py thresholds rules --data DATA --out runs/photographs

detectors   share of faces found and false boxes of each detector: AFW's crops, the last 120 names
            of Helen's training part, and whole pictures composed of those faces
whole       pictures of the last 120 names from file to landmarks: faces found, error, time
rates       faces a second by one worker and by two
thresholds  what score and quality limits of BlazeFace find, on pictures composed of training faces
rules       each detector's rule from its box to the landmarks' box, fitted on training faces

DATA holds 300w_subset/ in 300-W's layout. OUT receives SECTION.json, and with --page PAGE the
tables of a Markdown page between its lines <!-- SECTION --> and <!-- end --> are replaced. Times
are the process' own processor time with one thread, but rates, which are the clock's.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tfalign import geometry
from tfalign.argument_help import ArgumentParser
from tfalign.cli.align_photographs import PhotographJob
from tfalign.cli.program import run_recipe
from tfalign.data.readers import w300
from tfalign.data.sample import Sample
from tfalign.files import write_json, write_whole
from tfalign.inference import Aligner, BlazeFaceDetector
from tfalign.inference.detectors import DETECTORS, fit_box_rule, overlap, resolve_detector
from tfalign.metrics.normalizers import NORMALIZERS

HELD_OUT = 120  # names at the end of Helen's training part
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)  # of a composed picture's longer side
SCORES = (0.25, 0.35, 0.5)
QUALITIES = (0.0, 0.02, 0.1, 0.2, 0.5)
WAYS = (("haar", "keras", 2), ("blazeface", "keras", 2), ("blazeface", "tflite", 2))

Picture = tuple[np.ndarray, np.ndarray, np.ndarray]
"""RGB (H, W, 3); tight boxes (faces, 4); each face's share of the picture's longer side."""


def options() -> argparse.ArgumentParser:
    """Returns the program's options."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "sections",
        nargs="+",
        choices=sorted(SECTIONS),
        metavar="SECTION",
        help=f"What to measure: {', '.join(sorted(SECTIONS))}.",
    )
    parser.add_argument("--data", type=Path, required=True, help="The folder with 300w_subset/.")
    parser.add_argument("--out", type=Path, required=True, help="The folder for the results.")
    parser.add_argument("--page", type=Path, help="The page whose tables are replaced.")
    parser.add_argument(
        "--detectors",
        nargs="+",
        default=[name for name in DETECTORS if name not in ("auto", "dlib")],
        help="Names of detectors, or the path of a YuNet model.",
    )
    parser.add_argument("--every", type=int, default=1, help="Take every N-th face only.")
    parser.add_argument("--composed", type=int, default=24, help="Number of composed pictures.")
    parser.add_argument("--repeats", type=int, default=5, help="How often rates see each picture.")
    return parser


def main() -> dict[str, Any]:
    """Measures; returns and writes the figures."""
    arguments = options().parse_args()
    cv2.setNumThreads(1)
    root = arguments.data / "300w_subset"
    helen = w300.read(root, ["helen/trainset"])
    faces = {
        "afw": w300.read(root, ["afw"])[:: arguments.every],
        "held out": helen[-HELD_OUT :: arguments.every],
        "training": helen[: -HELD_OUT : arguments.every],
    }
    results = {}
    for name in arguments.sections:
        measured, lines = SECTIONS[name](arguments, faces)
        load = f"(Load of the machine while this was measured: {os.getloadavg()[1]:.1f}.)"
        lines += ["", load] if name in ("whole", "rates") else []
        results[name] = measured
        write_json(arguments.out / f"{name}.json", measured)
        print(f"\n{name}", *lines, sep="\n", flush=True)
        if arguments.page is not None:
            replace(arguments.page, name, lines)
    return results


def detectors(arguments: Any, faces: dict[str, Sequence[Sample]]) -> tuple[Any, list[str]]:
    """Compares the detectors on faces that none of their rules was fitted on."""
    crops = {
        name: [(s.image, tight(s)[None], np.ones(1)) for s in faces[name]]
        for name in ("afw", "held out")
    }
    pictures = list(composed(faces["held out"], arguments.composed, seed=1))
    measured: dict[str, Any] = {}
    lines = [
        "| detector | AFW's crops: found | false | held-out crops: found | false | composed: found "
        "| false | kept by `Aligner` | false | of ≥ 64 px | "
        + " | ".join(f"at {share:.0%}" for share in SHARES)
        + " | ms a megapixel |",
        "|" + "---|" * (11 + len(SHARES)),
    ]
    for name in arguments.detectors:
        detector = resolve_detector(name)
        row: dict[str, Any] = {of: searched(detector, crops[of], 0.4) for of in crops}
        row["composed"] = searched(detector, pictures, 0.3)
        aligner = Aligner("300w", detector, backend="tflite")
        row["kept"] = searched(lambda image, a=aligner: a.align(image).boxes, pictures, 0.3)
        measured[name] = row
        cells = [f"{100 * row[of]['found']:.1f} % | {row[of]['false']:.2f}" for of in row]
        cells += [f"{100 * row['kept']['found_64']:.1f} %"]
        cells += [f"{100 * share:.0f} %" for share in row["kept"]["by_share"]]
        cells += [f"{row['composed']['ms'] / row['composed']['megapixels']:.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    pasted = sum(len(boxes) for _, boxes, _ in pictures)
    counts = [len(crops["afw"]), len(crops["held out"]), len(pictures), pasted]
    lines += [
        "",
        "({} crops of AFW, {} held out, {} composed pictures of {} faces.)".format(*counts),
    ]
    return measured, lines


def whole(arguments: Any, faces: dict[str, Sequence[Sample]]) -> tuple[Any, list[str]]:
    """Measures `Aligner` from the decoded picture to the landmarks, the ways in turns."""
    samples = faces["held out"]
    aligners = [Aligner("300w", d, passes, backend=b) for d, b, passes in WAYS]
    spent = np.zeros(len(WAYS))
    errors: list[list[float]] = [[] for _ in WAYS]
    others = np.zeros(len(WAYS), int)
    eyes = NORMALIZERS["300w_inter_ocular"]
    for aligner in aligners:
        aligner.align([sample.image for sample in samples[:3]])
    for sample, way in itertools.product(samples, range(len(WAYS))):
        begin = time.process_time()
        found = aligners[way].align(sample.image)
        spent[way] += time.process_time() - begin
        shares = [overlap(face.landmark_box[None], tight(sample))[0] for face in found]
        others[way] += len(found) - (max(shares, default=0.0) > 0.4)
        if max(shares, default=0.0) > 0.4:
            apart = found[int(np.argmax(shares))].landmarks - sample.landmarks
            distance = float(eyes(sample.landmarks[None])[0])
            errors[way].append(float(np.linalg.norm(apart, axis=1).mean()) / distance)
    measured = [
        {
            "detector": detector,
            "backend": backend,
            "passes": passes,
            "faces": len(samples),
            "found": len(errors[way]),
            "others": int(others[way]),
            "nme": float(np.mean(errors[way])),
            "ms": 1000 * spent[way] / len(samples),
            "share": spent[way] / spent[0],
        }
        for way, (detector, backend, passes) in enumerate(WAYS)
    ]
    lines = [
        "| detector | back end | faces found | other boxes | NME | ms a picture | share |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {m['detector']} | {m['backend']} | {m['found']} of {m['faces']} | {m['others']} | "
        f"{100 * m['nme']:.2f} % | {m['ms']:.1f} | {m['share']:.2f} |"
        for m in measured
    ]
    return measured, lines


def rates(arguments: Any, faces: dict[str, Sequence[Sample]]) -> tuple[Any, list[str]]:
    """Measures faces a second by the clock, from the first photograph's row to the last's."""
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        named = []
        for sample, copy in itertools.product(faces["held out"], range(arguments.repeats)):
            path = Path(folder) / f"{len(named):05}.jpg"
            if copy:
                os.link(named[-1][0], path)
            else:
                bgr = cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR)
                cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])
            named.append((path, path.stem))
        for backend, workers in itertools.product(("keras", "tflite"), (1, 2)):
            keywords = {"model": "300w", "detector": "blazeface", "backend": backend}
            job = PhotographJob(keywords, None, False, False, False, Path(folder))
            rows = job.rows(job.make_aligner(), named, workers)
            next(rows)
            begin = time.monotonic()
            count = sum(len(row["faces"]) for row in rows)
            rate = count / (time.monotonic() - begin)
            measured.append({"backend": backend, "workers": workers, "faces_per_second": rate})
    lines = [
        f"By the clock, faces a second of {len(faces['held out'])} held-out photographs, each "
        f"{arguments.repeats} times (`tfalign align --no-overlay`, BlazeFace), from the first row "
        "to the last:",
        "",
        "| back end | 1 worker | 2 workers | gain |",
        "|---|---|---|---|",
    ]
    for one, two in zip(measured[::2], measured[1::2], strict=True):
        first, second = one["faces_per_second"], two["faces_per_second"]
        lines.append(
            f"| {one['backend']} | {first:.1f} faces/s | {second:.1f} faces/s | "
            f"{second / first:.2f} × |"
        )
    return measured, lines


def thresholds(arguments: Any, faces: dict[str, Sequence[Sample]]) -> tuple[Any, list[str]]:
    """Tells what BlazeFace's limits of score and quality keep, of faces and of others."""
    pictures = list(composed(faces["training"], arguments.composed, seed=2))
    total = sum(len(boxes) for _, boxes, _ in pictures)
    measured = []
    lines = ["| score | quality | found | false a picture |", "|---|---|---|---|"]
    for score in SCORES:
        detector = BlazeFaceDetector(score=score)
        aligner = Aligner("300w", detector, min_quality=0.0, backend="tflite")
        hits, others = [], []
        for image, boxes, _ in pictures:
            found = aligner.align(image)
            which = matches(found.boxes, boxes, 0.3)
            hits += [found[k].quality for k in which if k >= 0]
            others += [face.quality for k, face in enumerate(found) if k not in which]
        for quality in QUALITIES:
            kept = float((np.array(hits) >= quality).sum()) / total
            false = float((np.array(others) >= quality).sum()) / len(pictures)
            measured.append({"score": score, "quality": quality, "found": kept, "false": false})
            lines.append(f"| {score} | {quality} | {100 * kept:.1f} % | {false:.2f} |")
    return measured, lines


def rules(arguments: Any, faces: dict[str, Sequence[Sample]]) -> tuple[Any, list[str]]:
    """Fits each detector's rule."""
    root = arguments.data / "300w_subset"
    samples = [*faces["afw"], *w300.read(root, ["lfpw/trainset"]), *faces["training"]]
    measured = {}
    for name in arguments.detectors:
        detector: Any = resolve_detector(name)
        pairs = []
        for sample in samples:
            raw = detector.raw(sample.image)
            shares = overlap(detector.rule(raw), tight(sample)) if len(raw) else np.zeros(1)
            if shares.max() > 0.3:
                pairs.append((raw[int(shares.argmax())], tight(sample)))
        boxes, wanted = zip(*pairs, strict=True)
        told = "AFW, LFPW's training part and the first 750 names of Helen's (300-W)"
        measured[name] = fit_box_rule(np.array(boxes), np.array(wanted), told).to_dict()
    return measured, [f"{name}: {rule}" for name, rule in measured.items()]


SECTIONS: dict[str, Callable[[Any, dict[str, Sequence[Sample]]], tuple[Any, list[str]]]] = {
    "detectors": detectors,
    "whole": whole,
    "rates": rates,
    "thresholds": thresholds,
    "rules": rules,
}


def composed(samples: Sequence[Sample], count: int, seed: int) -> Iterator[Picture]:
    """Yields pictures of faces on rough canvases of up to 12 megapixels."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        width, height = [(4000, 3000), (3000, 4000), (1920, 1080), (1280, 1280)][number % 4]
        canvas = background(rng, width, height)
        boxes: list[np.ndarray] = []
        shares: list[float] = []
        taken: list[np.ndarray] = []
        for _ in range(40):
            sample = samples[int(rng.integers(len(samples)))]
            box = tight(sample)
            # Half of the box's size on each side: the head, and few other people.
            x0, y0, x1, y1 = np.asarray(geometry.pad_box(box, (0.5,) * 4)).astype(int)
            x0, y0 = max(0, x0), max(0, y0)
            part = sample.image[y0:y1, x0:x1]
            share = SHARES[int(rng.integers(len(SHARES)))]
            factor = share * max(width, height) / (box[2:] - box[:2]).max()
            size = np.round(np.array(part.shape[1::-1]) * factor).astype(int)
            if (size > [width, height]).any() or size.min() < 2:
                continue
            x, y = rng.integers(0, np.array([width, height]) - size + 1)
            place = np.array([x, y, x + size[0], y + size[1]])
            if any(
                (np.minimum(place[2:], o[2:]) > np.maximum(place[:2], o[:2])).all() for o in taken
            ):
                continue
            method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
            resized = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=method)
            canvas[y : y + size[1], x : x + size[0]] = resized
            taken.append(place)
            shares.append(share)
            boxes.append((box - [x0, y0, x0, y0]) * factor + [x, y, x, y])
        yield canvas, np.array(boxes).reshape(-1, 4), np.array(shares)


def background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Returns noise of all coarsenesses with ellipses and rectangles: edges, but no face."""
    canvas = np.full((height, width, 3), 120, np.float32)
    for cell, strength in ((400, 50), (100, 30), (25, 20), (6, 10)):
        shape = (height // cell + 1, width // cell + 1, 3)
        grid = rng.normal(0, strength, shape).astype(np.float32)
        canvas += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    canvas = np.clip(canvas, 0, 255).astype(np.uint8)
    for _ in range(60):
        centre = [int(v) for v in rng.integers(0, (width, height))]
        axes = [int(v) for v in rng.integers(10, max(width, height) // 12, 2)]
        colour = [int(v) for v in rng.integers(0, 256, 3)]
        if rng.random() < 0.5:
            cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
        else:
            corner = [c + a for c, a in zip(centre, axes, strict=True)]
            cv2.rectangle(canvas, centre, corner, colour, -1)
    return canvas


def tight(sample: Sample) -> np.ndarray:
    """Returns the box (4,) of a face's landmarks."""
    return np.asarray(geometry.box_from_landmarks(sample.landmarks), np.float64)


def matches(found: np.ndarray, boxes: np.ndarray, limit: float) -> list[int]:
    """Returns for each box (faces, 4) the number of the found one (k, 4) that is it, or -1."""
    if not len(found):
        return [-1] * len(boxes)
    shares = [overlap(found, box) for box in boxes]
    return [int(s.argmax()) if s.max() > limit else -1 for s in shares]


def searched(
    detector: Callable[[np.ndarray], np.ndarray], pictures: Sequence[Picture], limit: float
) -> dict[str, Any]:
    """Counts what a detector finds: intersection over union with the landmarks' box over limit."""
    hits: list[bool] = []
    false, spent = 0, 0.0
    for image, boxes, _ in pictures:
        begin = time.process_time()
        found = detector(image)
        spent += time.process_time() - begin
        which = matches(found, boxes, limit)
        hits += [k >= 0 for k in which]
        false += len(found) - len({k for k in which if k >= 0})
    shares = np.concatenate([shares for _, _, shares in pictures])
    sides = np.concatenate([(boxes[:, 2:] - boxes[:, :2]).max(axis=1) for _, boxes, _ in pictures])
    by_share = [
        float(np.array(hits)[shares == share].mean()) for share in SHARES if share in shares
    ]
    return {
        "pictures": len(pictures),
        "faces": len(hits),
        "found": float(np.mean(hits)),
        "by_share": by_share,
        "found_64": float(np.array(hits)[sides >= 64].mean()),
        "false": false / len(pictures),
        "ms": 1000 * spent / len(pictures),
        "megapixels": float(np.mean([i.shape[0] * i.shape[1] for i, _, _ in pictures])) / 1e6,
    }


def replace(page: Path, section: str, lines: Sequence[str]) -> None:
    """Replaces the table of a section in a page.

    Raises:
        ValueError: If the page has no such section.
    """
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {section} -->\n).*?(\n<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"The page must have the line <!-- {section} -->. Received: {page}")
    table = "\n" + "\n".join(lines) + "\n"
    write_whole(page, pattern.sub(lambda found: found[1] + table + found[2], text))


if __name__ == "__main__":
    raise SystemExit(run_recipe(main))
