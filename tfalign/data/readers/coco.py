"""COCO key points: what CVAT, Label Studio, Roboflow and many others export, and COCO-WholeBody.

A JSON file with ``images`` (``id``, ``file_name``, perhaps ``width`` and ``height``),
``annotations`` (``image_id``, ``category_id``, ``keypoints``: x, y, v for each point, perhaps
``bbox``: x, y, width, height) and ``categories`` (``keypoints``: the points' names, ``skeleton``).
v is 0 for a point that is not annotated, 1 for a hidden one, 2 for a visible one. The images lie
beside the file, in ``images/`` beside it or beside its folder.

The centre of the first pixel is (0, 0) for key points, and boxes are measured from the image's
corner, as in COCO itself; for tools that measure points from the corner, too, give
``first_pixel=0.5``. Images are turned upright as their EXIF orientation says, because that is how
the tools show them; where the file states the image's size, it must be that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import markup
from tfalign.data.readers.image import OTHER_FOLDER, ImageFile, find_image, image_folder
from tfalign.data.readers.reader import Reader, annotation_files, attempt, numbered_names
from tfalign.data.readers.record import Record, build_record
from tfalign.data.readers.report import BadAnnotationError, OnError, Problem, ReadingReport
from tfalign.data.readers.text import is_number, read_bytes

_IN_A_SPLITS_FOLDER = ("_annotations.coco.json", "annotations.json", "annotations.coco.json")


def read(
    root: str | Path,
    splits: Sequence[str] | str | None = None,
    on_error: OnError = "raise",
    scheme: str | Mapping[str, Any] | markup.LandmarkScheme | None = None,
    category: str | None = None,
    part: str | None = None,
    images: str | Path | None = None,
    first_pixel: float = 0.0,
    upright: bool = True,
) -> Reader:
    """Reads key points.

    Args:
        root: The JSON file, or the folder of the export.
        splits: A split S is ``S.json``, ``annotations/S.json`` or (Roboflow)
            ``S/_annotations.coco.json``; None reads every JSON file of the folder.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.
        scheme: The points' scheme, whose points are found by name in the category; numbers that
            are not its names, and points of a ``part``, are taken in order. None makes the scheme
            of the category's names and skeleton.
        category: Name of the category to read, needed where several have key points.
        part: Of COCO-WholeBody, ``"face"`` (68 points, read as ``ibug68`` unless ``scheme`` says
            otherwise), ``"lefthand"``, ``"righthand"`` or ``"foot"``.
        images: Folder that image names are relative to; None looks beside the file.
        first_pixel: Coordinate of the centre of the first pixel: 0, 1, or 0.5 where the points are
            measured from the image's corner.
        upright: Whether to follow the images' EXIF orientation.

    Returns:
        A reader of samples in image space, named by their image; further faces of one image get
        ``#2``, ``#3``… ``attributes`` holds the annotation's ``attributes`` (CVAT's). Annotations
        without any point, and crowds, are listed in ``report.noted``, those of other categories
        counted there.

    Raises:
        FileNotFoundError: If a file or (``"raise"``) an image is missing.
        ValueError: If a file is no COCO file, categories disagree or must be named, or
            (``"raise"``) an annotation is bad.
    """
    root = Path(root)
    report = ReadingReport(on_error)
    if scheme is None and part == "face":
        scheme = markup.IBUG68
    found = None if scheme is None else markup.get(scheme)
    records: list[Record] = []
    for path in annotation_files(root, splits, ".json", _IN_A_SPLITS_FOLDER):
        content = _load(path)
        chosen = _category(content, path, category, part)
        mine = found if found is not None else _scheme(chosen, path, part)
        if found is None:
            found = mine
        elif found != mine:
            message = "all files must have the same key points, or `scheme` must say which."
            raise Problem("unreadable-file", str(path), message).error()
        faces = _faces(content, path, chosen, part, report)
        names = numbered_names([str(image["file_name"]).replace("\\", "/") for _, image in faces])
        folder = image_folder(path, images, names)
        options = (_order(chosen, found, path, part), part, 0.5 - first_pixel, upright)
        for (annotation, image), name in zip(faces, names, strict=True):
            record = attempt(report, _record, path, folder, annotation, image, name, *options)
            if record is not None:
                records.append(record)
    return Reader("coco", found or markup.LandmarkScheme.unnamed(1), records, report)


def _load(path: Path) -> dict[str, Any]:
    """Returns the file's content, once its form is as above."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError(f"a key stands twice among {[key for key, _ in pairs]}")
        return dict(pairs)

    def no_number(text: str) -> float:
        raise ValueError(f"numbers must be finite. Received: {text}")

    try:
        text = read_bytes(path).decode("utf-8-sig")
        content = json.loads(text, object_pairs_hook=once, parse_constant=no_number)
        if not isinstance(content, dict):
            raise ValueError("a JSON object is needed")
        for key in ("images", "annotations", "categories"):
            entries = content.get(key)
            if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
                raise ValueError(f"`{key}` must be a list of objects")
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadAnnotationError):
            raise
        message = f"a file in COCO's form is needed. Received: {error}"
        raise Problem("unreadable-file", str(path), message).error() from error
    return content


