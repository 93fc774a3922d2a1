"""Crop caches → tf.data, augmented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfalign.data.augment import AugmentConfig, presets, sample_keys
from tfalign.data.pipeline.augmenter import augmenter
from tfalign.data.pipeline.crop_cache import CropCache
from tfalign.data.pipeline.order import epoch_plan, rows_of_epoch, steps_per_epoch
from tfalign.data.pipeline.shards import ShardedCache

if TYPE_CHECKING:
    import tensorflow as tf

SHUFFLE_WINDOW = 1024
"""Faces of a stream that are shuffled among each other: about 110 MB of source crops of 192²."""

_FIELDS = ("landmarks", "output_from_source")


def training_dataset(
    source: CropCache | ShardedCache | str | PathLike[str],
    batch_size: int,
    augment: AugmentConfig | str | Mapping[str, Any] | None = "greglref",
    *,
    seed: int = 0,
    epoch: int = 0,
    epochs: int | None = 1,
    shuffle: bool = True,
    indices: Sequence[int] | np.ndarray | None = None,
    shard: tuple[int, int] = (0, 1),
    drop_remainder: bool = True,
    image_dtype: str = "uint8",
    parallel_calls: int | None = None,
) -> tf.data.Dataset:
    """Returns augmented batches; TensorFlow back end only (``device_batches`` for the others).

    The order and every augmentation of epoch e are a function of (seed, e) alone, see
    ``order.epoch_plan``: ``epoch=5`` continues exactly where a run of five epochs stopped.

    Args:
        source: A cache in memory or memory-mapped; or TFRecord shards (or their directory), which
            are streamed. Streamed faces are shuffled by the order of the shards and within
            windows of ``SHUFFLE_WINDOW`` faces.
        batch_size: Faces in a batch.
        augment: What to do to the faces, see ``tfalign.data.augment``; None for nothing.
        seed: The run's seed.
        epoch: The first epoch.
        epochs: Number of epochs that follow each other in the data set; None for no end.
        shuffle: False keeps the order of the cache.
        indices: Rows that make up an epoch, e.g. ``balance.pose_balance(…).indices``; a cache only.
        shard: (worker, workers): each worker reads its own part. Faces of a cache are dealt out
            evenly; of streamed shards a worker reads whole files.
        drop_remainder: Whether to leave out the last, smaller batch of an epoch.
        image_dtype: ``"uint8"`` or ``"float32"``.
        parallel_calls: Batches augmented at once; None lets tf.data decide.

    Returns:
        Batches (images (batch, h, w, 3) in [0, 255], landmarks (batch, n, 2) in [0, 1]²); where
        some point is not annotated also sample weights (batch, n) float32, 0 for such points.

    Raises:
        ValueError: If the back end is not TensorFlow, an epoch would hold no batch, or an argument
            is outside its domain.
    """
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            "`training_dataset` augments with the TensorFlow back end; use `device_batches` with "
            f"another. Received: backend={keras.config.backend()!r}"
        )
    import tensorflow as tf

    if isinstance(source, (str, PathLike)):
        source = ShardedCache(source)
    # Inside tf.data, on the CPU, computing an effect only on the faces that drew it saves most of
    # the work: hence no static shapes.
    step = augmenter(
        presets.get(augment), source.scheme, source.image_size, image_dtype, static_shapes=False
    )

    last = np.iinfo(np.int64).max if epochs is None else epoch + epochs
    numbers = tf.data.Dataset.range(epoch, last)
    parallel = tf.data.AUTOTUNE if parallel_calls is None else parallel_calls
    if isinstance(source, CropCache):
        rows = rows_of_epoch(len(source), indices)
        steps = steps_per_epoch(len(rows), batch_size, drop_remainder, shard[1])
        batches = numbers.flat_map(_plan(rows, seed, shuffle, shard, batch_size, drop_remainder))
        batches = batches.map(_fetch(source), num_parallel_calls=parallel, deterministic=True)
    else:
        if indices is not None:
            raise ValueError(
                "`indices` needs a CropCache; load the shards (`ShardedCache.load`) or leave "
                "it out. Received: indices with streamed shards"
            )
        stream = _stream(source, batch_size, seed, shuffle, shard, drop_remainder)
        worker, workers = shard  # which reads whole files
        faces = sum(source.counts[worker::workers])
        steps = steps_per_epoch(faces, batch_size, drop_remainder)
        batches = numbers.flat_map(stream)
    batches = batches.map(step, num_parallel_calls=parallel, deterministic=True)
    total = tf.data.INFINITE_CARDINALITY if epochs is None else steps * epochs
    batches = batches.apply(tf.data.experimental.assert_cardinality(total))
    return batches.prefetch(2)


def _plan(
    rows: np.ndarray,
    seed: int,
    shuffle: bool,
    shard: tuple[int, int],
    batch_size: int,
    drop_remainder: bool,
) -> Any:
    import tensorflow as tf

    epoch_plan(rows[:1], seed, 0, shuffle, shard)  # A wrong argument is an error here, not later.

    def plan(epoch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return epoch_plan(rows, seed, int(epoch), shuffle, shard)

    def batches(epoch: Any) -> tf.data.Dataset:
        chosen, keys = tf.numpy_function(plan, [epoch], (tf.int64, tf.uint32), stateful=False)
        chosen, keys = tf.ensure_shape(chosen, (None,)), tf.ensure_shape(keys, (None, 2))
        faces = tf.data.Dataset.from_tensor_slices((chosen, keys))
        return faces.batch(batch_size, drop_remainder=drop_remainder)

    return batches


def _fetch(cache: CropCache) -> Any:
    """Returns the function (rows, keys) → the arrays that the augmentation takes."""
    import tensorflow as tf

    with tf.device("CPU"):  # where tf.data reads them, also on a machine with a GPU
        fields = (*_FIELDS, "annotated") if cache.masked else _FIELDS
        small = {name: tf.constant(getattr(cache, name)) for name in fields}

    # The images stay in NumPy: as a tensor they would be held twice, and could not be mapped.
    def read(rows: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(cache.images[rows])

    def fetch(rows: Any, keys: Any) -> tuple[Any, ...]:
        images = tf.numpy_function(read, [rows], tf.uint8, stateful=False)
        images = tf.ensure_shape(images, (rows.shape[0], *cache.images.shape[1:]))
        landmarks, crop, *masks = (tf.gather(values, rows) for values in small.values())
        return (images, landmarks, crop, keys, *masks)

    return fetch


def _stream(
    shards: ShardedCache,
    batch_size: int,
    seed: int,
    shuffle: bool,
    shard: tuple[int, int],
    drop_remainder: bool,
) -> Any:
    import tensorflow as tf

    worker, workers = shard
    if not 0 <= worker < workers <= len(shards.files):
        raise ValueError(
            "`shard` must be (worker, workers), 0 <= worker < workers <= number of files, "
            f"{len(shards.files)}. Received: shard={shard}"
        )
    files = np.array([str(file) for file in shards.files])[worker::workers]

    def order(epoch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        plan = epoch_plan(np.arange(len(files)), seed, int(epoch), shuffle)
        keys = sample_keys(seed, int(epoch), np.arange(shards.places))
        return files[plan.rows].astype(object), plan.keys[0].astype(np.int64), keys

    def batches(epoch: Any) -> tf.data.Dataset:
        types = (tf.string, tf.int64, tf.uint32)
        names, window_seed, keys = tf.numpy_function(order, [epoch], types, stateful=False)
        names, keys = tf.ensure_shape(names, (None,)), tf.ensure_shape(keys, (shards.places, 2))
        records = tf.data.Dataset.from_tensor_slices(names).interleave(
            tf.data.TFRecordDataset,
            cycle_length=4 if shuffle else 1,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        if shuffle:
            # Not Dataset.shuffle, whose order depends on the process's global seed too.
            def permute(window: Any, faces: Any) -> Any:
                window_key = tf.stack([window_seed[0] + window, window_seed[1]])
                numbers = tf.random.stateless_uniform(tf.shape(faces), window_key)
                return tf.gather(faces, tf.argsort(numbers, stable=True))

            records = records.batch(SHUFFLE_WINDOW).enumerate().map(permute).unbatch()

        def prepare(record: Any) -> tuple[Any, ...]:
            face = shards.parse(record)
            fields = (face[name] for name in ("images", *_FIELDS))
            masks = [face["annotated"]] if shards.masked else []
            return (*fields, tf.gather(keys, face["place"]), *masks)

        faces = records.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return faces.batch(batch_size, drop_remainder=drop_remainder)

    return batches
