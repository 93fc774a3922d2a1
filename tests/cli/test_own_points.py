"""Points of one's own, of five kinds: every door of the command finds their scheme in the model.

A training is killed with SIGKILL and given again; then a process that knows no more than the files
evaluates, aligns, exports, checks and counts. The mirror images that trainings see are tested in
tests/data/augment/test_own_schemes.py for the same kinds of points.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import keras
import numpy as np
import pytest
from data.augment.test_own_schemes import SCHEMES

from tfalign import geometry
from tfalign.inference.crops import cut_crop
from tfalign.markup import LandmarkScheme

SIDE, FACES, HELD_OUT = 320, 16, 4
FORMS = {
    "five": "coco",
    "nineteen in another order": "csv",
    "68 in another order": "pts",
    "hand": "coco",
    "106": "imglab",
}

# Runs commands, and an Aligner over a network that reads each point's colour off the crop. Of two
# points that mirror each other, which share a colour, it knows which is which by the half that they
# lie in, as a network does that sees a face and not its name.
PROGRAM = """
import json, sys
import numpy as np
from tfalign_command import main

work = json.load(open(sys.argv[1]))
for words in work["commands"]:
    print("COMMAND", *words, flush=True)
    if code := main(words):
        sys.exit(code)

from tfalign import geometry, markup
from tfalign.inference import Aligner
from tfalign.inference.backends import CallableBackend
scheme = markup.get(work["scheme"])
colours = np.array(work["colours"])
half = {}
for i, j in work["pairs"]:
    half[i], half[j] = slice(None, 56), slice(56, None)

def answer(crops):
    shapes = np.zeros((len(crops), scheme.num_points, 2))
    for shape, crop in zip(shapes, np.asarray(crops).astype(int)):
        brightest = crop.max(axis=-1)  # an edge is the disc's colour, mixed with black
        for i, colour in enumerate(colours):
            tint = crop / np.maximum(brightest, 1)[..., None] - colour / 255
            weight = np.zeros(brightest.shape)
            part = half.get(i, slice(None))
            near = (np.abs(tint).max(axis=-1) < 0.08) & (brightest > 60)
            weight[:, part] = np.where(near, brightest, 0)[:, part]
            rows, columns = np.indices(weight.shape) + 0.5
            shape[i] = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    return shapes / 112

perfect = CallableBackend(answer, (112, 112), geometry.crop_convention("300w"), scheme, "perfect")
(face,) = Aligner(perfect).align(work["picture"], boxes=[work["box"]])
error = np.linalg.norm(face.landmarks - np.array(work["points"]), axis=-1)
print("PERFECT", error.max())
"""


class Face(NamedTuple):
    """A picture, and where its points are, (n, 2) in image space."""

    name: str
    picture: np.ndarray
    points: np.ndarray


def colours_of(scheme: LandmarkScheme) -> np.ndarray:
    """(n, 3) colours, of which one component is 255: mixed with black it resembles none."""
    levels = np.linspace(0, 255, 7).round().astype(int)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    found = grid[grid.max(axis=1) == 255][: scheme.num_points]
    partners = scheme.flip_map or range(scheme.num_points)
    return np.array([found[min(i, j)] for i, j in enumerate(partners)])


def pairs_of(scheme: LandmarkScheme) -> list[tuple[int, int]]:
    """The mirror pairs, first the point in the picture's left half: the subject's right."""
    return [(j, i) if "left" in scheme.points[i] else (i, j) for i, j in scheme.flip_pairs or ()]


def faces_of(scheme: LandmarkScheme) -> list[Face]:
    """Discs of the points' colours on black: pairs face each other, the others lie between."""
    rng = np.random.default_rng(scheme.num_points)
    pairs = pairs_of(scheme)
    alone = sorted(set(range(scheme.num_points)) - {i for pair in pairs for i in pair})
    cells = [(x, y) for y in range(12) for x in range(5)]
    spread = rng.permutation(len(cells))[: len(pairs)]
    middle = rng.permutation(12 * (12 if not pairs else 1))[: len(alone)]
    found = []
    for number in range(FACES):
        points = np.zeros((scheme.num_points, 2))
        for (i, j), place in zip(pairs, spread, strict=True):
            x, y = cells[place]
            points[i], points[j] = (x, y), (11 - x, y)
        if pairs:
            points[alone] = np.column_stack([np.full(len(alone), 5.5), middle])
        else:
            points[alone] = np.column_stack(np.divmod(middle, 12))
        points = 50 + 20 * points + rng.uniform(-1.5, 1.5, points.shape)
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        for (x, y), colour in zip(points, colours_of(scheme).tolist(), strict=True):
            cv2.circle(picture, (round(x * 16 - 8), round(y * 16 - 8)), 7 * 16, colour, -1, 16, 4)
        found.append(Face(f"{number:02d}.png", picture, points))
    return found


