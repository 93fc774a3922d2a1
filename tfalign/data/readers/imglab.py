"""dlib's imglab: an XML file of images, boxes and named parts.

    <dataset><images>
      <image file='a.jpg'>
        <box top='74' left='57' width='90' height='91'><label>Ann</label>
          <part name='00' x='55' y='102'/> …
        </box>
      </image>
    </images></dataset>

The centre of the first pixel is (0, 0); a box covers whole pixels. A box need not have all parts:
those that it lacks are not annotated. Image names are relative to the file's folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from tfalign import markup
from tfalign.data.readers.image import OTHER_FOLDER, ImageFile, find_image
from tfalign.data.readers.reader import Reader, annotation_files, attempt, numbered_names
from tfalign.data.readers.record import Record, build_record
from tfalign.data.readers.report import OnError, Problem, ReadingReport
from tfalign.data.readers.text import parse_numbers, read_bytes

_RARE = 0.05  # of the faces: a part that no more have may be another one, misspelt


def read(
    root: str | Path,
    splits: Sequence[str] | str | None = None,
    on_error: OnError = "raise",
    scheme: str | Mapping[str, Any] | markup.LandmarkScheme | None = None,
    images: str | Path | None = None,
    first_pixel: float = 0.0,
    upright: bool | None = None,
) -> Reader:
    """Reads boxes with parts.

    Args:
        root: The XML file, or the folder of the files.
        splits: A split S is ``S.xml``; None reads every XML file of the folder.
        on_error: ``"raise"`` or ``"skip"``; see ``ReadingReport``.
        scheme: The points' scheme. Parts are found in it by name or, where all parts are called by
            numbers, by number from 0 on. None makes the scheme of the parts that occur, by number
            or else by name in alphabetical order.
        images: Folder that image names are relative to; None is the file's.
        first_pixel: Coordinate of the centre of the first pixel: 0, 1, or 0.5 where the points are
            measured from the image's corner.
        upright: Whether the points lie on the images as their EXIF orientation shows them, or
            (False) on the stored pixels, as dlib takes them. None refuses images for which the two
            differ.

    Returns:
        A reader of samples in image space, named by their image; further faces of one image get
        ``#2``, ``#3``… ``attributes`` holds the box's label and further attributes as text. Boxes
        without parts, those with ``ignore='1'`` and parts that hardly any face has are listed in
        ``report.noted``.

    Raises:
        FileNotFoundError: If a file or (``"raise"``) an image is missing.
        ValueError: If a file is no such XML, its parts make no scheme, or (``"raise"``) a box or a
            part is bad.
    """
    root = Path(root)
    report = ReadingReport(on_error)
    files = {path: _parse(path) for path in annotation_files(root, splits, ".xml")}
    parts = Counter(name for boxes in files.values() for box in boxes for name in box.parts)
    faces = sum(bool(box.parts) for boxes in files.values() for box in boxes)
    found, index = _scheme(root, scheme, set(parts))
    for name, count in parts.items():
        if scheme is None and count < _RARE * faces:
            message = f"the part {name!r} is in {count} of {faces} faces only: is it misspelt?"
            report.note(Problem("not-annotated", str(root), message))
    records: list[Record] = []
    for path, boxes in files.items():
        folder = path.parent if images is None else Path(images)
        usable = []
        for box in boxes:
            if box.values.get("ignore") == "1" or not box.parts:
                message = f"a box of {box.image} has no parts or is to be ignored."
                report.note(Problem("not-annotated", box.where, message, box.image))
            else:
                usable.append(box)
        names = numbered_names([box.image.replace("\\", "/") for box in usable])
        for box, name in zip(usable, names, strict=True):
            options = (folder, index, found, 0.5 - first_pixel, upright)
            record = attempt(report, _record, box, name, *options)
            if record is not None:
                records.append(record)
    return Reader("imglab", found, records, report)


@dataclass
class _Box:
    """A ``<box>``: where it stands, its image, its attributes and label, its parts' x and y."""

    where: str
    image: str
    values: dict[str, str]
    parts: dict[str, tuple[str, str]] = field(default_factory=dict)
    fault: Problem | None = None


