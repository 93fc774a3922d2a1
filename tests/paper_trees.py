"""A fake tree of every data set: rendered faces in the official layouts.

Points of markups that the renderer does not know lie anywhere on the face, but for the eyes, which
protocols divide by: what is tested with them is the program and not the accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import h5py
import numpy as np
import scipy.io

from tfalign import markup
from tfalign.data import synthetic
from tfalign.data.readers import aflw19, cofw, helen194, lfpw29, w300, wflw
from tfalign.data.sample import Sample

SIZE = 96
AFLW_TRAIN = 6


def make_tree(root: Path, train: int = 8, test: int = 4) -> Path:
    """Writes a folder for every published data set, by its name."""
    # Of this seed's four test faces each of WFLW's six subsets has one.
    synthetic.write_wflw(root / "wflw", train, test, seed=14, size=SIZE, workers=1)
    faces = list(wflw.read(root / "wflw", ["train"])) + list(wflw.read(root / "wflw", ["test"]))
    write_300w(root / "300w", faces)
    for folder in ("cofw", "cofw68"):
        write_cofw(root / folder, faces[:6])
    write_aflw19(root / "aflw19", faces[: AFLW_TRAIN + 3])
    write_lfpw29(root / "lfpw29", faces)
    write_menpo(root / "menpo", faces[:3])
    write_helen194(root / "helen194", faces)
    return root


def points_of(face: Sample, scheme: markup.LandmarkScheme) -> np.ndarray:
    """Returns landmarks (n, 2) of a rendered face in image space, in another scheme."""
    if scheme.num_points == 68:
        return np.asarray(markup.convert(face.landmarks, markup.WFLW98, scheme))
    low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
    rng = np.random.default_rng(len(face.name))
    points = rng.uniform(low, high, (scheme.num_points, 2))
    if scheme.eye_corners is not None:
        points[list(scheme.eye_corners)] = face.landmarks[[60, 72]]
    for group, pupil in zip(scheme.pupils or (), (96, 97), strict=False):
        points[list(group)] = face.landmarks[pupil]
    return points


def box_of(points: np.ndarray) -> np.ndarray:
    """Returns a box (x0, y0, x1, y1) somewhat larger than the points'."""
    return np.concatenate([points.min(axis=0) - 2, points.max(axis=0) + 3])


def save(path: Path, face: Sample) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), face.image[..., ::-1])


def write_300w(root: Path, faces: Sequence[Sample]) -> None:
    """Three faces for every folder, with both official boxes."""
    for start, folder in enumerate(w300.FOLDERS):
        cells = np.empty((1, 3), object)
        for index in range(3):
            face = faces[(start + index) % len(faces)]
            path = root / folder / f"face{index}_1.png"
            save(path, face)
            points = points_of(face, markup.IBUG68) + 0.5
            write_pts(path, points)
            tight = np.concatenate([points.min(axis=0), points.max(axis=0)])
            boxes = {"bb_detector": box_of(points)[None], "bb_ground_truth": tight[None]}
            cells[0, index] = {"imgName": path.name, **boxes}
        file = root / "Bounding Boxes" / f"bounding_boxes_{folder.replace('/', '_')}.mat"
        file.parent.mkdir(exist_ok=True)
        scipy.io.savemat(file, {"bounding_boxes": cells})


def write_pts(image: Path, points: np.ndarray) -> None:
    rows = "".join(f"{x:.4f} {y:.4f}\n" for x, y in points)
    text = f"version: 1\nn_points: {len(points)}\n{{\n{rows}}}\n"
    image.with_suffix(".pts").write_text(text)


def write_menpo(root: Path, faces: Sequence[Sample]) -> None:
    """The last face counts as a profile, with 39 points."""
    for index, face in enumerate(faces):
        path = root / f"aflw__face_{index}.jpg"
        save(path, face)
        points = points_of(face, markup.IBUG68) + 0.5
        write_pts(path, points if face is not faces[-1] else points[:39])


