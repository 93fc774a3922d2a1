"""A crop cache on disk as TFRecord shards, for data that exceeds the memory or many workers.

A directory holds ``faces-00000-of-00016.tfrecord`` … and ``manifest.json``, which is written last:
a directory without it is unfinished. Only this file and ``tf_dataset`` need TensorFlow, and only
when they are used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign import geometry, markup
from tfalign.data.pipeline.crop_cache import PER_FACE, CropCache
from tfalign.data.readers.reader import Reader
from tfalign.files import plain, read_json, replacing, sha256, write_json

FORMAT = "tfalign crop shards 2"
_OLD_FORMAT = "tfalign crop shards 1"  # Its scheme is a name, its size (width, height).
MANIFEST = "manifest.json"

# The arrays of one face, stored as raw bytes; each dtype is the one that CropCache states.
_ARRAYS: dict[str, type[np.generic]] = {
    "images": np.uint8,
    "landmarks": np.float32,
    "visible": np.bool_,
    "source_from_image": np.float32,
    "output_from_source": np.float32,
    "boxes": np.float32,
    "annotated": np.bool_,
}


def write_shards(
    source: CropCache | Reader,
    directory: str | PathLike[str],
    shards: int = 16,
    *,
    workers: int | None = None,
    progress: bool = False,
    **build: Any,
) -> ShardedCache:
    """Writes TFRecord shards in parallel.

    Args:
        source: A cache, or a reader, whose faces are then cropped shard by shard, so that no more
            than ``workers`` shards are ever in memory.
        directory: Where to write; must not hold a finished cache.
        shards: Number of files.
        workers: Number of threads; None is one for each processor.
        progress: Whether to show a progress bar, one step for each shard.
        build: Arguments of ``CropCache.build`` for a reader: ``crop``, ``image_size``, ….

    Returns:
        The finished directory.

    Raises:
        ValueError: If ``shards`` exceeds the number of faces or is not positive.
        FileExistsError: If the directory holds a finished cache.
    """
    folder = Path(directory)
    if not 1 <= shards <= len(source):
        raise ValueError(
            f"`shards` must be between 1 and the number of faces, {len(source)}. "
            f"Received: shards={shards}"
        )
    if (folder / MANIFEST).exists():
        raise FileExistsError(f"{folder} already holds a finished cache; remove it first")
    bounds = [len(source) * i // shards for i in range(shards + 1)]
    count = workers or os.cpu_count() or 1
    bar = keras.utils.Progbar(shards, unit_name="shard", verbose=1) if progress else None

    def task(i: int) -> tuple[dict[str, Any], dict[str, Any]]:
        chosen = slice(bounds[i], bounds[i + 1])
        if isinstance(source, CropCache):
            part = source.take(chosen)
        else:
            part = CropCache.build(source[chosen], workers=1, **build)
        name = f"faces-{i:05d}-of-{shards:05d}.tfrecord"
        _write_shard(part, folder / name, bounds[i])
        entry = {"file": name, "count": len(part), "sha256": sha256(folder / name)}
        return {**part.describe(), "masked": part.masked}, entry

    entries: list[dict[str, Any]] = []
    about: dict[str, Any] = {}
    with ThreadPoolExecutor(count) as pool:
        for description, entry in pool.map(task, range(shards)):
            masked = bool(about.get("masked")) or description["masked"]
            about.update(description, masked=masked)
            entries.append(entry)
            if bar is not None:
                bar.update(len(entries))
    total = sum(entry["count"] for entry in entries)
    manifest = {**about, "format": FORMAT, "count": total, "places": len(source), "shards": entries}
    write_json(folder / MANIFEST, manifest)
    return ShardedCache(folder)


def _write_shard(part: CropCache, path: Path, first: int) -> None:
    import tensorflow as tf

    def feature(value: bytes) -> Any:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    with replacing(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for row in range(len(part)):
            features = {
                name: feature(np.asarray(getattr(part, name)[row], dtype).tobytes())
                for name, dtype in _ARRAYS.items()
            }
            features["names"] = feature(str(part.names[row]).encode())
            attributes = json.dumps(dict(part.attributes[row]), default=plain)
            features["attributes"] = feature(attributes.encode())
            place = tf.train.Int64List(value=[first + row])
            features["place"] = tf.train.Feature(int64_list=place)
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


class ShardedCache:
    """A directory of TFRecord shards.

    Args:
        directory: A directory that ``write_shards`` finished.

    Attributes:
        scheme: The landmark scheme.
        image_size: (height, width) of the model's input.
        crop: The crop convention.
        source_size: Side of the source crops in pixels.
        masked: Whether some point of some face is not annotated.
        files: Paths of the shards.
        counts: How many faces each of them holds.

    Raises:
        FileNotFoundError: If the manifest or a shard is missing.
        ValueError: If the manifest is damaged or of another format.
    """

    def __init__(self, directory: str | PathLike[str]) -> None:
        self.directory = Path(directory)
        path = self.directory / MANIFEST
        if not path.is_file():
            raise FileNotFoundError(f"Not a finished directory of shards: no {path}")
        try:
            manifest = read_json(path)
            if manifest["format"] not in (FORMAT, _OLD_FORMAT):
                raise ValueError(f"`format` must be {FORMAT!r}. Received: {manifest['format']!r}")
            self._entries: Sequence[Mapping[str, Any]] = manifest["shards"]
            self._count = int(manifest["count"])
            self.counts = [int(entry["count"]) for entry in self._entries]
            self.places = int(manifest["places"])
            self.source_size = int(manifest["source_size"])
            size = manifest["image_size"][:: 1 if manifest["format"] == FORMAT else -1]
            self.image_size = (int(size[0]), int(size[1]))
            self.scheme = markup.get(manifest["scheme"])
            self.crop = geometry.CropConvention.from_config(manifest["crop"])
            self.masked = bool(manifest.get("masked", False))
            # Older shards hold no masks.
            self._fields = [n for n in PER_FACE if n != "annotated" or "masked" in manifest]
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(f"{path} is damaged or no manifest of shards: {error}") from error
        self.files = [self.directory / str(entry["file"]) for entry in self._entries]
        for file in self.files:
            if not file.is_file():
                raise FileNotFoundError(f"A shard named in {path} is missing: {file}")

    def __len__(self) -> int:
        return self._count

    def verify(self) -> None:
        """Compares every shard's SHA-256 with the manifest's.

        Raises:
            ValueError: If one differs.
        """
        for file, entry in zip(self.files, self._entries, strict=True):
            received = sha256(file)
            if received != entry["sha256"]:
                raise ValueError(
                    f"The shard {file} is damaged: its SHA-256 must be {entry['sha256']}. "
                    f"Received: {received}"
                )

    def parse(self, serialized: Any) -> dict[str, Any]:
        """Parses one record inside tf.data: the fields of ``CropCache``, and its ``place``."""
        import tensorflow as tf

        text = tf.io.FixedLenFeature([], tf.string)
        specification = dict.fromkeys(self._fields, text)
        specification["place"] = tf.io.FixedLenFeature([], tf.int64)
        parsed: dict[str, Any] = tf.io.parse_single_example(serialized, specification)
        shapes = {
            "images": (self.source_size, self.source_size, 3),
            "landmarks": (self.scheme.num_points, 2),
            "visible": (self.scheme.num_points,),
            "source_from_image": (2, 3),
            "output_from_source": (2, 3),
            "boxes": (4,),
            "annotated": (self.scheme.num_points,),
        }
        for name, dtype in _ARRAYS.items():
            if name in self._fields:
                flat = tf.io.decode_raw(parsed[name], tf.as_dtype(dtype))
                parsed[name] = tf.reshape(flat, shapes[name])
        return parsed

    def load(self) -> CropCache:
        """Reads all shards into memory, in the order in which they were written.

        Raises:
            ValueError: If a shard is damaged.
        """
        import tensorflow as tf

        self.verify()
        names = [str(file) for file in self.files]
        rows = list(tf.data.TFRecordDataset(names).map(self.parse).as_numpy_iterator())
        stored = [name for name in _ARRAYS if name in self._fields]
        arrays = {name: np.stack([row[name] for row in rows]) for name in stored}
        attributes = np.empty(len(rows), dtype=object)
        attributes[:] = [json.loads(row["attributes"]) for row in rows]
        return CropCache(
            **arrays,
            names=np.array([row["names"].decode() for row in rows]),
            attributes=attributes,
            scheme=self.scheme,
            image_size=self.image_size,
            crop=self.crop,
        )