def _parse(path: Path) -> list[_Box]:
    """Returns the boxes of a file, their numbers as text."""
    boxes: list[_Box] = []
    opened: list[str] = []
    image = label = ""
    parser = expat.ParserCreate()

    def where() -> str:
        return f"{path}:{parser.CurrentLineNumber}"

    def start(tag: str, values: dict[str, str]) -> None:
        nonlocal image, label
        inside = opened[-1] if opened else ""
        opened.append(tag)
        if tag == "image":
            image = values.get("file", "")
        elif tag == "box" and inside == "image":
            boxes.append(_Box(where(), image, dict(values)))
        elif tag == "part" and inside == "box":
            box, name = boxes[-1], values.get("name", "")
            if not name or name in box.parts or not {"x", "y"} <= set(values):
                message = f"a part needs x, y and a name of its own in its box. Received: {values}"
                box.fault = Problem("malformed-line", where(), message, image)
            else:
                box.parts[name] = (values["x"], values["y"])
        label = ""

    def text(data: str) -> None:
        nonlocal label
        label += data

    def end(tag: str) -> None:
        opened.pop()
        if tag == "label" and opened[-1:] == ["box"]:
            boxes[-1].values["label"] = label.strip()

    def refuse(*_: Any) -> None:
        raise ValueError("it must not define entities or document types")

    parser.StartElementHandler = start
    parser.CharacterDataHandler = text
    parser.EndElementHandler = end
    # Entities can make gigabytes of a few bytes, or read other files.
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(read_bytes(path), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if hasattr(error, "problem"):
            raise
        message = f"an XML file of imglab is needed. Received: {error}"
        raise Problem("unreadable-file", where(), message).error() from error
    return boxes


def _scheme(
    root: Path, scheme: Any, parts: set[str]
) -> tuple[markup.LandmarkScheme, dict[str, int]]:
    """Returns the scheme and the place of each part in it."""
    numbers = all(part.isascii() and part.isdigit() for part in parts)
    ordered = sorted(parts, key=int) if numbers else sorted(parts)
    if scheme is not None:
        found = markup.get(scheme)
        if numbers and not parts <= set(found.points):
            index = {part: int(part) for part in ordered}
        else:
            index = {point: place for place, point in enumerate(found.points)}
        unknown = [
            part for part in ordered if index.get(part, found.num_points) >= found.num_points
        ]
        if unknown:
            raise ValueError(
                f"Every part of {root} must be a point of the scheme {found.name!r}, by name or "
                f"number. Received: {unknown}"
            )
        return found, index
    if numbers and len({int(part) for part in ordered}) < len(ordered):
        message = f"parts must not be called by one number in two ways. Received: {ordered}"
        raise Problem("unreadable-file", str(root), message).error()
    try:
        made = markup.LandmarkScheme(f"imglab_{len(ordered)}", tuple(ordered))
    except ValueError as error:
        message = f"its parts make no scheme, so `scheme` must be given: {error}"
        raise Problem("unreadable-file", str(root), message).error() from error
    return made, {part: place for place, part in enumerate(ordered)}


def _record(
    box: _Box,
    name: str,
    folder: Path,
    index: Mapping[str, int],
    scheme: markup.LandmarkScheme,
    shift: float,
    upright: bool | None,
) -> Record:
    if box.fault is not None:
        raise box.fault.error()
    points = np.zeros((scheme.num_points, 2))
    annotated = np.zeros(scheme.num_points, bool)
    for part, values in box.parts.items():
        if annotated[index[part]]:
            message = f"two parts must not be one point. Received: {sorted(box.parts)}"
            raise Problem("malformed-line", box.where, message, name).error()
        points[index[part]] = parse_numbers(values, box.where)
        annotated[index[part]] = True
    sides = [box.values.get(side, "") for side in ("left", "top", "width", "height")]
    left, top, width, height = parse_numbers(sides, box.where)
    file = find_image(folder, box.image, box.where, OTHER_FOLDER)
    return build_record(
        name=name,
        image=ImageFile(file, box.where, upright=upright),
        points=points,
        num_points=scheme.num_points,
        where=box.where,
        shift=shift,
        # The box covers whole pixels in image space: take back what points are moved by.
        box=(left - shift, top - shift, left + width - shift, top + height - shift),
        annotated=annotated,
        attributes={
            key: value
            for key, value in box.values.items()
            if key not in ("left", "top", "width", "height", "ignore")
        },
    )