def write_cofw(root: Path, faces: Sequence[Sample]) -> None:
    """The same faces to train and to test on, and the latter with 68 points."""
    root.mkdir(parents=True)
    for split, suffix in (("train", "Tr"), ("test", "T")):
        phis, boxes = [], []
        with h5py.File(root / cofw.FILES[split], "w", userblock_size=512) as file:
            cells = np.empty((1, len(faces)), h5py.ref_dtype)
            for index, face in enumerate(faces):
                data = file.create_dataset(f"#refs#/{index}", data=face.image.T)
                cells[0, index] = data.ref
                points = points_of(face, markup.COFW29) + 0.5
                x0, y0, x1, y1 = box_of(points)
                phis.append(np.concatenate([points[:, 0], points[:, 1], np.zeros(29)]))
                boxes.append((x0, y0, x1 - x0, y1 - y0))
            file.create_dataset(f"Is{suffix}", data=cells)
            file.create_dataset(f"phis{suffix}", data=np.stack(phis, axis=1))
            file.create_dataset(f"bboxes{suffix}", data=np.stack(boxes, axis=1))
    folder = root / "COFW68_Data" / "test_annotations"
    folder.mkdir(parents=True)
    for index, face in enumerate(faces):
        content = {"Points": points_of(face, markup.IBUG68) + 0.5, "Occ": np.zeros((68, 1))}
        content["Occ"][::7] = 1
        scipy.io.savemat(folder / f"{index + 1}_points.mat", content)
    file = folder.parent / "cofw68_test_bboxes.mat"
    scipy.io.savemat(file, {"bboxes": np.array(boxes)})


def write_aflw19(root: Path, faces: Sequence[Sample]) -> None:
    """The first ``AFLW_TRAIN`` faces are those to train on; all points are visible."""
    count = len(faces)
    points = np.stack([points_of(face, markup.AFLW19) + 0.5 for face in faces])
    x0, y0, x1, y1 = np.stack([box_of(p) for p in points]).T
    cells = np.empty((count, 1), object)
    for index, face in enumerate(faces):
        cells[index, 0] = f"0/{index}.png"
        save(root / "data" / "flickr" / "0" / f"{index}.png", face)
    content = {
        "bbox": np.stack([x0, x1, y0, y1], axis=1),
        "data": points.transpose(0, 2, 1).reshape(count, 38),
        "mask_new": np.ones((count, 19)),
        "nameList": cells,
        "ra": np.arange(1, count + 1, dtype=np.uint16)[None],
    }
    scipy.io.savemat(root / aflw19.FILE, content)


def write_lfpw29(root: Path, faces: Sequence[Sample]) -> None:
    ears = [f"{s}_ear_{p}" for p in ("top", "bottom", "canal") for s in ("left", "right")]
    names = [*lfpw29.POINTS[:28], *ears, "chin"]
    header = "\t".join(["imgurl", "worker", *(f"{name}_{c}" for name in names for c in "xyt")])
    for split, part in (("train", faces[:7]), ("test", faces[7:])):
        rows = [header]
        for number, face in enumerate(part, start=1):
            points = points_of(face, markup.LFPW29) - 0.5
            points = np.concatenate([points[:28], points[:6], points[28:]])
            fields = [f"{x:.4f}\t{y:.4f}\t0" for x, y in points]
            rows.append("\t".join([f"http://host/{split}{number}.jpg", "average", *fields]))
            save(root / split / f"image_{number:04d}.png", face)
        (root / lfpw29.FILES[split]).write_text("\n".join(rows) + "\n")


def write_helen194(root: Path, faces: Sequence[Sample]) -> None:
    (root / "annotation").mkdir(parents=True)
    names = [f"{1000 + index}_1" for index in range(len(faces))]
    for index, (name, face) in enumerate(zip(names, faces, strict=True), start=1):
        save(root / "images" / f"{name}.jpg", face)
        points = points_of(face, markup.HELEN194) - 0.5
        rows = "".join(f"{x:.4f} , {y:.4f}\r\n" for x, y in points)
        (root / "annotation" / f"{index}.txt").write_bytes(f"{name}\r\n{rows}".encode())
    for split, part in (("train", names[:-4]), ("test", names[-4:])):
        (root / helen194.LISTS[split]).write_text("".join(f"{name}\n" for name in part))
