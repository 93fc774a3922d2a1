"""The page of files and fields names every field that programs write, and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from tfalign.inference import Face, Faces
from tfalign.inference.jobs import picture_row

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/concepts/files.md").read_text("utf-8")


def rows(title: str) -> dict[str, str]:
    """A table's first cells, without their quotes, and the rest of each row."""
    table = PAGE.split(f"| {title} |")[1].split("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \|(.*)$", table, re.MULTILINE))


def test_rows_of_photographs_and_faces() -> None:
    points = np.zeros((3, 2))
    face = Face(points, np.array([0.0, 0.0, 1.0, 1.0]), points[None], 1.0, 0.03)
    written = picture_row(Faces([face], ["a.jpg"], 3), "a.jpg")
    assert list(rows("photograph")) == list(written)
    assert list(rows("face")) == list(written["faces"][0])


def test_metadata() -> None:
    schema = json.loads((ROOT / "tfalign/tflite/metadata.schema.json").read_text("utf-8"))
    told = rows("key")
    assert list(told) == list(schema["properties"])
    for key, value in schema["properties"].items():
        each = value.get("additionalProperties") or {}  # of objects by a name that is free
        for name in value.get("properties") or each.get("properties", {}):
            assert f"`{name}`" in told[key], f"{key}.{name}"