def write(form: str, folder: Path, scheme: LandmarkScheme, faces: list[Face]) -> Path:
    """Writes faces as an annotation tool does and returns what ``--data`` is to name."""
    folder.mkdir()
    for face in faces:
        cv2.imwrite(str(folder / face.name), face.picture[:, :, ::-1])
    if form == "coco":
        content = {
            "images": [{"id": i, "file_name": face.name} for i, face in enumerate(faces)],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 1, "keypoints": np.column_stack(
                    [face.points - 0.5, np.full(scheme.num_points, 2)]).ravel().tolist()}
                for i, face in enumerate(faces)
            ],
            "categories": [{"id": 1, "name": "mine", "keypoints": scheme.points}],
        }  # fmt: skip
        (folder / "train.json").write_text(json.dumps(content))
    elif form == "csv":
        with (folder / "train.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", *(f"{p}_{c}" for p in scheme.points for c in "xy")])
            writer.writerows([face.name, *(face.points - 0.5).ravel()] for face in faces)
    elif form == "pts":
        for face in faces:
            rows = "\n".join(f"{x:.4f} {y:.4f}" for x, y in face.points + 0.5)
            text = f"version: 1\nn_points: {scheme.num_points}\n{{\n{rows}\n}}\n"
            (folder / face.name).with_suffix(".pts").write_text(text)
    else:
        lines = []
        for face in faces:
            (left, top), (right, bottom) = face.points.min(axis=0), face.points.max(axis=0)
            box = f"left='{left}' top='{top}' width='{right - left}' height='{bottom - top}'"
            parts = "".join(
                f"<part name='{name}' x='{x}' y='{y}'/>"
                for name, (x, y) in zip(scheme.points, face.points - 0.5, strict=True)
            )
            lines.append(f"<image file='{face.name}'><box {box}>{parts}</box></image>")
        (folder / "train.xml").write_text(f"<dataset><images>{''.join(lines)}</images></dataset>")
    return folder


