"""Which face comes when: a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfalign.data.augment.random_bits import sample_keys


class EpochPlan(NamedTuple):
    """The faces of one epoch, in order.

    Attributes:
        rows: (m,) int64 rows of the cache.
        keys: (m, 2) uint32, the random key of each face's augmentation.
    """

    rows: np.ndarray
    keys: np.ndarray


def epoch_plan(
    indices: np.ndarray,
    seed: int,
    epoch: int,
    shuffle: bool = True,
    shard: tuple[int, int] = (0, 1),
) -> EpochPlan:
    """Plans one epoch.

    The key of each place in ``indices`` is a hash of (seed, epoch, place), and a shuffled epoch is
    sorted by these keys. Nothing depends on earlier epochs, the batch size or the number of
    workers: a run resumed at epoch e, or spread over other workers, sees the same augmented faces.

    Args:
        indices: (m,) rows of the cache that make up an epoch; a row may occur several times and is
            then augmented differently each time.
        seed: The run's seed.
        epoch: Number of the epoch, from 0.
        shuffle: False keeps the order of ``indices``.
        shard: (worker, workers): every ``workers``-th face, from ``worker``; all workers get
            equally many, so up to ``workers - 1`` faces are left out of an epoch.

    Raises:
        ValueError: If ``shard`` is not (i, n) with 0 ≤ i < n.
    """
    worker, workers = shard
    if not 0 <= worker < workers:
        raise ValueError(
            f"`shard` must be (worker, workers), 0 <= worker < workers. Received: shard={shard}"
        )
    keys = sample_keys(seed, epoch, np.arange(len(indices)))
    rows = np.asarray(indices, dtype=np.int64)
    if shuffle:
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        rows, keys = rows[order], keys[order]
    count = len(rows) // workers
    mine = slice(worker, workers * count, workers)
    return EpochPlan(rows[mine], keys[mine])


def rows_of_epoch(count: int, indices: Sequence[int] | np.ndarray | None) -> np.ndarray:
    """Returns the rows that an epoch visits: all ``count``, or ``indices`` after a check.

    Raises:
        ValueError: If an index is not in [0, count), or there is none.
    """
    if indices is None:
        return np.arange(count)
    rows = np.asarray(indices)
    if rows.ndim != 1 or not len(rows) or rows.dtype.kind not in "iu":
        raise ValueError(
            "`indices` must be a one-dimensional, non-empty integer array. Received: shape "
            f"{rows.shape}, dtype {rows.dtype}"
        )
    if rows.min() < 0 or rows.max() >= count:
        raise ValueError(
            f"`indices` must be rows of the cache, 0 to {count - 1}. Received: from {rows.min()} "
            f"to {rows.max()}"
        )
    return rows


def steps_per_epoch(
    count: int, batch_size: int, drop_remainder: bool = True, workers: int = 1
) -> int:
    """Returns the number of batches in an epoch of ``count`` faces.

    Raises:
        ValueError: If that is none.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")
    faces = count // workers
    steps = faces // batch_size if drop_remainder else -(-faces // batch_size)
    if steps < 1:
        raise ValueError(
            "An epoch must hold at least one batch: give a smaller `batch_size`. Received: "
            f"{faces} faces, batch_size={batch_size}, drop_remainder={drop_remainder}"
        )
    return steps
