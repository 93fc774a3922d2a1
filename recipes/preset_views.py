"""The views of faces from which ``train_preset.py`` trains: drawn, moved and changed at random.

It is a module of its own so that worker processes can import it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import joblib
import numpy as np

from tfalign import geometry
from tfalign.data.pipeline import CropCache
from tfalign.data.readers.reader import Reader
from tfalign.training.feed import cache_fingerprint

# Of the model's region, on each side: enough for a face turned by 45° in a box a third too large.
MARGIN = 0.5
LAST_SHARE = 0.03  # of rendered faces, at the end


class FaceCrops(NamedTuple):
    """Crops with surroundings.

    Attributes:
        images: (N, S, S, 3) uint8.
        points: (N, n, 2) landmarks in pixels of them.
        annotated: (N, n) which of them count.
        name: Identity of the data.
    """

    images: np.ndarray
    points: np.ndarray
    annotated: np.ndarray
    name: str

    @classmethod
    def of(cls, reader: Reader, size: int) -> FaceCrops:
        cache = CropCache.build(reader, "300w", (size, size), margin=MARGIN, source_size=2 * size)
        points = cache.landmarks.astype(np.float64)
        return cls(cache.images, points, cache.annotated, cache_fingerprint(cache))

    @classmethod
    def joined(cls, *parts: FaceCrops) -> FaceCrops:
        """Returns all faces of several; one that is given twice is drawn twice as often."""
        images, points, annotated = (np.concatenate([part[i] for part in parts]) for i in range(3))
        return cls(images, points, annotated, " + ".join(part.name for part in parts))

    @property
    def mean_shape(self) -> np.ndarray:
        """(n, 2) the mean of whole shapes in [0, 1]² of a nominal crop."""
        mean = self.points[self.annotated.all(axis=1)].mean(axis=0)
        low, high = mean.min(axis=0), mean.max(axis=0)
        return np.asarray(0.5 + (mean - (low + high) / 2) / (1.2 * (high - low).max()))


def box_map(
    points: np.ndarray, size: int, easy_share: float, rng: np.random.Generator
) -> np.ndarray:
    """Draws a view of a face.

    The face is turned and sheared first, and the box is that of the turned face, as it would be
    of a photograph of it: only then is the box made wrong.

    Args:
        points: (n, 2) in pixels of the stored crop.
        size: Side of the model's input in pixels.
        easy_share: Share of faces that are shown nearly as a model will see them.
        rng: The source of chance.

    Returns:
        (2, 3) map from pixels of the stored crop to those of the model's input.
    """
    easy = rng.random() < easy_share
    if easy:
        degrees = rng.normal(0, 4)
    else:
        degrees = rng.normal(0, 14) if rng.random() < 0.7 else rng.uniform(-45, 45)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    aspect = np.exp(rng.normal(0, 0.02 if easy else 0.06))
    shear = rng.normal(0, 0.01 if easy else 0.05)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[aspect, shear], [0, 1 / aspect]])

    turned = points @ linear.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    side = 1.2 * (high - low).max()  # the convention "300w": 10 % on each side, then the square
    if easy:
        scale, shift = np.exp(rng.normal(0, 0.02)), rng.normal(0, 0.01, 2)
    else:
        wrong = rng.random() < 0.75
        scale = np.exp(rng.normal(0, 0.12)) if wrong else rng.uniform(0.72, 1.35)
        shift = rng.normal(0, 0.05, 2)
    side *= scale
    centre = (low + high) / 2 + shift * side
    zoom = size / side
    return np.column_stack([linear * zoom, size / 2 - centre * zoom])


def occlude(image: np.ndarray, others: np.ndarray, rng: np.random.Generator) -> None:
    """Covers one or two rectangles of an image with a colour, noise or a piece of another face."""
    for _ in range(1 if rng.random() < 0.7 else 2):
        size = len(image)
        width, height = rng.integers(size // 9, size // 2 + 4, 2)
        left, top = rng.integers(-(size // 11), size - size // 14, 2)
        right, bottom = min(size, left + width), min(size, top + height)
        left, top = max(0, left), max(0, top)
        kind = rng.random()
        if kind < 0.35:
            cover: Any = rng.integers(0, 256, 3)
        elif kind < 0.5:
            cover = rng.integers(0, 256, (bottom - top, right - left, 3))
        else:
            y, x = rng.integers(0, others.shape[1] - size // 2 - 4, 2)
            other = others[rng.integers(len(others))]
            cover = other[y : y + bottom - top, x : x + right - left]
        image[top:bottom, left:right] = cover


def recolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Changes colours by one table, then perhaps blurs, coarsens and adds noise."""
    if rng.random() < 0.1:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    elif rng.random() < 0.1:
        image = image[..., rng.permutation(3)]
    if rng.random() < 0.8:
        levels = np.arange(256, dtype=np.float32) / 255
        gamma, contrast = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.2))
        curve = (levels**gamma - 0.5) * contrast + 0.5 + rng.normal(0, 0.08)
        gains = np.exp(rng.normal(0, 0.07, 3))
        table = np.clip(255 * curve[:, None] * gains, 0, 255).astype(np.uint8)
        image = cv2.LUT(np.ascontiguousarray(image), table[None])
    lens = rng.random()
    if lens < 0.12:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.6)))
    elif lens < 0.22:
        size = len(image)
        side = int(rng.integers(size // 4, 4 * size // 5))
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.12:
        noise = rng.normal(0, rng.uniform(3, 14), image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image


def rendered_share(progress: float) -> float:
    """Returns the share of rendered faces after a share ``progress`` of the steps."""
    shares = [0.75, 0.75, 0.12, 0.12, LAST_SHARE]
    return float(np.interp(progress, [0.0, 0.12, 0.2, 0.7, 0.7001], shares))


class PresetFeed:
    """Batches of photographs and rendered faces, each drawn and changed at random.

    Args:
        photographs: Faces.
        rendered: Faces.
        size: Side of the model's input in pixels.
        steps: Of the whole run, rounded up to whole epochs.
        flip: (n,) permutation of the points in a mirrored face.
        rendered_share: Share of rendered faces after a share of the steps.
        easy_share: Share of faces that are shown nearly as a model will see them.
        batch_size: Faces in a batch.
        seed: With the step's number it decides everything.
        changed_share: Share of faces whose colours are changed, and of which some are covered.
        epoch: Most steps of an epoch.
        workers: Processes that make the batches; 0 makes them where they are asked for.
    """

    crop = geometry.CROP_PRESETS["300w"]

    def __init__(
        self,
        photographs: FaceCrops,
        rendered: FaceCrops,
        size: int,
        steps: int,
        flip: Sequence[int],
        rendered_share: Callable[[float], float],
        easy_share: float,
        batch_size: int,
        seed: int,
        changed_share: float = 1.0,
        epoch: int = 250,
        workers: int = 0,
    ) -> None:
        self.photographs, self.rendered, self.size = photographs, rendered, size
        self.masked = not (photographs.annotated.all() and rendered.annotated.all())
        self.changed_share = changed_share
        self.steps_per_epoch = min(epoch, steps)
        self.steps = -(-steps // self.steps_per_epoch) * self.steps_per_epoch
        self.flip = np.asarray(flip)
        self.rendered_share, self.easy_share = rendered_share, easy_share
        self.batch_size, self.seed, self.workers = batch_size, seed, workers

    def describe(self) -> dict[str, Any]:
        """Returns plain data that identifies the batches."""
        return {
            "photographs": self.photographs.name,
            "rendered": self.rendered.name,
            "steps": self.steps,
            "rendered_share": [self.rendered_share(p) for p in (0.0, 0.5, 1.0)],
            "easy_share": self.easy_share,
            "changed_share": self.changed_share,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def batch(self, step: int) -> tuple[np.ndarray, ...]:
        """Returns a step's images (b, size, size, 3) uint8 and landmarks (b, n, 2) in [0, 1], and
        the points' weights (b, n) where some are not annotated."""
        rng = np.random.default_rng([self.seed, step])
        share = self.rendered_share(step / self.steps)
        views = []
        for _ in range(self.batch_size):
            faces = self.rendered if rng.random() < share else self.photographs
            row = rng.integers(len(faces.images))
            views.append(
                self._view(faces.images[row], faces.points[row], faces.annotated[row], rng)
            )
        images, landmarks, weights = (np.stack(part) for part in zip(*views, strict=True))
        return (images, landmarks, weights) if self.masked else (images, landmarks)

    def _view(
        self,
        image: np.ndarray,
        points: np.ndarray,
        annotated: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        view = box_map(points[annotated], self.size, self.easy_share, rng)
        # OpenCV puts pixel centres at whole numbers.
        for_cv = view.copy()
        for_cv[:, 2] += 0.5 * view[:, :2].sum(axis=1) - 0.5
        image = cv2.warpAffine(
            image,
            for_cv,
            (self.size, self.size),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        points = np.asarray(geometry.transform_points(view, points)) / self.size
        if rng.random() < 0.5:
            image = image[:, ::-1].copy()
            points = (np.array([1.0, 0.0]) + np.array([-1.0, 1.0]) * points)[self.flip]
            annotated = annotated[self.flip]
        if rng.random() < self.changed_share:
            if rng.random() < 0.4:
                occlude(image, self.photographs.images, rng)
            image = recolour(image, rng)
        points = np.where(annotated[:, None], points, 0.0).astype(np.float32)
        return image, points, annotated.astype(np.float32)

    def stream(
        self, first_epoch: int, epochs: int, shard: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """Returns the batches of the given epochs, or a worker's share of them."""
        worker, workers = shard
        start = first_epoch * self.steps_per_epoch
        steps = range(start, start + epochs * self.steps_per_epoch)
        batches: Iterator[tuple[np.ndarray, ...]] = map(self.batch, steps)
        if self.workers:
            # joblib gives the faces to the processes as memory maps, and keeps the order.
            pool = joblib.Parallel(
                self.workers, return_as="generator", pre_dispatch=4 * self.workers, batch_size=1
            )
            batches = pool(joblib.delayed(_batch)(self, step) for step in steps)
        for batch in batches:
            yield tuple(part[worker::workers] for part in batch)


def _batch(feed: PresetFeed, step: int) -> tuple[np.ndarray, ...]:
    cv2.setNumThreads(1)  # There is a process for each core.
    return feed.batch(step)
