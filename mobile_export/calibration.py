"""Calibration pictures: where they come from, and why never from a test split.

The ranges of int8 activations are fitted to these pictures. Fitting them to the pictures a score is
then measured on makes the score too good, so every name that reads as a test split is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from mobile_export.pictures import rendered_faces

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
LIMIT = 200
"""Default number of pictures; each costs one run of the float model that keeps every tensor."""
RENDERED, RENDERED_COUNT, RENDERED_SEED = "rendered", 64, 2020
"""The word for rendered faces, how many are taken, and their seed: not that of the golden faces."""
ENOUGH = 16
"""Fewer pictures seldom reach the ranges of all faces."""
ASPECT_TOLERANCE = 0.10
"""How far a face crop's width per height may be from the input's: rounding, or a cut border."""

_SUBSETS = frozenset(
    [
        *("set", "data", "images", "crops", "split", "common", "challenging", "full", "pose"),
        *("largepose", "expression", "illumination", "makeup", "occlusion", "blur"),
    ]
)
_CONTENTS = frozenset(
    [
        *("color", "colour", "gray", "grey", "rgb"),
        *("faces", "frames", "photos", "pictures", "samples"),
        *("annotations", "bboxes", "keypoints", "points"),
    ]
)
_FILES = frozenset(["txt", "npz", "csv", "mat", "tfrecord"])


@dataclass(frozen=True)
class CalibrationPictures:
    """Pictures to calibrate on.

    Attributes:
        images: (N, H, W, 3) uint8, RGB crops of the model's input size.
        source: Where they come from, in words.
    """

    images: np.ndarray
    source: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 over shape and pixels, in hexadecimal."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        return digest.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Number, source and fingerprint of the pictures, for the metadata."""
        return {
            "images": len(self.images),
            "source": self.source,
            "fingerprint": self.fingerprint,
        }


def load(
    source: Any,
    image_size: tuple[int, int],
    limit: int = LIMIT,
    crop: Any = None,
    box_padding: Mapping[str, Any] | None = None,
) -> CalibrationPictures:
    """Reads calibration pictures.

    Args:
        source: An array (N, H, W, 3) of RGB crops in [0, 255], or an iterable of such crops; a
            ``CalibrationPictures``; a folder of face crops (PNG, JPEG or BMP, searched recursively,
            resized to the model's input); a ``tfalign.data.pipeline.CropCache`` or the path of its
            ``.npz`` file; or ``"rendered"`` for rendered faces, where there are no photographs.
        image_size: (height, width) of the model's input.
        limit: At most this many pictures, taken at even spacing.
        crop: The model's ``CropConvention``, by which rendered faces are cut out and those of a
            crop cache must be; None asks nothing of a cache.
        box_padding: The model's, by which rendered faces are cut out.

    Returns:
        The pictures as uint8.

    Raises:
        FileNotFoundError: If a path does not exist or a folder holds no picture.
        ValueError: If a name reads as a test split, a picture cannot be read, most pictures of a
            folder are not shaped as the model's input, a crop cache was cut by another convention,
            or an array has the wrong shape or values.
    """
    if isinstance(source, CalibrationPictures):
        images = checked_pictures(source.images, image_size)
        return CalibrationPictures(_thin(images, limit), source.source)
    if isinstance(source, str) and source == RENDERED:
        count = min(limit, RENDERED_COUNT)
        faces = rendered_faces(count, image_size, crop, RENDERED_SEED, box_padding)
        return CalibrationPictures(faces, "rendered faces")
    if isinstance(source, (str, PurePath)):
        path = Path(source)
        refuse_test_split([str(source)])
        if path.is_dir():
            return _from_folder(path, image_size, limit)
        if path.suffix == ".npz" and path.is_file():
            from tfalign.data.pipeline import CropCache

            return _from_cache(CropCache.load(path), str(path), image_size, limit, crop)
        raise FileNotFoundError(
            "Calibration comes from a folder of face crops, cut as the model wants them (`tfalign "
            "align PHOTOS --crops DIR` does that), a crop cache (.npz), or 'rendered', rendered "
            f"faces. Received: calibration={str(source)!r}"
        )
    if hasattr(source, "names") and hasattr(source, "maps"):
        return _from_cache(source, "crop cache", image_size, limit, crop)
    if not hasattr(source, "__array__"):
        # A list, or a generator, which NumPy would take for one thing without a shape.
        source = np.stack([np.asarray(picture) for picture in source])
    images = checked_pictures(np.asarray(source), image_size)
    return CalibrationPictures(_thin(images, limit), "array")


