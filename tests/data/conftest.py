"""Tiny data sets in the native format of each reader, with the values that must come back.

Every builder draws its numbers, writes them in the set's own layout and convention, and returns
what a correct reader must give: the conversion to image space is written out here once more.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from tfalign.data.readers import (
    Reader,
    aflw19,
    coco,
    cofw,
    csv_table,
    helen194,
    imglab,
    lfpw29,
    pts,
    w300,
    wflw,
    ytf,
)

WIDTH, HEIGHT = 24, 20
WFLW_FLAGS = [(1, 0, 0, 1, 0, 0), (0, 1, 0, 0, 1, 1), (0, 0, 1, 0, 0, 0)]


@dataclass(frozen=True)
class Expected:
    """What a reader must return for one face."""

    landmarks: np.ndarray
    box: np.ndarray
    visible: np.ndarray
    image: np.ndarray


@dataclass(frozen=True)
class Format:
    """A native format: writes a tiny data set, reads it, and names what can be damaged."""

    build: Callable[[Path, np.random.Generator], dict[str, Expected]]
    read: Callable[..., Reader]
    annotations: tuple[str, ...]  # glob patterns below the root
    binary: bool = False
    shift: float = 0.5  # what is added to the file's points
    # The sample's numbers in the order of the file, given the points and box in its convention.
    # A sample is right if each run stands in the file; NaN may be any number.
    runs: Callable[[Any, np.ndarray, np.ndarray], list[np.ndarray]] | None = None
    optional: bool = False  # without the annotation file the landmarks' tight box is used


def draw_image(path: Path | None, rng: np.random.Generator, gray: bool = False) -> np.ndarray:
    """Writes a noise image (PNG, or JPEG by suffix) and returns its RGB pixels as decoded."""
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3)[: 2 if gray else 3], np.uint8)
    if path is None:
        return pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return cv2.imread(str(path))[..., ::-1]


def draw_points(rng: np.random.Generator, count: int) -> np.ndarray:
    """Returns (count, 2) coordinates of 6 decimals, well inside the image in any convention."""
    return np.round(rng.uniform((3, 3), (WIDTH - 3, HEIGHT - 3), (count, 2)), 6)


def expected(points, shift, image, box=None, visible=None) -> Expected:
    landmarks = (points + shift).astype(np.float32)
    tight = np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])
    return Expected(
        landmarks,
        tight if box is None else (np.asarray(box, float) + shift).astype(np.float32),
        np.ones(len(points), bool) if visible is None else visible,
        image,
    )


def text(points: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in points.ravel())


def build_wflw(root: Path, rng: np.random.Generator, split: str = "train") -> dict[str, Expected]:
    """Two images; the second holds two faces."""
    faces = {}
    names = ["0--Parade/a.png", "1--Cheering/b c.png", "1--Cheering/b c.png#2"]
    lines = []
    for name, flags in zip(names, WFLW_FLAGS, strict=True):
        path = name.removesuffix("#2")
        file = root / "WFLW_images" / path
        image = cv2.imread(str(file))[..., ::-1] if file.exists() else draw_image(file, rng)
        points, box = draw_points(rng, 98), (2, 1, WIDTH - 2, HEIGHT - 1)
        faces[name] = expected(points, 0.5, image, box)
        lines.append(f"{text(points)} {' '.join(map(str, (*box, *flags)))} {path}\n")
    file = root / wflw.FILES[split]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(lines))
    return faces


def build_wflw_subset(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    """The test list and the occlusion subset's short list, which holds the second face."""
    faces = build_wflw(root, rng, "test")
    line = (root / wflw.FILES["test"]).read_text().splitlines()[1].split(" ")
    short = root / wflw.FILES["test/occlusion"]
    short.parent.mkdir(parents=True)
    short.write_text(" ".join([*line[:196], *line[206:]]) + "\n")
    return {"1--Cheering/b c.png": faces["1--Cheering/b c.png"]}


