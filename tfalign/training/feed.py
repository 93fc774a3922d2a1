"""Where batches come from: order and augmentation depend on the seed and the epoch alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import keras
import numpy as np

Batch = tuple[Any, ...]


class Feed(Protocol):
    """A source of training batches that can begin at any epoch.

    Attributes:
        batch_size: Faces in a batch, over all workers.
        steps_per_epoch: Batches in one epoch, the same for all.
    """

    batch_size: int
    steps_per_epoch: int

    def describe(self) -> dict[str, Any]:
        """Returns plain data that identifies the batches: data, order, augmentation, seed."""
        ...

    def stream(
        self, first_epoch: int, epochs: int, shard: tuple[int, int] = (0, 1)
    ) -> Iterable[Batch]:
        """Returns the batches of the ``epochs`` epochs from ``first_epoch`` on, in order.

        A batch is images (b, h, w, 3) and landmarks (b, n, 2) in [0, 1]; ``b`` is constant. The
        result is an iterable of arrays or a ``tf.data.Dataset``. With ``shard`` (worker, workers)
        a batch is that worker's share: the shares of all workers make up the whole batch.
        """
        ...


class ArrayFeed:
    """Batches of arrays in memory, shuffled each epoch, without augmentation.

    Args:
        images: (N, h, w, 3).
        landmarks: (N, n, 2) in [0, 1].
        batch_size: Faces in a batch; the rest of an epoch that fills no batch is left out (another
            part in each epoch).
        seed: With the epoch's number it decides the order.

    Raises:
        ValueError: If the arrays disagree or hold no whole batch.
    """

    def __init__(
        self, images: np.ndarray, landmarks: np.ndarray, batch_size: int, seed: int = 0
    ) -> None:
        if len(images) != len(landmarks) or images.ndim != 4 or landmarks.ndim != 3:
            raise ValueError(
                "`images` must be (N, h, w, 3) and `landmarks` (N, n, 2). "
                f"Received: images.shape={images.shape}, landmarks.shape={landmarks.shape}"
            )
        if not 1 <= batch_size <= len(images):
            raise ValueError(
                f"`batch_size` must be from 1 to the number of faces, {len(images)}. "
                f"Received: batch_size={batch_size}"
            )
        self.images, self.landmarks = images, landmarks
        self.batch_size, self.seed = batch_size, seed
        self.steps_per_epoch = len(images) // batch_size

    def describe(self) -> dict[str, Any]:
        """Returns plain data that identifies the batches."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes())
        digest.update(np.ascontiguousarray(self.landmarks).tobytes())
        return {"data": digest.hexdigest(), "batch_size": self.batch_size, "seed": self.seed}

    def stream(
        self, first_epoch: int, epochs: int, shard: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        """Returns the batches of the given epochs, or a worker's share of them."""
        worker, workers = shard
        for epoch in range(first_epoch, first_epoch + epochs):
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.images))
            for step in range(self.steps_per_epoch):
                chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
                mine = chosen[worker::workers]
                yield self.images[mine], self.landmarks[mine]


class CacheFeed:
    """Augmented batches of a crop cache: ``tf.data`` on TensorFlow, on the device elsewhere.

    Args:
        cache: A `tfalign.data.pipeline.CropCache`.
        batch_size: Faces in a batch; the rest of an epoch that fills no batch is left out (another
            part in each epoch).
        augment: An ``AugmentConfig``, a preset's name (see `tfalign.data.augment`) or None.
        seed: With the epoch's number it decides order and augmentation.
        indices: Rows of the cache that make up an epoch, some perhaps several times, e.g. for a
            balance of poses; None takes each once.

    Attributes:
        crop: The convention by which the faces' boxes became crops.
        scheme: Their landmark scheme. Training compares both with the model's.

    Raises:
        ValueError: If an epoch would hold no batch.
    """

    def __init__(
        self,
        cache: Any,
        batch_size: int,
        augment: Any = "greglref",
        seed: int = 0,
        indices: np.ndarray | None = None,
    ) -> None:
        from tfalign.data import augment as augmentation
        from tfalign.data import pipeline

        faces = len(cache) if indices is None else len(indices)
        self.cache, self.batch_size, self.seed, self.indices = cache, batch_size, seed, indices
        self.crop, self.scheme = cache.crop, cache.scheme
        self.augment = augmentation.presets.get(augment)
        self.steps_per_epoch = pipeline.steps_per_epoch(faces, batch_size)

    def describe(self) -> dict[str, Any]:
        """Returns plain data that identifies the batches."""
        rows = None if self.indices is None else hashlib.sha256(self.indices.tobytes()).hexdigest()
        return {
            "data": cache_fingerprint(self.cache),
            "rows": rows,
            "batch_size": self.batch_size,
            "augment": self.augment.get_config(),
            "seed": self.seed,
        }

    def stream(
        self, first_epoch: int, epochs: int, shard: tuple[int, int] = (0, 1)
    ) -> Iterable[Batch]:
        """Returns the batches of the given epochs, or a worker's share of them."""
        from tfalign.data import pipeline

        on_tensorflow = keras.backend.backend() == "tensorflow"
        make = pipeline.training_dataset if on_tensorflow else pipeline.device_batches
        batches: Iterable[Batch] = make(
            self.cache,
            self.batch_size // shard[1],
            self.augment,
            seed=self.seed,
            epoch=first_epoch,
            epochs=epochs,
            indices=self.indices,
            shard=shard,
        )
        return batches


def cache_fingerprint(cache: Any) -> str:
    """Returns a SHA-256, in hexadecimal, of a crop cache's pixels, landmarks, maps and names."""
    digest = hashlib.sha256(f"{cache.scheme.to_config()} {cache.image_size}".encode())
    digest.update("\n".join(map(str, cache.names)).encode())
    arrays = (cache.landmarks, cache.output_from_source, cache.source_from_image, cache.annotated)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    pixels = getattr(cache.images, "digest", None)  # known of images on disk
    if pixels is None:
        pixels = hashlib.sha256(np.ascontiguousarray(cache.images).data).hexdigest()
    digest.update(pixels.encode())
    return digest.hexdigest()


def named_targets(stream: Callable[[], Iterable[Batch]], outputs: Iterable[str]) -> Any:
    """Turns a stream into what ``keras.Model.fit`` takes for a model with named outputs.

    Args:
        stream: Makes the stream of images and landmarks. Under a distribution strategy Keras looks
            at the first batch and then begins anew, so one iterator would not do.
        outputs: Names of the outputs; each gets the landmarks as its target.

    Returns:
        On TensorFlow a ``tf.data.Dataset`` with static shapes, which a distribution strategy can
        split; elsewhere a generator.
    """
    names = tuple(outputs)

    def pair(images: Any, *others: Any) -> tuple[Any, ...]:
        # Landmarks, and perhaps the points' weights, for each output.
        return images, *(dict.fromkeys(names, other) for other in others)

    if keras.backend.backend() == "tensorflow":
        return _as_dataset(stream).map(pair)
    return (pair(*batch) for batch in stream())


def _as_dataset(stream: Callable[[], Iterable[Batch]]) -> Any:
    import tensorflow as tf

    batches = stream()
    if isinstance(batches, tf.data.Dataset):
        return batches
    first = next(iter(batches))
    signature = tuple(tf.TensorSpec(part.shape, part.dtype) for part in first)
    return tf.data.Dataset.from_generator(stream, output_signature=signature).prefetch(2)
