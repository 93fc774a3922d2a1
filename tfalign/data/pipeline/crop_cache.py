"""Faces cut out of their images with a margin, packed into arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from tfalign import geometry, markup
from tfalign.data.sample import Sample

if TYPE_CHECKING:
    from tfalign.data.readers.reader import Reader

PER_FACE = (
    "images",
    "landmarks",
    "visible",
    "source_from_image",
    "output_from_source",
    "boxes",
    "names",
    "attributes",
)
"""The fields of ``CropCache`` whose first axis is the face."""


@dataclass(frozen=True, eq=False)
class CropCache:
    """Everything that training and evaluation need of a data set, without its photographs.

    Of each face it keeps a square *source crop*: the region that the model sees, with a margin on
    every side, so that augmentation can turn, shift and enlarge the box inside it. A source crop is
    the photograph's own pixels where the face is small, and is reduced by area averaging where it
    is large (it is never enlarged); the model's input is then sampled from it once.

    Attributes:
        images: (N, S, S, 3) uint8 RGB source crops; may be a memory map.
        landmarks: (N, n, 2) float32, source-crop pixels.
        visible: (N, n) bool.
        source_from_image: (N, 2, 3) float32, photograph pixels to source-crop pixels.
        output_from_source: (N, 2, 3) float32, source-crop pixels to the pixels of the nominal
            (not augmented) model input.
        boxes: (N, 4) float32, the annotated boxes in photograph pixels.
        names: (N,) names of the samples.
        attributes: (N,) object array of mappings.
        scheme: The landmark scheme.
        image_size: (height, width) of the model's input.
        crop: The convention by which a box became the nominal input.

    Raises:
        ValueError: If the arrays do not fit together.
    """

    images: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    source_from_image: np.ndarray
    output_from_source: np.ndarray
    boxes: np.ndarray
    names: np.ndarray
    attributes: np.ndarray
    scheme: markup.LandmarkScheme
    image_size: tuple[int, int]
    crop: geometry.CropConvention

    def __post_init__(self) -> None:
        count, points = len(self.images), self.scheme.num_points
        expected = {
            "landmarks": (count, points, 2),
            "visible": (count, points),
            "source_from_image": (count, 2, 3),
            "output_from_source": (count, 2, 3),
            "boxes": (count, 4),
            "names": (count,),
            "attributes": (count,),
        }
        for name, shape in expected.items():
            received = getattr(self, name).shape
            if received != shape:
                raise ValueError(
                    f"`{name}` must have the shape {shape} for {count} faces of scheme "
                    f"{self.scheme.name!r}. Received: {name}.shape={received}"
                )
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or self.images.shape[-1] != 3:
            raise ValueError(
                "`images` must be (N, S, S, 3) uint8. Received: shape "
                f"{self.images.shape}, dtype {self.images.dtype}"
            )

    @classmethod
    def build(
        cls,
        source: Reader | Iterable[Sample],
        crop: str | geometry.CropConvention | Mapping[str, Any],
        image_size: Sequence[int] = (112, 112),
        margin: float = 0.3,
        source_size: int | None = None,
        workers: int | None = None,
        progress: bool = False,
    ) -> CropCache:
        """Crops the faces of a reader (decoded in parallel) or of samples.

        Args:
            source: A reader of ``tfalign.data.readers`` or samples of one scheme.
            crop: The model's crop convention, e.g. ``model.crop``.
            image_size: (height, width) of the model's input, e.g. ``model.image_size``.
            margin: Share of the region's longer side that a source crop adds on each side.
            source_size: Side S of the source crops in pixels; None gives the nominal input at least
                its own resolution (192 for an input of 112 and a margin of 0.3).
            workers: Number of threads; None is one for each processor.
            progress: Whether to show a progress bar.

        Raises:
            ValueError: If there is no face, the schemes differ, or an argument is out of range.
        """
        from tfalign.data.pipeline.build import build_cache  # it needs this class

        return build_cache(source, crop, image_size, margin, source_size, workers, progress)

    @classmethod
    def load(cls, path: str | PathLike[str], mmap: bool = False) -> CropCache:
        """Loads what ``save`` wrote; see ``packed.load``."""
        from tfalign.data.pipeline import packed  # it needs this class

        return packed.load(path, mmap)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes ``path.npz`` and ``path.npy``; see ``packed.save``."""
        from tfalign.data.pipeline import packed  # it needs this class

        packed.save(self, path)

    @classmethod
    def from_shards(cls, directory: str | PathLike[str]) -> CropCache:
        """Loads TFRecord shards into memory; see ``shards.ShardedCache``."""
        from tfalign.data.pipeline.shards import ShardedCache  # it needs this class

        return ShardedCache(directory).load()

    def write_shards(
        self, directory: str | PathLike[str], shards: int = 16, workers: int | None = None
    ) -> None:
        """Writes TFRecord shards; see ``shards.write_shards``."""
        from tfalign.data.pipeline.shards import write_shards  # it needs this class

        write_shards(self, directory, shards, workers=workers)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def maps(self) -> np.ndarray:
        """(N, 2, 3) maps ``output_from_image``: photograph pixels to nominal input pixels."""
        return np.asarray(geometry.compose(self.output_from_source, self.source_from_image))

    @property
    def image_landmarks(self) -> np.ndarray:
        """(N, n, 2) landmarks in photograph pixels."""
        image_from_source = geometry.invert(self.source_from_image)
        return np.asarray(geometry.transform_points(image_from_source, self.landmarks))

    @property
    def unit_landmarks(self) -> np.ndarray:
        """(N, n, 2) landmarks in [0, 1]² of the nominal input."""
        pixels = geometry.transform_points(self.output_from_source, self.landmarks)
        return np.asarray(geometry.unit_from_pixel(pixels, self.image_size))

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Maps predictions (N, m, 2) in [0, 1]² of the nominal input to photograph pixels."""
        return geometry.image_from_unit(points, self.maps, self.image_size)

    def take(self, indices: np.ndarray | Sequence[int] | slice) -> CropCache:
        """Returns the cache of some faces, in the order of ``indices`` (or of a slice or mask)."""
        rows = indices if isinstance(indices, slice) else np.asarray(indices)
        return replace(self, **{name: getattr(self, name)[rows] for name in PER_FACE})

    def convert(self, scheme: str | markup.LandmarkScheme) -> CropCache:
        """Returns the cache with landmarks of another scheme, e.g. 98 → 68; images are shared.

        A converted landmark is visible if the landmarks that it is made of are.

        Raises:
            ValueError: If the schemes cannot be converted (see ``markup.convert``).
        """
        target = markup.get(scheme)
        landmarks = markup.convert(self.landmarks, self.scheme, target)
        both = np.repeat(self.visible[..., None], 2, axis=-1).astype(np.float32)
        visible = markup.convert(both, self.scheme, target)[..., 0] == 1.0
        return replace(self, landmarks=landmarks, visible=visible, scheme=target)


def concatenate(caches: Sequence[CropCache]) -> CropCache:
    """Joins caches of one scheme, crop convention, input size and source size.

    Raises:
        ValueError: If there is none or they differ in one of these.
    """
    if not caches:
        raise ValueError("`caches` must hold at least one CropCache. Received: none")
    first = caches[0]
    for name in (field.name for field in fields(CropCache) if field.name not in PER_FACE):
        values = [getattr(cache, name) for cache in caches]
        if any(value != values[0] for value in values):
            raise ValueError(f"Caches must have one `{name}` to be joined. Received: {values}")
    sizes = {cache.images.shape[1:] for cache in caches}
    if len(sizes) > 1:
        raise ValueError(f"Caches must have one source size to be joined. Received: {sizes}")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(c, name) for c in caches]) for name in PER_FACE
    }
    return replace(first, **joined)
