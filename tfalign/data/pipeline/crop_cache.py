"""Faces cut out of their images with a margin, packed into arrays, in memory and on disk.

On disk a cache is a pair of files that NumPy alone can read: ``PATH.npy`` holds the source crops,
so that it can be memory-mapped and its pages shared by any number of workers; ``PATH.npz`` holds
everything else, and the size and SHA-256 of the images.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfalign import geometry, markup
from tfalign.data.pipeline.source_crop import Cropped, crop_faces, default_source_size
from tfalign.data.readers.conversion import Undefined, convert_annotation
from tfalign.data.readers.reader import Reader
from tfalign.data.sample import Sample
from tfalign.files import plain, replacing, sha256

FORMAT = "tfalign crop cache 2"
_OLD_FORMAT = "tfalign crop cache 1"  # Its scheme is a name, its size (width, height).
_CHUNK = 64  # Faces warped at once: bounds the memory that the float images take.

PER_FACE = (
    "images",
    "landmarks",
    "visible",
    "source_from_image",
    "output_from_source",
    "boxes",
    "names",
    "attributes",
    "annotated",
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
        landmarks: (N, n, 2) float32, source-crop pixels; (0, 0) where not annotated.
        visible: (N, n) bool.
        source_from_image: (N, 2, 3) float32, photograph pixels to source-crop pixels.
        output_from_source: (N, 2, 3) float32, source-crop pixels to the pixels of the nominal
            (not augmented) model input.
        boxes: (N, 4) float32, the annotated boxes in photograph pixels, also where the crops were
            cut by others.
        names: (N,) names of the samples.
        attributes: (N,) object array of mappings.
        scheme: The landmark scheme.
        image_size: (height, width) of the model's input.
        crop: The convention by which a box became the nominal input.
        annotated: (N, n) bool, see ``Sample``. None: all are.

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
    annotated: np.ndarray = None  # type: ignore[assignment]  # Filled in when made.

    def __post_init__(self) -> None:
        count, points = len(self.images), self.scheme.num_points
        if self.annotated is None:
            object.__setattr__(self, "annotated", np.ones((count, points), bool))
        expected = {
            "landmarks": (count, points, 2),
            "visible": (count, points),
            "source_from_image": (count, 2, 3),
            "output_from_source": (count, 2, 3),
            "boxes": (count, 4),
            "names": (count,),
            "attributes": (count,),
            "annotated": (count, points),
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
        convention = geometry.crop_convention(crop)
        size = (int(image_size[0]), int(image_size[1]))
        if margin < 0:
            raise ValueError(f"`margin` must not be negative. Received: margin={margin}")
        side = default_source_size(size, margin) if source_size is None else int(source_size)
        if side < 1 or min(size) < 1:
            raise ValueError(
                "`source_size` and `image_size` must be positive. "
                f"Received: source_size={source_size}, image_size={size}"
            )
        faces: list[Cropped] = []
        total = len(source) if isinstance(source, Sized) else None
        bar = keras.utils.Progbar(total, unit_name="face", verbose=1) if progress else None
        # The crops go straight to their place: stacking a list would hold them all twice.
        images = np.empty((total or 0, side, side, 3), np.uint8)
        for face in crop_faces(source, convention, size, margin, side, workers):
            if total is not None:
                images[len(faces)] = face.image
                face = face._replace(image=images[len(faces)])
            faces.append(face)
            if bar is not None:
                bar.update(len(faces))
        if not faces:
            raise ValueError(
                f"A crop cache needs at least one face. Received: none from {source!r}"
            )
        images = np.stack([f.image for f in faces]) if total is None else images[: len(faces)]
        samples = [face.sample for face in faces]
        scheme = samples[0].scheme
        if any(sample.scheme != scheme for sample in samples):
            names = sorted({sample.scheme.name for sample in samples})
            raise ValueError(f"A crop cache holds one landmark scheme. Received: schemes={names}")
        attributes = np.empty(len(samples), dtype=object)
        attributes[:] = [dict(sample.attributes) for sample in samples]
        return cls(
            images=images,
            landmarks=np.stack([sample.landmarks for sample in samples]).astype(np.float32),
            visible=np.stack([sample.visible for sample in samples]).astype(bool),
            source_from_image=np.stack([face.source_from_image for face in faces]),
            output_from_source=np.stack([face.output_from_source for face in faces]),
            boxes=np.stack([s.box if s.own_box is None else s.own_box for s in samples]).astype(
                np.float32
            ),
            names=np.array([sample.name for sample in samples]),
            attributes=attributes,
            scheme=scheme,
            image_size=size,
            crop=convention,
            annotated=np.stack([sample.annotated for sample in samples]).astype(bool),
        )

    @classmethod
    def load(cls, path: str | PathLike[str], mmap: bool = False) -> CropCache:
        """Loads a cache that ``save`` wrote.

        Args:
            path: As given to ``save``.
            mmap: True maps the images into memory instead of reading them: the start is immediate,
                workers on one machine share the pages, and data sets may exceed the memory. Only
                the file's size is then checked, not its SHA-256.

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
                arrays = {n: table[n] for n in PER_FACE if n in table}
            missing = {*PER_FACE} - {*arrays, "images", "attributes", "annotated"}
            if missing:
                raise ValueError(f"it has no {sorted(missing)}")
        except (KeyError, ValueError, zipfile.BadZipFile, OSError, EOFError) as error:
            raise ValueError(f"{table_path} is damaged or no crop cache: {error}") from error
        if about.get("format") not in (FORMAT, _OLD_FORMAT):
            raise ValueError(
                f"{table_path} must have the format {FORMAT!r}. Received: {about.get('format')!r}"
            )
        height, width = about["image_size"][:: 1 if about["format"] == FORMAT else -1]
        size, wanted = images_path.stat().st_size, about["images_bytes"]
        if size != wanted or not (mmap or sha256(images_path) == about["images_sha256"]):
            raise ValueError(
                f"{images_path} must be the file that was written with {table_path.name} "
                f"({wanted} bytes). Received: {size} bytes, other content"
            )
        attributes = np.empty(len(about["attributes"]), dtype=object)
        attributes[:] = about["attributes"]
        return cls(
            images=np.load(images_path, mmap_mode="r" if mmap else None, allow_pickle=False),
            attributes=attributes,
            scheme=markup.get(about["scheme"]),
            image_size=(height, width),
            crop=geometry.CropConvention.from_config(about["crop"]),
            **arrays,
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a cache as ``path.npz`` and ``path.npy`` (a suffix in ``path`` is ignored).

        Each file is written under another name and then renamed, the ``.npz`` last.
        """
        _, images_path = _paths(path)
        with replacing(images_path) as temporary, temporary.open("wb") as file:
            np.save(file, self.images)
        write_table(self, path, int(self.images.shape[1]))

    def describe(self) -> dict[str, Any]:
        """Returns what is common to all faces, as plain data."""
        return {
            "count": len(self),
            "scheme": self.scheme.to_config(),
            "image_size": list(self.image_size),
            "source_size": int(self.images.shape[1]),
            "crop": self.crop.get_config(),
        }

    def __len__(self) -> int:
        return len(self.images)

    @property
    def maps(self) -> np.ndarray:
        """(N, 2, 3) maps ``output_from_image``: photograph pixels to nominal input pixels."""
        return np.asarray(geometry.compose(self.output_from_source, self.source_from_image))

    @property
    def masked(self) -> bool:
        """Whether some point of some face is not annotated."""
        return not bool(self.annotated.all())

    @property
    def image_landmarks(self) -> np.ndarray:
        """(N, n, 2) landmarks in photograph pixels; (0, 0) where not annotated."""
        image_from_source = geometry.invert(self.source_from_image)
        return self._known(geometry.transform_points(image_from_source, self.landmarks))

    @property
    def unit_landmarks(self) -> np.ndarray:
        """(N, n, 2) landmarks in [0, 1]² of the nominal input; (0, 0) where not annotated."""
        pixels = geometry.transform_points(self.output_from_source, self.landmarks)
        return self._known(geometry.unit_from_pixel(pixels, self.image_size))

    def _known(self, points: Any) -> np.ndarray:
        return np.where(self.annotated[..., None], np.asarray(points), np.float32(0))

    @property
    def mean_shape(self) -> np.ndarray:
        """(n, 2) mean of each point in [0, 1]² of the nominal input, over the faces that have it.

        Raises:
            ValueError: If no face has one of the points.
        """
        counts = self.annotated.sum(axis=0)
        if not counts.all():
            never = [self.scheme.points[i] for i in np.flatnonzero(counts == 0)]
            raise ValueError(
                "Each point of the scheme must be annotated in at least one face. Received: none "
                f"for {', '.join(never)}"
            )
        if not self.masked:
            return np.asarray(self.unit_landmarks.mean(axis=0))
        return np.asarray(self.unit_landmarks.sum(axis=0) / counts[:, None], np.float32)

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Maps predictions (N, m, 2) in [0, 1]² of the nominal input to photograph pixels."""
        return geometry.image_from_unit(points, self.maps, self.image_size)

    def take(self, indices: np.ndarray | Sequence[int] | slice) -> CropCache:
        """Returns the cache of some faces, in the order of ``indices`` (or of a slice or mask)."""
        rows = indices if isinstance(indices, slice) else np.asarray(indices)
        return replace(self, **{name: getattr(self, name)[rows] for name in PER_FACE})

    def convert(
        self,
        scheme: str | markup.LandmarkScheme | Mapping[str, Any],
        undefined: Undefined = "raise",
    ) -> CropCache:
        """Returns the cache with landmarks of another scheme, e.g. 98 → 68; images are shared.

        A converted landmark is visible (annotated) if the landmarks that it is made of are.

        Args:
            scheme: As ``markup.get`` takes it.
            undefined: ``"raise"`` if this scheme lacks a point, or ``"mask"`` it.

        Raises:
            ValueError: If the schemes cannot be converted (see ``markup.convert``).
        """
        target = markup.get(scheme)
        landmarks, visible, annotated = convert_annotation(
            self.landmarks, self.visible, self.annotated, self.scheme, target, undefined
        )
        changed: dict[str, Any] = {"landmarks": landmarks, "visible": visible}
        changed["annotated"] = annotated
        return replace(self, scheme=target, **changed)


def write_table(cache: CropCache, path: str | PathLike[str], source_size: int) -> None:
    """Writes the ``.npz`` of a cache whose ``.npy`` is there.

    Args:
        cache: All of the cache but its images.
        path: As for ``CropCache.save``.
        source_size: Side of the images.
    """
    table_path, images_path = _paths(path)
    about = {
        **cache.describe(),
        "source_size": source_size,
        "format": FORMAT,
        "images_bytes": images_path.stat().st_size,
        "images_sha256": sha256(images_path),
        "attributes": [dict(item) for item in cache.attributes],
    }
    arrays = {n: getattr(cache, n) for n in PER_FACE if n not in ("images", "attributes")}
    with replacing(table_path) as temporary, temporary.open("wb") as file:
        np.savez(file, about=np.array(json.dumps(about, default=plain)), **arrays)


def _paths(path: str | PathLike[str]) -> tuple[Path, Path]:
    base = Path(path)
    if base.suffix in (".npz", ".npy"):
        base = base.with_suffix("")
    return base.with_name(base.name + ".npz"), base.with_name(base.name + ".npy")


def concatenate(caches: Sequence[CropCache]) -> CropCache:
    """Joins caches of one scheme, crop convention, input size and source size.

    Raises:
        ValueError: If there is none or they differ in one of these.
    """
    if not caches:
        raise ValueError("`caches` must hold at least one CropCache. Received: none")
    first, *others = caches
    if not others:
        return first
    for name in (field.name for field in fields(CropCache) if field.name not in PER_FACE):
        values = [getattr(cache, name) for cache in caches]
        if any(value != values[0] for value in values):
            raise ValueError(f"Caches must have one `{name}` to be joined. Received: {values}")
    sizes = {cache.images.shape[1:] for cache in caches}
    if len(sizes) > 1:
        raise ValueError(f"Caches must have one source size to be joined. Received: {sizes}")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(c, name) for c in caches])
        for name in PER_FACE
        if name != "images"
    }
    images = [cache.images for cache in caches]
    if all(hasattr(part, "joined") for part in images):  # on disk, where they stay
        joined["images"] = images[0].joined(images[1:])
    else:
        joined["images"] = np.concatenate([part[:] for part in images])
    return replace(first, **joined)


def evaluation_arrays(cache: CropCache) -> tuple[np.ndarray, np.ndarray]:
    """Returns model inputs and their landmarks, without augmentation.

    Args:
        cache: The faces.

    Returns:
        Images (N, h, w, 3) uint8 and landmarks (N, n, 2) float32 in [0, 1]². ``cache.to_image``
        maps predictions in [0, 1]² back to photograph pixels, where errors are measured.
    """
    images = np.empty((len(cache), *cache.image_size, 3), dtype=np.uint8)
    source_from_output = geometry.invert(cache.output_from_source)
    for start in range(0, len(cache), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        maps = source_from_output[chunk]
        values = geometry.warp_affine(cache.images[chunk], maps, cache.image_size)
        images[chunk] = np.rint(np.asarray(values)).astype(np.uint8)
    return images, np.asarray(cache.unit_landmarks, dtype=np.float32)