def faults(images: np.ndarray) -> list[str]:
    """Says in words what is wrong with calibration pictures; an empty list where nothing is.

    The ranges of int8 features follow from these pictures, so they must look like the faces that
    the model will see: neither flat, nor noise, nor in another order of colours, nor too few.

    Args:
        images: (N, H, W, 3) uint8, RGB.
    """
    pictures, count = images.astype(np.float32), len(images)
    grey = pictures.mean(axis=-1)
    found = []
    flat = pictures.std(axis=(1, 2, 3)) < 4.0
    if flat.mean() > 0.5:
        level = grey[flat].mean()
        what = "black" if level < 16 else "white" if level > 239 else f"of one grey, {level:.0f}"
        found.append(f"{flat.sum()} of {count} calibration pictures are {what}")
    else:
        lively = grey[~flat]
        centred = lively - lively.mean(axis=(1, 2), keepdims=True)
        # Of neighbours along a row: near 1 in any photograph, near 0 in noise.
        alike = (centred[:, :, 1:] * centred[:, :, :-1]).mean(axis=(1, 2)) / np.maximum(
            (centred**2).mean(axis=(1, 2)), 1e-6
        )
        if (alike < 0.5).mean() > 0.5:
            found.append(f"{(alike < 0.5).sum()} of {count} calibration pictures look like noise")
        else:
            height, width = grey.shape[1:]
            middle = pictures[:, height // 4 : -(height // 4), width // 4 : -(width // 4)]
            bluish = middle[..., 2].mean(axis=(1, 2)) > middle[..., 0].mean(axis=(1, 2)) + 3.0
            if bluish.mean() > 0.7:
                found.append(
                    f"blue is stronger than red in the middle of {bluish.sum()} of {count} "
                    "calibration pictures: they must be RGB, not BGR"
                )
    if count > 1 and (images == images[0]).all():
        found.append(f"all {count} calibration pictures are the same")
    elif count < ENOUGH:
        found.append(f"there are {count} calibration pictures; take {ENOUGH} or more, better 100")
    return found


def refuse_test_split(names: Iterable[str]) -> None:
    """Refuses paths and sample names of which a component reads as a test split.

    A component reads so if one of its words is ``testset``, ``testing`` or ``ibug`` (the
    challenging test set of 300-W), or ``test`` (``test1``, ``test68``) alone, last, or followed by
    the name of a subset or by nothing but numbers, colours and the like; unless ``train`` is among
    its words (WFLW keeps both lists in one folder). So do the folders of 300-W's private test set.

    Names are a net below a data set's own lists of splits, where those are known
    (``training_faces.load``), and not instead of them.

    Raises:
        ValueError: On the first such name.
    """
    for name in names:
        for part in PurePath(name).parts:
            if is_test_split(part):
                raise ValueError(
                    "Calibration must come from training data, never from a test split: a score "
                    f"measured there afterwards would be too good. Received: {name!r} "
                    f"({part!r} names a test split)"
                )


def is_test_split(component: str) -> bool:
    """Whether one component of a path reads as a test split."""
    words = [word for word in re.split(r"[^a-z0-9]+", component.lower()) if word]
    if {"train", "trainset", "training"} & set(words):
        return False
    if {"testset", "testing", "testdata", "testnames", "ibug"} & set(words):
        return True
    if words in (["01", "indoor"], ["02", "outdoor"]):
        return True
    for at, word in enumerate(words):
        if re.fullmatch(r"test\d*", word):
            rest = words[at + 1 :]
            # A file's suffix may follow: `list_98pt_test.txt`. `test_model.py` is no split.
            if not rest or rest[0] in _SUBSETS | _FILES:
                return True
            # `COFW_test_color.mat`, `wflw_test_98`; not `test_98_percent` or `test_faces_overlap`.
            if all(more.isdigit() or more in _CONTENTS | _FILES for more in rest):
                return True
    return False


def _from_folder(path: Path, image_size: tuple[int, int], limit: int) -> CalibrationPictures:
    import cv2

    from tfalign.inference.images import read_image

    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(
            f"A calibration folder holds face crops ({', '.join(SUFFIXES)}); this one holds none. "
            f"Received: calibration={str(path)!r}"
        )
    refuse_test_split(str(file.relative_to(path)) for file in files)
    images: list[np.ndarray] = []
    squeezed: list[str] = []
    for file in _thin(files, limit):
        # It looks at the header before it decodes, so that a small file cannot ask for gigabytes.
        try:
            picture = read_image(file)
        except ValueError as error:
            raise ValueError(f"A calibration picture cannot be read: {error}") from error
        height, width = picture.shape[:2]
        stretch = (width / height) / (image_size[1] / image_size[0])
        if max(stretch, 1 / stretch) > 1 + ASPECT_TOLERANCE:
            squeezed.append(f"{file.name} ({width} × {height})")
        images.append(cv2.resize(picture, image_size[::-1], interpolation=cv2.INTER_AREA))
    # Photographs that were never cropped: the ranges would be those of small, squeezed faces.
    if 2 * len(squeezed) > len(images):
        raise ValueError(
            "A calibration folder holds face crops, cut out by the model's own box convention, so "
            f"they are shaped as its input, {image_size[1]} × {image_size[0]}, up to "
            f"{ASPECT_TOLERANCE:.0%}. Received: calibration={str(path)!r}, where {len(squeezed)} "
            f"of {len(images)} pictures are not, e.g. {squeezed[0]}"
        )
    return CalibrationPictures(np.stack(images), str(path.name))


def _from_cache(
    cache: Any, name: str, image_size: tuple[int, int], limit: int, crop: Any
) -> CalibrationPictures:
    from tfalign.data.pipeline import evaluation_arrays

    refuse_test_split(str(sample) for sample in cache.names)
    if crop is not None and cache.crop != crop:
        raise ValueError(
            "Calibration pictures must be cut as the model sees faces. Received: "
            f"calibration={name!r}, cut by {cache.crop}, for a model that is fed by {crop}"
        )
    images = np.asarray(evaluation_arrays(cache.take(_thin(np.arange(len(cache)), limit)))[0])
    return CalibrationPictures(checked_pictures(images, image_size), PurePath(name).name)


def checked_pictures(
    images: np.ndarray, image_size: tuple[int, int], what: str = "Calibration pictures"
) -> np.ndarray:
    """Returns pictures (N, H, W, 3) in [0, 255] as uint8.

    Args:
        images: The pictures.
        image_size: (height, width) that they must have.
        what: How a message calls them.

    Raises:
        ValueError: If shape or values are others.
    """
    height, width = image_size
    if images.ndim != 4 or images.shape[1:] != (height, width, 3) or not len(images):
        raise ValueError(
            f"{what} must be (N, {height}, {width}, 3), N > 0. Received: shape={images.shape}"
        )
    if images.dtype == np.uint8:
        return images
    low, high = float(np.min(images)), float(np.max(images))
    # Pictures scaled to [0, 1] or [−1, 1] would give ranges for a picture that is nearly black.
    if not (low >= 0.0 and 1.5 < high <= 255.0):
        raise ValueError(
            f"{what} must be RGB in [0, 255], as the camera gives them. Received: values from "
            f"{low:g} to {high:g}"
        )
    return np.rint(images).astype(np.uint8)


def _thin(items: Any, limit: int) -> Any:
    """Takes at most ``limit`` items at even spacing."""
    if limit < 1:
        raise ValueError(f"`limit` must be positive. Received: limit={limit}")
    if len(items) <= limit:
        return items
    keep = np.linspace(0, len(items) - 1, limit).round().astype(int)
    return items[keep] if isinstance(items, np.ndarray) else [items[i] for i in keep]
