#!/usr/bin/env python3
"""Replays the golden outputs of this folder as an app would: uint8 pixels in, points out.

    python android_demo_assets/check.py

Needs NumPy, OpenCV (to read the demo picture) and ai-edge-litert only, so that an app team can
copy this file with the models. It runs every model on its golden pictures, then cuts the face out
of ``demo.png`` by the model's own box convention and compares the points with ``demo.json``.
"""

import hashlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

HERE = Path(__file__).resolve().parent
GOLDEN_PX = {"float16": 0.05, "int8": 0.5}  # of the model's input, between two machines
DEMO_PX = 1.0  # of the model's input: resampling differs a little from one library to another


def region_of(box, crop):
    """The padded (and squared) box x0, y0, x1, y1: what the model's input shows."""
    x0, y0, x1, y1 = box
    left, top, right, bottom = crop["padding"]
    width, height = x1 - x0, y1 - y0
    x0, y0, x1, y1 = x0 - left * width, y0 - top * height, x1 + right * width, y1 + bottom * height
    if crop["square"]:
        half = max(x1 - x0, y1 - y0) / 2
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
        x0, y0, x1, y1 = cx - half, cy - half, cx + half, cy + half
    return x0, y0, x1, y1


def cut(picture, region, size):
    """The region as (height, width, 3) uint8; bilinear, pixel i has its centre at i + 0.5."""
    (x0, y0, x1, y1), (width, height) = region, size
    x = x0 + (np.arange(width) + 0.5) * (x1 - x0) / width - 0.5
    y = y0 + (np.arange(height) + 0.5) * (y1 - y0) / height - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - left)[None, :, None], (y - top)[:, None, None]

    def at(rows, columns):  # beyond the picture, its border is repeated
        rows = np.clip(rows, 0, picture.shape[0] - 1)
        return picture[rows][:, np.clip(columns, 0, picture.shape[1] - 1)].astype(float)

    upper = at(top, left) * (1 - fx) + at(top, left + 1) * fx
    lower = at(top + 1, left) * (1 - fx) + at(top + 1, left + 1) * fx
    return np.rint(upper * (1 - fy) + lower * fy).astype(np.uint8)


def check(folder, demo, picture):
    """Returns the largest golden and demo distances of one model, in input pixels, and its kind."""
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    for name, expected in metadata["sha256"].items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise ValueError(f"{folder / name} is not the file that metadata.json describes")
    run = Interpreter(model_path=str(folder / "model.tflite")).get_signature_runner()
    _, height, width, _ = metadata["input"]["shape"]

    with np.load(folder / "golden.npz") as golden:
        found = [run(image=image[None])["landmarks"][0] for image in golden["images"]]
        golden_px = np.linalg.norm((found - golden["landmarks"]) * (width, height), axis=-1).max()

    x0, y0, x1, y1 = region_of(demo["box"], metadata["crop"])
    face = cut(picture, (x0, y0, x1, y1), (width, height))
    unit = run(image=face[None])["landmarks"][0]
    points = unit * (x1 - x0, y1 - y0) + (x0, y0)
    expected = np.array(demo["landmarks"][folder.relative_to(HERE).as_posix()])
    difference = (points - expected) * (width / (x1 - x0), height / (y1 - y0))
    return golden_px, np.linalg.norm(difference, axis=-1).max(), metadata["kind"]


def read_demo():
    """Returns the content of demo.json and the demo picture (H, W, 3), RGB."""
    demo = json.loads((HERE / "demo.json").read_text(encoding="utf-8"))
    picture = cv2.imread(str(HERE / demo["picture"]))
    if picture is None:
        raise ValueError(f"{HERE / demo['picture']} is missing or no picture")
    return demo, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def main():
    """Checks every model of the folder; returns 0 if all agree, 1 if not, 2 after an error."""
    if not (HERE / "demo.json").is_file():
        print("No models yet: python -m mobile_export.assets --calibration DIR", file=sys.stderr)
        return 2
    try:
        demo, picture = read_demo()
    except (KeyError, OSError, ValueError) as error:
        print(f"error: the demo's files are damaged: {error}", file=sys.stderr)
        return 2
    failed = 0
    for name in sorted(demo["landmarks"]):
        try:
            golden_px, demo_px, kind = check(HERE / name, demo, picture)
        except (KeyError, OSError, ValueError) as error:  # a missing, changed or foreign file
            print(f"{name}: FAILED; {error}")
            failed += 1
            continue
        passed = golden_px <= GOLDEN_PX[kind] and demo_px <= DEMO_PX
        failed += not passed
        verdict = "passed" if passed else "FAILED"
        print(f"{name}: {verdict}; golden outputs within {golden_px:.4f} px, demo {demo_px:.3f} px")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
