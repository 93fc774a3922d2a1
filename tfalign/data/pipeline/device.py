"""Batches augmented on the device, without tf.data: for JAX, and machines without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfalign.data.augment import AugmentConfig, presets
from tfalign.data.pipeline.augmenter import augmenter
from tfalign.data.pipeline.crop_cache import CropCache
from tfalign.data.pipeline.order import epoch_plan, rows_of_epoch, steps_per_epoch


def device_batches(
    cache: CropCache,
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
) -> Iterator[tuple[Any, ...]]:
    """Yields what ``training_dataset`` yields, as tensors of the back end, augmented on the device.

    The source crops are sent to the device and augmented there by one compiled function
    (``jax.jit`` or ``tf.function``). The faces, their order and their augmentations are those of
    ``training_dataset`` with the same arguments.

    Args:
        cache: The faces, in memory or memory-mapped.
        batch_size: Faces in a batch.
        augment: What to do to the faces, see ``tfalign.data.augment``; None for nothing.
        seed: The run's seed.
        epoch: The first epoch.
        epochs: Number of epochs; None for no end.
        shuffle: False keeps the order of the cache.
        indices: Rows that make up an epoch.
        shard: (worker, workers): each worker gets its own part.
        drop_remainder: Whether to leave out the last, smaller batch of an epoch, which would be
            compiled once more.
        image_dtype: ``"uint8"`` or ``"float32"``.

    Yields:
        (images (batch, h, w, 3) in [0, 255], landmarks (batch, n, 2) in [0, 1]²), and where some
        point is not annotated sample weights (batch, n) float32, 0 for such points.

    Raises:
        ValueError: If an epoch would hold no batch or an argument is outside its domain.
    """
    rows = rows_of_epoch(len(cache), indices)
    steps = steps_per_epoch(len(rows), batch_size, drop_remainder, shard[1])
    epoch_plan(rows[:1], seed, epoch, shuffle, shard)  # A wrong argument is an error here.
    step = augmenter(presets.get(augment), cache.scheme, cache.image_size, image_dtype)

    masked = cache.masked

    def generate() -> Iterator[tuple[Any, ...]]:
        number = epoch
        while epochs is None or number < epoch + epochs:
            plan = epoch_plan(rows, seed, number, shuffle, shard)
            for start in range(0, steps * batch_size, batch_size):
                chosen = plan.rows[start : start + batch_size]
                yield step(
                    np.ascontiguousarray(cache.images[chosen]),
                    cache.landmarks[chosen],
                    cache.output_from_source[chosen],
                    plan.keys[start : start + batch_size],
                    *([cache.annotated[chosen]] if masked else []),
                )
            number += 1

    return generate()