def run(repository: Path, *words: Any) -> subprocess.CompletedProcess[str]:
    """Runs Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )  # fmt: skip


def kill_when(there: Path, command: list[str], repository: Path) -> None:
    """Starts a command and kills it once a file is there."""
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(repository)},
    ) as process:  # fmt: skip
        until = time.monotonic() + 300
        while not there.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind == "nineteen in another order" else
                     pytest.mark.exhaustive)
        for kind in FORMS
    ],
)  # fmt: skip
def test_a_scheme_travels_through_every_command(kind: str, repository: Path, tmp_path: Path):
    scheme, form = SCHEMES[kind][0], FORMS[kind]
    faces = faces_of(scheme)
    data = write(form, tmp_path / "faces", scheme, faces)
    scheme.to_json(tmp_path / "scheme.json")
    protocol = {"scheme": scheme.to_config(), "normalizer": [[0, 1], [scheme.num_points - 1]]}
    (tmp_path / "protocol.json").write_text(json.dumps(protocol))
    own = ["--protocol", str(tmp_path / "protocol.json")]
    out, model = tmp_path / "run", str(tmp_path / "run/model.keras")
    train = [
        str(repository / "tfalign_command.py"), "train", form, "--data", str(data), "--scheme",
        str(tmp_path / "scheme.json"), *own, "--holdout", str(HELD_OUT), "--validation", "3",
        "--model", "gregnet", "--trunk", "mobile", "--width", "0.125", "--image-size", "32",
        "--batch-size", "3", "--epochs", "60", "--out", str(out),
    ]  # fmt: skip
    kill_when(out / "checkpoint.npz", train, repository)
    assert not Path(model).exists()
    with np.load(out / "checkpoint.npz") as stored:
        begun = len(json.loads(stored["state.json"].tobytes())["progress"]["rows"])
    assert begun < 60
    resumed = run(repository, *train)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    with (out / "history.csv").open(newline="") as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(60))

    picture = tmp_path / "faces" / faces[-1].name
    box = [*faces[-1].points.min(axis=0), *faces[-1].points.max(axis=0)]
    measured = ["--dataset", form, "--data", str(data), "--last", str(HELD_OUT), "--quiet"]
    measured += ["--reader", f"first_pixel={1 if form == 'pts' else 0}"]
    loss = ["--calibration", str(out / "calibration.npz"), "--allow-loss"]
    commands = [
        ["inspect", form, "--data", str(data), "--scheme", str(tmp_path / "scheme.json"),
         "--out", str(tmp_path / "inspected")],
        ["evaluate", "--model", model, *measured, *own, "--out", str(tmp_path / "measured")],
        ["align", str(picture), "--model", model, "--box", *map(str, box), "--quiet", "--out",
         str(tmp_path / "aligned")],
        ["export", model, "--out", str(tmp_path / "float32"), "--allow-loss"],
        ["export", model, "--kind", "int8", "--out", str(tmp_path / "int8"), *loss],
        ["robustness", "--model", f"int8={tmp_path / 'int8/model.tflite'}", *measured, *own,
         "--extensions", "0.2", "--translations", "--rotations", "--out", str(tmp_path / "rob")],
        ["macc", model, "--totals"],
    ]  # fmt: skip
    work = {
        "commands": commands,
        "scheme": str(tmp_path / "float32/scheme.json"),
        "colours": colours_of(scheme).tolist(),
        "pairs": pairs_of(scheme),
        "picture": str(picture),
        "box": box,
        "points": faces[-1].points.tolist(),
    }
    (tmp_path / "work.json").write_text(json.dumps(work))
    done = run(repository, "-c", PROGRAM, tmp_path / "work.json")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]

    # The network that is right is said to be right, in both looks, the mirrored one among them.
    perfect = float(done.stdout.split("PERFECT")[1])
    assert perfect < 0.5

    # By hand: crops of the tight boxes, points back to the photograph, the own normaliser.
    loaded = keras.saving.load_model(model)
    assert loaded.scheme == scheme
    errors = []
    for face in faces[-HELD_OUT:]:
        tight = np.array([*face.points.min(axis=0), *face.points.max(axis=0)])
        convention = geometry.crop_convention(loaded.crop)
        to_crop = convention.crop_from_image(tight, (32, 32))
        crop = cut_crop(face.picture, to_crop, (32, 32))
        unit = np.asarray(loaded(crop[None]))[0]
        found = geometry.image_from_unit(unit, to_crop, (32, 32))
        distance = np.linalg.norm(found - face.points, axis=-1).mean()
        ends = face.points[[0, 1]].mean(axis=0) - face.points[-1]
        errors.append(distance / np.linalg.norm(ends))
    evaluated = json.loads((tmp_path / "measured/metrics.json").read_text())
    assert evaluated["nme"] == pytest.approx(np.mean(errors), rel=0.02)
    trained = json.loads((out / "result.json").read_text())
    assert trained["nme"] == pytest.approx(evaluated["nme"], rel=1e-3)

    for name in ("float32", "int8"):
        stored = json.loads((tmp_path / name / "scheme.json").read_text())
        assert LandmarkScheme.from_config(stored) == scheme
    (row,) = (json.loads(line) for line in (tmp_path / "aligned/landmarks.jsonl").open())
    assert np.shape(row["faces"][0]["landmarks"]) == (scheme.num_points, 2)
    print(
        f"{kind}: killed after {begun} epochs, NME {100 * evaluated['nme']:.2f} % "
        f"(by hand {100 * np.mean(errors):.2f} %), perfect network {perfect:.2f} px"
    )