def _category(
    content: Mapping[str, Any], path: Path, name: str | None, part: str | None
) -> Mapping[str, Any]:
    """Returns the category to read."""
    candidates = [
        entry
        for entry in content["categories"]
        if (entry.get("name") == name if name else part or entry.get("keypoints"))
    ]
    if len(candidates) != 1 or not isinstance(candidates[0].get("id"), int):
        names = [str(entry.get("name")) for entry in content["categories"]]
        message = (
            "one category with key points is needed; give `category` where there are several. "
            f"Received: category={name!r}, of {names}"
        )
        raise Problem("unreadable-file", str(path), message).error()
    found: Mapping[str, Any] = candidates[0]
    return found


def _scheme(category: Mapping[str, Any], path: Path, part: str | None) -> markup.LandmarkScheme:
    try:
        if part is not None:
            raise ValueError(f"the points of {part!r} have no names in the file")
        return markup.LandmarkScheme.from_coco(category)
    except ValueError as error:
        message = f"its key points make no scheme, so `scheme` must be given: {error}"
        raise Problem("unreadable-file", str(path), message).error() from error


def _order(
    category: Mapping[str, Any], scheme: markup.LandmarkScheme, path: Path, part: str | None
) -> np.ndarray:
    """Returns for each point of the scheme its place in the file."""
    names = [str(name) for name in category.get("keypoints") or ()]
    named = sorted(names) == sorted(scheme.points)  # Also where the scheme's names are numbers.
    numbered = len(names) == scheme.num_points and all(name.isdigit() for name in names)
    if part is not None or (numbered and not named):
        return np.arange(scheme.num_points)
    if not named:
        raise ValueError(
            f"The key points of {path} must be the points of the scheme {scheme.name!r}, in any "
            f"order. Received: {names}"
        )
    return np.array([names.index(point) for point in scheme.points])


