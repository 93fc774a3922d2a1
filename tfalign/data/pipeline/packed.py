"""A crop cache on disk as one ``.npz`` and ``.npy`` pair, readable with NumPy alone.

``PATH.npy`` holds the source crops, so that it can be memory-mapped and its pages shared by any
number of workers; ``PATH.npz`` holds everything else, and the size and SHA-256 of the images.
"""

from __future__ import annotations

import json
import zipfile
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from tfalign import geometry, markup
from tfalign.data.pipeline.crop_cache import CropCache
from tfalign.files import plain, replacing, sha256

FORMAT = "tfalign crop cache 2"
_OLD_FORMAT = "tfalign crop cache 1"  # Its scheme is a name, its size (width, height).

_ARRAYS = ("landmarks", "visible", "source_from_image", "output_from_source", "boxes", "names")


def describe(cache: CropCache) -> dict[str, Any]:
    """Returns what is common to all faces of a cache, as plain data."""
    return {
        "format": FORMAT,
        "count": len(cache),
        "scheme": cache.scheme.to_config(),
        "image_size": list(cache.image_size),
        "source_size": int(cache.images.shape[1]),
        "crop": cache.crop.get_config(),
    }


def _paths(path: str | PathLike[str]) -> tuple[Path, Path]:
    base = Path(path)
    if base.suffix in (".npz", ".npy"):
        base = base.with_suffix("")
    return base.with_name(base.name + ".npz"), base.with_name(base.name + ".npy")


def save(cache: CropCache, path: str | PathLike[str]) -> None:
    """Writes a cache as ``path.npz`` and ``path.npy`` (a suffix in ``path`` is ignored).

    Each file is written under another name and then renamed, the ``.npz`` last.
    """
    table_path, images_path = _paths(path)
    with replacing(images_path) as temporary, temporary.open("wb") as file:
        np.save(file, cache.images)
    about = {
        **describe(cache),
        "images_bytes": images_path.stat().st_size,
        "images_sha256": sha256(images_path),
        "attributes": [dict(item) for item in cache.attributes],
    }
    arrays = {name: getattr(cache, name) for name in _ARRAYS}
    with replacing(table_path) as temporary, temporary.open("wb") as file:
        np.savez(file, about=np.array(json.dumps(about, default=plain)), **arrays)


def load(path: str | PathLike[str], mmap: bool = False) -> CropCache:
    """Loads a cache that ``save`` wrote.

    Args:
        path: As given to ``save``.
        mmap: True maps the images into memory instead of reading them: the start is immediate,
            workers on one machine share the pages, and data sets may exceed the memory. Only the
            file's size is then checked, not its SHA-256.

    Raises:
        FileNotFoundError: If one of the two files is missing.
        ValueError: If a file is damaged, or is no crop cache.
    """
    table_path, images_path = _paths(path)
    for file in (table_path, images_path):
        if not file.is_file():
            raise FileNotFoundError(f"A crop cache is a pair of .npz and .npy files: no {file}")
    try:
        with np.load(table_path, allow_pickle=False) as table:
            about = json.loads(str(table["about"]))
            arrays = {name: table[name] for name in _ARRAYS}
    except (KeyError, ValueError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise ValueError(f"{table_path} is damaged or no crop cache: {error}") from error
    if about.get("format") not in (FORMAT, _OLD_FORMAT):
        raise ValueError(
            f"{table_path} must have the format {FORMAT!r}. Received: {about.get('format')!r}"
        )
    height, width = about["image_size"][:: 1 if about["format"] == FORMAT else -1]
    size = images_path.stat().st_size
    if size != about["images_bytes"] or not (mmap or sha256(images_path) == about["images_sha256"]):
        raise ValueError(
            f"{images_path} must be the file that was written with {table_path.name} "
            f"({about['images_bytes']} bytes). Received: {size} bytes, other content"
        )
    attributes = np.empty(len(about["attributes"]), dtype=object)
    attributes[:] = about["attributes"]
    return CropCache(
        images=np.load(images_path, mmap_mode="r" if mmap else None, allow_pickle=False),
        attributes=attributes,
        scheme=markup.get(about["scheme"]),
        image_size=(height, width),
        crop=geometry.CropConvention.from_config(about["crop"]),
        **arrays,
    )
