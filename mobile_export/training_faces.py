"""Faces to fine-tune on: from a crop cache, TFRecord shards, or a data set's own folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobile_export.calibration import refuse_test_split


def load(
    source: str | Path,
    model: Any,
    dataset: str | None = None,
    splits: Sequence[str] | None = None,
    without_last: int = 0,
    pictures_only: bool = False,
) -> Any:
    """Returns the ``CropCache`` of training faces, cropped as the model wants them.

    Args:
        source: The ``.npz`` of a saved cache, a folder of TFRecord shards, or, with ``dataset``,
            the folder of a data set in its official layout.
        model: The model that will be tuned; its ``crop`` and ``image_size`` cut faces out.
        dataset: Name of a data set that ``recipes/evaluate.py`` reads, e.g. ``"300w"``.
        splits: Splits of it to read, needed with ``dataset``: its training splits, or names for
            groups of them, see ``tfalign.data.readers``.
        without_last: Faces to leave out: the last so many by name, which an evaluation with
            ``--last`` measures on, and every other face of their photographs.
        pictures_only: Whether the faces serve as pictures alone, e.g. for calibration, so that they
            may have other points than the model.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If a split is not among the data set's training splits or is not given, a name
            reads as a test split, the faces were cropped for another model, or an option does not
            fit the source.
    """
    path = Path(source)
    refuse_test_split([str(source), *(splits or ())])
    if dataset is not None:
        _check_splits(dataset, splits)
        cache = _from_dataset(path, model, dataset, splits, without_last)
    elif splits or without_last:
        raise ValueError(
            "Splits and faces left out belong to a data set, whose name must be given. Received: "
            f"dataset=None, splits={splits}, without_last={without_last}"
        )
    else:
        cache = load_cache(path)
    if not pictures_only:
        check_crops(cache, model)
    return cache


def load_cache(path: str | Path) -> Any:
    """Returns a saved crop cache.

    Args:
        path: Its ``.npz``, or a folder of TFRecord shards.

    Raises:
        FileNotFoundError: If the path is neither.
        ValueError: If the path or a face's name reads as a test split, or a file is damaged.
    """
    from tfalign.data.pipeline import CropCache, ShardedCache

    path = Path(path)
    refuse_test_split([str(path)])
    if path.suffix == ".npz" and path.is_file():
        cache = CropCache.load(path)
    elif path.is_dir() and any(path.glob("*.tfrecord*")):
        cache = ShardedCache(path).load()
    else:
        raise FileNotFoundError(
            "Training faces come from a crop cache (.npz), a folder of TFRecord shards or, with "
            f"the data set's name, its folder. Received: training={str(path)!r}"
        )
    refuse_test_split(str(name) for name in cache.names)
    return cache


def check_crops(cache: Any, model: Any) -> None:
    """Checks that faces were cropped as the model sees them.

    Raises:
        ValueError: If size, box padding or number of points differ.
    """
    wanted = {"image_size": tuple(model.image_size), "crop": model.crop}
    found = {"image_size": tuple(cache.image_size), "crop": cache.crop}
    points = int(cache.landmarks.shape[1])
    if found != wanted or points != model.num_landmarks:
        raise ValueError(
            f"Training faces must be cropped for the model: {wanted}, {model.num_landmarks} "
            f"points. Received: {found}, {points} points"
        )


def _check_splits(dataset: str, splits: Sequence[str] | None) -> None:
    """Refuses splits that are not training splits of the data set.

    The names of faces do not tell: most sets name a face by its image, whatever the split.
    """
    from tfalign.data import sets

    found = sets.get(dataset)
    groups = [name for name in found.splits if found.is_for_training(name)]
    if not splits or not all(map(found.is_for_training, splits)):
        raise ValueError(
            f"Name the splits of {dataset} to train on, among its training splits "
            f"{', '.join([*found.training, *groups])}; a score measured on any other "
            f"afterwards would be too good. Received: splits={splits}"
        )


def _from_dataset(
    path: Path, model: Any, dataset: str, splits: Sequence[str] | None, without_last: int
) -> Any:
    from tfalign.data import sets
    from tfalign.data.pipeline import CropCache

    if not path.is_dir():
        raise FileNotFoundError(f"There is no such folder. Received: training={str(path)!r}")
    found = sets.get(dataset)
    reader = found.read(path, splits)
    refuse_test_split(record.name for record in reader.records)
    names = sorted(record.name for record in reader.records)
    if not 0 <= without_last < len(names):
        raise ValueError(
            f"`without_last` must leave some of the {len(names)} faces. Received: "
            f"without_last={without_last}"
        )
    if without_last:
        reader, _ = found.hold_out(reader, without_last)
    return CropCache.build(reader, model.crop, model.image_size)