def _faces(
    content: Mapping[str, Any],
    path: Path,
    category: Mapping[str, Any],
    part: str | None,
    report: ReadingReport,
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Returns the usable annotations of the category, each with its image."""
    images: dict[Any, Mapping[str, Any]] = {}
    for number, image in enumerate(content["images"]):
        where = f"{path}: images[{number}]"
        key, name = image.get("id"), image.get("file_name")
        if not isinstance(key, (int, str)) or not isinstance(name, str) or not name:
            message = f"an image must have an id and a file_name. Received: {image}"
            report.reject(Problem("malformed-line", where, message))
        elif key in images:
            message = f"an image's id must differ from all others. Received: id={key}"
            raise Problem("unreadable-file", where, message).error()
        else:
            images[key] = image
    listed = [entry["id"] for entry in content["categories"] if "id" in entry]
    others = 0
    faces: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
    seen: dict[str, str] = {}
    for number, annotation in enumerate(content["annotations"]):
        where = f"{path}: annotations[{number}]"
        kind = annotation.get("category_id")
        if kind not in listed:
            message = (
                "its category must be listed, by the same id (a number and its text differ). "
                f"Received: category_id={kind!r}, listed {listed}"
            )
            report.reject(Problem("malformed-line", where, message))
            continue
        if kind != category["id"]:
            others += 1
            continue
        key = annotation.get("image_id")
        image = images.get(key) if isinstance(key, (int, str)) else None
        if image is None:
            message = f"its image must be listed. Received: image_id={key!r}"
            report.reject(Problem("malformed-line", where, message))
            continue
        crowd = annotation.get("iscrowd")
        if crowd or not _has_points(annotation, category, part):
            none = "no point is annotated" if part else "no point is annotated, v is 0"
            what = "a crowd is no face" if crowd else none
            message = f"{what} here, in {image['file_name']}."
            report.note(Problem("not-annotated", where, message, image["file_name"]))
            continue
        same = json.dumps([annotation["image_id"], annotation.get(_keys(part)[0])])
        if same in seen:
            message = f"a face must be listed once. Received: the face of {seen[same]} again"
            report.reject(Problem("duplicate", where, message, image["file_name"]))
            continue
        seen[same] = where
        faces.append(({**annotation, "where": where}, image))
    if others:
        message = f"of other categories than {category.get('name')!r} are {others} annotations."
        report.note(Problem("not-annotated", str(path), message))
    return faces


def _keys(part: str | None) -> tuple[str, str]:
    """Returns the keys of points and box."""
    return ("keypoints", "bbox") if part is None else (f"{part}_kpts", f"{part}_box")


def _has_points(
    annotation: Mapping[str, Any], category: Mapping[str, Any], part: str | None
) -> bool:
    if part is not None:
        return bool(annotation.get(f"{part}_valid"))
    values = annotation.get("keypoints", [])
    count = 3 * len(category.get("keypoints") or ())
    if not isinstance(values, list) or len(values) not in (0, count):
        return True  # A fault, which is found later.
    return any(value != 0 for value in values[2::3])


def _record(
    path: Path,
    folder: Path,
    annotation: Mapping[str, Any],
    image: Mapping[str, Any],
    name: str,
    order: np.ndarray,
    part: str | None,
    shift: float,
    upright: bool,
) -> Record:
    where = str(annotation["where"])
    num_points = len(order)
    key, box_key = _keys(part)
    values = numbers(annotation.get(key), f"{key} of {name}", where)
    if len(values) != 3 * num_points:
        message = f"{key} must be x, y, v of {num_points} points. Received: {len(values)} numbers"
        raise Problem("wrong-number-of-points", where, message, name).error()
    flags = values[2::3]
    if any(flag not in (0, 1, 2) for flag in flags):
        message = f"v must be 0, 1 or 2. Received: {flags}"
        raise Problem("malformed-line", where, message, name).error()
    stated = annotation.get("num_keypoints") if part is None else None
    if stated is not None and stated != sum(flag > 0 for flag in flags):
        message = (
            "num_keypoints must be the number of points with v > 0. Received: "
            f"num_keypoints={stated} with {sum(flag > 0 for flag in flags)} such points"
        )
        raise Problem("wrong-number-of-points", where, message, name).error()
    box = annotation.get(box_key) or None
    if box is not None:
        x, y, width, height = numbers(box, box_key, where, 4)
        # The box is in image space already: take back what points are moved by.
        box = [x - shift, y - shift, x + width - shift, y + height - shift]
    file = find_image(folder, str(image["file_name"]), where, OTHER_FOLDER)
    extra = annotation.get("attributes")
    return build_record(
        name=name,
        image=ImageFile(file, where, _size(image, where, name), upright),
        points=np.reshape(values, (-1, 3))[order, :2],
        num_points=num_points,
        where=where,
        shift=shift,
        box=box,
        visible=np.equal(flags, 2)[order],
        annotated=np.greater(flags, 0)[order],
        attributes=extra if isinstance(extra, dict) else {},
    )


def _size(image: Mapping[str, Any], where: str, name: str) -> tuple[int, int] | None:
    """Returns the width and height that the file states for an image, or None."""
    stated = [image.get(side) for side in ("width", "height")]
    if stated == [None, None]:
        return None
    # Tools that pass through tables write 512.0 or "512".
    sides = [float(s) if isinstance(s, str) and is_number(s.strip()) else s for s in stated]
    width, height = numbers(sides, "width and height", where, 2)
    if not all(side > 0 and side.is_integer() for side in (width, height)):
        message = (
            "an image's width and height must be whole numbers of pixels above 0, or both left "
            f"out. Received: width={stated[0]!r}, height={stated[1]!r}"
        )
        raise Problem("malformed-line", where, message, name).error()
    return int(width), int(height)


def numbers(values: Any, what: str, where: str, count: int | None = None) -> list[float]:
    """Returns a JSON list of finite numbers.

    Raises:
        ValueError: If it is anything else, or not ``count`` of them.
    """
    good = isinstance(values, list) and (count is None or len(values) == count)
    good = good and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
        for value in values
    )
    if not good or not all(math.isfinite(value) for value in values):
        message = f"{what} must be {count or 'a list of'} finite numbers. Received: {values!r}"
        raise Problem("malformed-line", where, message).error()
    return [float(value) for value in values]
