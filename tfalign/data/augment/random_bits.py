"""Random numbers that are a pure function of a key, the same on every back end.

``keras.random`` takes an integer or a ``SeedGenerator``, draws a batch from one stream, and each
back end has its own generator. Training here needs more: the augmentation of face ``i`` in epoch
``e`` must not depend on the batch it fell into, on how many workers share the data or on the back
end, so that a resumed, re-sharded or ported run sees the same pictures. A counter-based generator
gives that: the numbers are a hash of (key, counter), one key for each face and epoch.

The generator is Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw, "Parallel random
numbers: as easy as 1, 2, 3", SC 2011), the one that JAX uses.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from tfalign.geometry.namespace import Array, namespace

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA  # Key-schedule constant of Threefry's 32-bit variants.

PARAMETERS, NOISE = 0, 1
"""Independent streams of one key: the drawn parameters of an image, and its pixel noise."""


def _word(xp: Any, value: int) -> Array:
    """Returns a 32-bit word as an array, not a scalar: NumPy's wrap without a warning."""
    words = np.asarray([value], dtype=np.uint32)
    return words if xp is np else ops.convert_to_tensor(words)


def _rotate_left(xp: Any, words: Array, count: int) -> Array:
    high = xp.left_shift(words, _word(xp, count))
    low = xp.right_shift(words, _word(xp, 32 - count))
    return xp.bitwise_or(high, low)


def threefry(key: tuple[Array, Array], counter: tuple[Array, Array]) -> tuple[Array, Array]:
    """Hashes 64-bit counters with 64-bit keys, each given as two words.

    Args:
        key: Two uint32 arrays.
        counter: Two uint32 arrays that broadcast with the key.

    Returns:
        Two uint32 arrays of the broadcast shape.
    """
    xp = namespace(*key, *counter)
    schedule = (*key, xp.bitwise_xor(xp.bitwise_xor(*key), _word(xp, _PARITY)))
    x, y = counter[0] + schedule[0], counter[1] + schedule[1]
    for group in range(5):
        for count in _ROTATIONS[group % 2]:
            x = x + y
            y = xp.bitwise_xor(_rotate_left(xp, y, count), x)
        x = x + schedule[(group + 1) % 3]
        y = y + (schedule[(group + 2) % 3] + _word(xp, group + 1))
    return x, y


def sample_keys(seed: int, epoch: int, slots: Array) -> np.ndarray:
    """Returns one key for each place in an epoch's list of samples.

    Args:
        seed: The run's seed, 0 ≤ seed < 2⁶⁴.
        epoch: 0 ≤ epoch < 2³².
        slots: (batch,) integers: positions in the epoch's unshuffled list. A face that the list
            holds twice gets two keys.

    Returns:
        (batch, 2) uint32.

    Raises:
        ValueError: If the seed or the epoch is out of range.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"`seed` must be in [0, 2**64). Received: seed={seed}")
    if not 0 <= epoch < 2**32:
        raise ValueError(f"`epoch` must be in [0, 2**32). Received: epoch={epoch}")
    key = (_word(np, seed & 0xFFFFFFFF), _word(np, seed >> 32))
    counter = (_word(np, epoch), np.asarray(slots).astype(np.uint32))
    return np.stack(threefry(key, counter), axis=-1)


def batch_keys(state: Array, batch: Any) -> Array:
    """Returns (batch, 2) uint32 keys made from one (2,) integer seed state."""
    state = ops.cast(state, "uint32")
    slots = ops.cast(ops.arange(batch, dtype="int32"), "uint32")
    words = threefry((state[:1], state[1:2]), (slots, ops.zeros_like(slots)))
    return ops.stack(words, axis=-1)


def _words(keys: Array, count: int, stream: int) -> Array:
    """Returns (batch, count) uint32 words, 2 for each counter value."""
    counters = ops.convert_to_tensor(np.arange(math.ceil(count / 2), dtype=np.uint32)[None])
    stream_word = ops.convert_to_tensor(np.full((1, 1), stream, dtype=np.uint32))
    x, y = threefry((keys[:, :1], keys[:, 1:2]), (counters, stream_word))
    return ops.concatenate([x, y], axis=-1)[:, :count]


def uniform(keys: Array, count: int, stream: int = PARAMETERS) -> Array:
    """Returns (batch, count) float32 in [0, 1), 24 random bits each, for keys (batch, 2) uint32."""
    bits = ops.right_shift(_words(keys, count, stream), ops.cast(8, "uint32"))
    return ops.cast(bits, "float32") * np.float32(2.0**-24)


def normal(keys: Array, count: int, stream: int = NOISE) -> Array:
    """Returns (batch, count) float32 standard normal numbers for keys (batch, 2) uint32.

    Box–Muller on the two halves of each word: 16 bits for the radius bound it by 4.85 standard
    deviations, which image noise quantised to grey levels does not resolve.
    """
    words = _words(keys, math.ceil(count / 2), stream)
    high = ops.cast(ops.right_shift(words, ops.cast(16, "uint32")), "float32")
    low = ops.cast(ops.bitwise_and(words, ops.cast(0xFFFF, "uint32")), "float32")
    radius = ops.sqrt(-2.0 * ops.log((high + 0.5) * np.float32(2.0**-16)))
    angle = low * np.float32(2.0 * math.pi * 2.0**-16)
    values = ops.concatenate([radius * ops.cos(angle), radius * ops.sin(angle)], axis=-1)
    return values[:, :count]