def build_w300(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    faces = {}
    for name in ("afw/a_1.png", "afw/image_092 _01.jpg"):
        image = draw_image(root / name, rng)
        points = draw_points(rng, 68)
        faces[name] = expected(points, -0.5, image)
        rows = "".join(f"{x:.6f} {y:.6f}\n" for x, y in points)
        pts = f"version: 1\nn_points:  68\n{{\n{rows}}}\n"
        (root / name).with_suffix(".pts").write_text(pts)
    return faces


def build_w300_boxes(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    """As above, with the official boxes; their list writes one name without its blank."""
    faces = build_w300(root, rng)
    cells = np.empty((1, len(faces)), object)
    boxes = {}
    for index, name in enumerate(faces):
        boxes[name] = np.array([2.25, 1.5, 20.125 + index, 17.0])
        cells[0, index] = {
            "imgName": Path(name).name.replace(" ", ""),
            "bb_detector": boxes[name][None] - 1,
            "bb_ground_truth": boxes[name][None],
        }
    folder = root / "Bounding Boxes"
    folder.mkdir()
    file = folder / "bounding_boxes_afw.mat"
    scipy.io.savemat(file, {"bounding_boxes": cells}, do_compression=True)
    return {
        name: replace(face, box=(boxes[name] - 0.5).astype(np.float32))
        for name, face in faces.items()
    }


def build_cofw(
    root: Path, rng: np.random.Generator, suffix: str = "Tr", gzip: bool = True
) -> dict[str, Expected]:
    """Three images, one of them grey, as MATLAB 7.3 stores them: transposed, cells by reference."""
    options = {"compression": "gzip"} if gzip else {}
    phis, boxes, faces = [], [], {}
    split = {"Tr": "train", "T": "test"}[suffix]
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / cofw.FILES[split], "w", userblock_size=512) as file:
        cells = np.empty((1, 3), h5py.ref_dtype)
        for index in range(3):
            image = draw_image(None, rng, gray=index == 1)
            data = file.create_dataset(f"#refs#/{'abc'[index]}", data=image.T, **options)
            cells[0, index] = data.ref
            points, occluded = draw_points(rng, 29), rng.integers(0, 2, 29)
            box = np.array([2.0, 3.0, 15.0 + index, 14.0])
            phis.append(np.concatenate([points[:, 0], points[:, 1], occluded]))
            boxes.append(box)
            rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
            corners = (box[0], box[1], box[0] + box[2], box[1] + box[3])
            faces[f"{split}/{index + 1}"] = expected(points, -0.5, rgb, corners, occluded == 0)
        file.create_dataset(f"Is{suffix}", data=cells)
        file.create_dataset(f"phis{suffix}", data=np.stack(phis, axis=1), **options)
        file.create_dataset(f"bboxes{suffix}", data=np.stack(boxes, axis=1), **options)
    return faces


def build_cofw68(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    images = [face.image for face in build_cofw(root, rng, "T").values()]
    folder = root / "COFW68_Data" / "test_annotations"
    folder.mkdir(parents=True)
    boxes, faces = [], {}
    for index, image in enumerate(images):
        points, occluded = draw_points(rng, 68), rng.integers(0, 2, (68, 1))
        boxes.append((2.0, 3.0, 15.0 + index, 14.0))
        x, y, w, h = boxes[-1]
        faces[f"test68/{index + 1}"] = expected(
            points, -0.5, image, (x, y, x + w, y + h), occluded[:, 0] == 0
        )
        content = {"Points": points, "Occ": occluded}
        scipy.io.savemat(folder / f"{index + 1}_points.mat", content, do_compression=True)
    file = folder.parent / "cofw68_test_bboxes.mat"
    scipy.io.savemat(file, {"bboxes": np.array(boxes)}, do_compression=True)
    return faces


def build_aflw19(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    """Four faces; ra puts the last two first, so that they are the training faces."""
    names = ["0/x.png", "0/y.png", "2/z.png", "2/z.png"]
    points = np.stack([draw_points(rng, 19) for _ in names])
    mask = rng.integers(0, 2, (4, 19))
    mask[1] = 1
    boxes = np.array([(2.0, 19.0, 3.0, 17.0 + i / 4) for i in range(4)])  # left right top bottom
    cells = np.empty((4, 1), object)
    cells[:, 0] = names
    root.mkdir(parents=True, exist_ok=True)
    content = {
        "bbox": boxes,
        "data": points.transpose(0, 2, 1).reshape(4, 38),
        "mask_new": mask,
        "nameList": cells,
        "ra": np.array([[4, 3, 1, 2]], np.uint16),
    }
    scipy.io.savemat(root / aflw19.FILE, content, do_compression=True)
    images = {name: draw_image(root / "data/flickr" / name, rng) for name in names[:3]}
    faces = {}
    for index in (3, 2, 0, 1):
        left, right, top, bottom = boxes[index]
        name = "2/z.png#2" if index == 3 else names[index]
        faces[name] = expected(
            points[index], -0.5, images[names[index]], (left, top, right, bottom), mask[index] == 1
        )
    return faces


LFPW_EARS = [f"{s}_ear_{p}" for p in ("top", "bottom", "canal") for s in ("left", "right")]


def build_lfpw29(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    """Three addresses, of which the second is dead; up to four rows each."""
    names = [*lfpw29.POINTS[:28], *LFPW_EARS, "chin"]
    header = ["imgurl", "worker", *(f"{name}_{c}" for name in names for c in "xyt")]
    rows, faces = ["\t".join(header)], {}
    for number in (1, 2, 3):
        for worker in ("worker_0", "worker_1", "worker_2", "average")[number - 1 :]:
            points, types = draw_points(rng, 35), rng.integers(0, 3, 35)
            fields = [f"{x:.6f}\t{y:.6f}\t{t}" for (x, y), t in zip(points, types, strict=True)]
            rows.append("\t".join([f"http://host/p{number}.jpg?a=1", worker, *fields]))
        if number != 2:
            image = draw_image(root / "train" / f"image_{number:04d}.png", rng)
            keep = [*range(28), 34]
            name = f"train/image_{number:04d}.png"
            faces[name] = expected(points[keep], 0.5, image, None, types[keep] == 0)
    (root / lfpw29.FILES["train"]).write_text("\n".join(rows) + "\n")
    return faces


def build_helen194(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    (root / "annotation").mkdir(parents=True)
    faces = {}
    for number, name in enumerate(("30844800_1", "2267613_1"), start=1):
        image = draw_image(root / f"helen_{number}" / f"{name}.jpg", rng)
        points = draw_points(rng, 194)
        faces[f"helen_{number}/{name}.jpg"] = expected(points, 0.5, image)
        rows = "".join(f"{x:.6f} , {y:.6f}\r\n" for x, y in points)
        (root / "annotation" / f"{number}.txt").write_bytes(f"{name}\r\n{rows}".encode())
    (root / "trainnames.txt").write_text("30844800_1\n2267613_1\n")
    (root / "testnames.txt").write_text("2267613_1\n")
    return faces


def build_ytf(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    rows, faces = [",".join(["", *map(str, range(136))])], {}
    for name in ("Ann_Lee_00.jpg", "Ann_Lee_151.jpg"):
        image = draw_image(root / "training" / name, rng)
        points = draw_points(rng, 68)
        faces[f"training/{name}"] = expected(points, 0.5, image)
        rows.append(f"{name},{text(points).replace(' ', ',')}")
    (root / ytf.FILES["training"]).write_text("\n".join(rows) + "\n")
    return faces


OWN_POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")


def own_faces(
    root: Path, rng: np.random.Generator, folder: str = "", shift: float = 0.5, masked: bool = True
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, Expected]]:
    """Three faces on two images, with five points each: points, v and box as a tool has them."""
    faces, images = {}, {}
    for name in ("a.png", "b c.png", "b c.png#2"):
        path = name.removesuffix("#2")
        if path not in images:
            images[path] = draw_image(root / folder / path, rng)
        points, box = draw_points(rng, 5), np.array([2.0, 1.0, WIDTH - 2.0, HEIGHT - 1.0])
        v = np.array([2, 1, 2, 2, 0]) if masked and name == "b c.png" else np.full(5, 2)
        found = expected(points, shift, images[path], box, v == 2)
        landmarks = np.where(v[:, None] > 0, found.landmarks, 0).astype(np.float32)
        faces[name] = points, v, box, replace(found, landmarks=landmarks)
    return faces


def build_coco(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    """The box is measured from the image's corner, so that it is not shifted."""
    faces = own_faces(root, rng, "images")
    files = ["a.png", "b c.png"]
    annotations = []
    for number, (name, (points, v, box, _)) in enumerate(faces.items()):
        triples = [[x, y, int(f)] if f else [0, 0, 0] for (x, y), f in zip(points, v, strict=True)]
        annotations.append(
            {
                "id": number,
                "image_id": files.index(name.removesuffix("#2")) + 1,
                "category_id": 7,
                "keypoints": [value for triple in triples for value in triple],
                "num_keypoints": int((v > 0).sum()),
                "bbox": [*box[:2], *(box[2:] - box[:2])],
            }
        )
    content = {
        "images": [
            {"id": i + 1, "file_name": f, "width": WIDTH, "height": HEIGHT}
            for i, f in enumerate(files)
        ],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "face", "keypoints": OWN_POINTS, "skeleton": [[1, 2]]}],
    }
    (root / "train.json").write_text(json.dumps(content, indent=1) + "\n")
    return {name: replace(face, box=box.astype(np.float32)) for name, (_, _, box, face) in
            faces.items()}  # fmt: skip


def build_imglab(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    """Parts that are not annotated are not there; imglab knows no hidden ones."""
    faces = own_faces(root, rng)
    lines = ["<?xml version='1.0' encoding='UTF-8'?>", "<dataset>", "<images>"]
    result = {}
    for file in ("a.png", "b c.png"):
        lines.append(f"  <image file='{file}'>")
        for name in (file, f"{file}#2"):
            if name in faces:
                points, v, (x0, y0, x1, y1), face = faces[name]
                size = f"top='{y0:g}' left='{x0:g}' width='{x1 - x0:g}' height='{y1 - y0:g}'"
                lines.append(f"    <box {size}>")
                lines += [f"      <part name='{i:02}' x='{x:.6f}' y='{y:.6f}'/>"
                          for i, (x, y) in enumerate(points) if v[i]]  # fmt: skip
                lines.append("    </box>")
                box = np.array([x0, y0, x1, y1], np.float32)
                result[name] = replace(face, box=box, visible=v > 0)
        lines.append("  </image>")
    lines += ["</images>", "</dataset>"]
    (root / "train.xml").write_text("\n".join(lines) + "\n")
    return result


def build_pts(root: Path, rng: np.random.Generator, bare: bool = False) -> dict[str, Expected]:
    faces = {}
    for name in ("ann/a.png", "bob/b.jpg", "bob/c.png"):
        image = draw_image(root / name, rng)
        points = draw_points(rng, 5)
        faces[name] = expected(points, -0.5, image)
        rows = "".join(f"{x:.6f}{', ' if bare else ' '}{y:.6f}\n" for x, y in points)
        text = rows if bare else f"version: 1\nn_points: 5\n{{\n{rows}}}\n"
        (root / name).with_suffix(".pts").write_text(text)
    return faces


def build_csv(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    """The documented form, with boxes, a person for each row, and empty cells."""
    faces = own_faces(root, rng, "images")
    names = [f"{point}_{c}" for point in OWN_POINTS for c in "xyv"]
    lines = [
        ",".join(["image", "person", "box_left", "box_top", "box_right", "box_bottom", *names])
    ]
    for name, (points, v, box, _) in faces.items():
        cells = [name.removesuffix("#2"), "Ann", *(f"{value:g}" for value in box)]
        for (x, y), flag in zip(points, v, strict=True):
            cells += [f"{x:.6f}", f"{y:.6f}", str(flag)] if flag else ["", "", "0"]
        lines.append(",".join(cells))
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    return {name: face for name, (_, _, _, face) in faces.items()}


def build_csv_numbers(root: Path, rng: np.random.Generator) -> dict[str, Expected]:
    """The common form: image,x0,y0,…"""
    faces = own_faces(root, rng, masked=False)
    lines = [",".join(["image", *(f"{c}{i}" for i in range(5) for c in "xy")])]
    for name, (points, *_) in faces.items():
        lines.append(f"{name.removesuffix('#2')},{text(points).replace(' ', ',')}")
    (root / "faces.csv").write_text("\n".join(lines) + "\n")
    tight = {
        name: np.concatenate([face.landmarks.min(axis=0), face.landmarks.max(axis=0)])
        for name, (*_, face) in faces.items()
    }
    return {name: replace(face, box=tight[name]) for name, (*_, face) in faces.items()}


def triples(sample: Any, points: np.ndarray, box: np.ndarray) -> list[np.ndarray]:
    """x, y and v of each point; what stands for a point that is not annotated does not matter."""
    v = np.where(sample.visible, 2, 1).astype(float)
    rows = np.column_stack([points, v])
    rows[~sample.annotated] = [np.nan, np.nan, 0]
    return [rows.ravel()]


def annotated_parts(sample: Any, points: np.ndarray, box: np.ndarray) -> list[np.ndarray]:
    """Each part's x and y; damage may change the order and number of parts."""
    return [points[i] for i in np.flatnonzero(sample.annotated)]


def triples_of_csv(sample: Any, points: np.ndarray, box: np.ndarray) -> list[np.ndarray]:
    """x, y and v as far as they are written: empty cells are no numbers."""
    v = np.where(sample.visible, 2, 1).astype(float)
    rows = np.column_stack([points, v])
    return [rows.ravel()] if sample.annotated.all() else list(rows[sample.annotated, :2])


FORMATS = {
    "wflw": Format(build_wflw, wflw.read, (wflw.FILES["train"],)),
    "wflw_subset": Format(
        build_wflw_subset,
        functools.partial(wflw.read, splits="test/occlusion"),
        (wflw.FILES["test/occlusion"], wflw.FILES["test"]),
    ),
    "w300": Format(build_w300, w300.read, ("afw/*.pts",), shift=-0.5),
    "w300_boxes": Format(
        build_w300_boxes, w300.read, ("Bounding Boxes/*.mat",), binary=True, optional=True
    ),
    "cofw": Format(build_cofw, cofw.read, (cofw.FILES["train"],), binary=True),
    "cofw68": Format(
        build_cofw68,
        functools.partial(cofw.read, splits="test68"),
        ("COFW68_Data/*.mat", "COFW68_Data/test_annotations/*.mat"),
        binary=True,
    ),
    "aflw19": Format(
        build_aflw19, functools.partial(aflw19.read, train_faces=2), (aflw19.FILE,), binary=True
    ),
    "lfpw29": Format(build_lfpw29, lfpw29.read, (lfpw29.FILES["train"],)),
    "helen194": Format(build_helen194, helen194.read, ("annotation/*.txt",)),
    "helen194_lists": Format(
        build_helen194, functools.partial(helen194.read, splits="train"), ("trainnames.txt",)
    ),
    "ytf": Format(build_ytf, ytf.read, (ytf.FILES["training"],)),
    "coco": Format(build_coco, coco.read, ("train.json",), runs=triples),
    "imglab": Format(build_imglab, imglab.read, ("train.xml",), runs=annotated_parts),
    "pts": Format(build_pts, pts.read, ("*/*.pts",), shift=-0.5),
    "pts_bare": Format(functools.partial(build_pts, bare=True), pts.read, ("*/*.pts",), shift=-0.5),
    "csv": Format(build_csv, csv_table.read, ("train.csv",), runs=triples_of_csv),
    "csv_numbers": Format(build_csv_numbers, csv_table.read, ("faces.csv",)),
}


@pytest.fixture(params=FORMATS)
def native(request: pytest.FixtureRequest) -> Format:
    """Every native format in turn."""
    return FORMATS[request.param]


@pytest.fixture
def formats() -> dict[str, Format]:
    """The native formats by name."""
    return FORMATS
