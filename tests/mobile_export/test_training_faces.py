"""Faces to fine-tune on: every source, what is refused, and a tuning from a data set's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mobile_export import __main__ as program
from mobile_export import training_faces
from tfalign.data import readers
from tfalign.data.pipeline import CropCache, write_shards
from tfalign.files import read_json

NAMES = ("afw/1", "helen/trainset/10_1", "helen/trainset/10_2", "helen/trainset/9_1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: Any) -> Path:
    """Four faces of three photographs in 300-W's layout; sorted, `9_1` is the last."""
    root = tmp_path_factory.mktemp("300w")
    rng = np.random.default_rng(0)
    for name in NAMES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(f"{path}.png", rng.integers(0, 256, (90, 110, 3)).astype(np.uint8))
        points = rng.uniform((30, 20), (80, 70), (68, 2)) + 0.5
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
        Path(f"{path}.pts").write_text(
            f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n", encoding="utf-8"
        )
    return root


@pytest.fixture(scope="module")
def small() -> Any:
    import keras

    from tfalign.models import GRegNet

    keras.utils.set_random_seed(0)
    return GRegNet(68, (32, 32, 3), width=0.125, trunk="mobile", crop="300w", scheme="ibug68")


@pytest.fixture(scope="module")
def cache(data: Path, small: Any) -> CropCache:
    return CropCache.build(readers.w300.read(data), small.crop, small.image_size, progress=False)


def test_cache_and_shards_hold_the_same_faces(cache: Any, small: Any, tmp_path: Path) -> None:
    cache.save(tmp_path / "faces")
    write_shards(cache, tmp_path / "shards", shards=2)
    for source in (tmp_path / "faces.npz", tmp_path / "shards"):
        found = training_faces.load(source, small)
        assert sorted(found.names) == sorted(cache.names)
        np.testing.assert_array_equal(np.sort(found.images.sum((1, 2, 3))),
                                      np.sort(cache.images.sum((1, 2, 3))))  # fmt: skip


@pytest.mark.parametrize(
    ("without_last", "left"), [(0, set(NAMES)), (1, set(NAMES[:3])), (2, {NAMES[0]})]
)
def test_faces_measured_on_are_left_out_with_their_photographs(
    data: Path, small: Any, without_last: int, left: set[str]
) -> None:
    found = training_faces.load(
        data, small, "300w", ["afw", "helen/trainset"], without_last=without_last
    )
    assert {str(name).removesuffix(".png") for name in found.names} == left


def test_test_splits_are_refused(cache: Any, data: Path, small: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'testset' names a test split"):
        training_faces.load(data, small, "300w", ["helen/testset"])
    from dataclasses import replace

    names = np.array([str(name).replace("trainset", "testset") for name in cache.names])
    replace(cache, names=names).save(tmp_path / "faces")
    with pytest.raises(ValueError, match="'testset' names a test split"):
        training_faces.load(tmp_path / "faces.npz", small)


# By hand, from the releases: what a model may be tuned on, and what papers measure on.
SPLITS = {
    "300w": (
        ["train", "afw", "helen/trainset", "lfpw/trainset"],
        ["common", "challenging", "full", "private", "01_Indoor", "02_Outdoor", "ibug"],
    ),
    "wflw": (["train"], ["test", "test/blur", "test/pose"]),
    "cofw": (["train"], ["test"]),
    "cofw68": ([], ["test", "test68"]),
    "aflw19": (["train"], ["test", "full", "frontal", "test/frontal"]),
    "lfpw29": (["train"], ["test"]),
    "helen194": (["train"], ["test", "all"]),
    "ytf": (["train", "training"], ["test"]),
}


@pytest.mark.parametrize("dataset", SPLITS)
def test_only_training_splits_are_taken(dataset: str, tmp_path: Path) -> None:
    training, test = SPLITS[dataset]
    for split in training:  # past the check, to a folder that is not there
        with pytest.raises(FileNotFoundError, match="no such folder"):
            training_faces.load(tmp_path / "absent", None, dataset, [split])
    for splits in [None, [], *([split] for split in test), *([*training[:1], s] for s in test)]:
        with pytest.raises(ValueError, match="to train on|names a test split"):
            training_faces.load(tmp_path / "absent", None, dataset, splits)
    with pytest.raises(ValueError, match=f"among its training splits .*{''.join(training[:1])}"):
        training_faces.load(tmp_path / "absent", None, dataset)


def test_faces_whose_names_tell_no_split(tmp_path: Path) -> None:
    # WFLW names a face by its image, so nothing in a name keeps test faces out.
    from types import SimpleNamespace

    from tfalign import geometry

    rng = np.random.default_rng(0)
    for split, name in (("train", "0--Parade/a.png"), ("test", "0--Parade/b.png")):
        path = tmp_path / "WFLW_images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (40, 40, 3)).astype(np.uint8))
        numbers = [*rng.uniform(10, 30, 2 * 98).round(3), 10, 10, 30, 30, *[0] * 6]
        table = tmp_path / readers.wflw.FILES[split]
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text(f"{' '.join(map(str, numbers))} {name}\n")
    model = SimpleNamespace(
        crop=geometry.crop_convention("wflw"), image_size=(16, 16), num_landmarks=98
    )
    found = training_faces.load(tmp_path, model, "wflw", ["train"])
    assert [str(name) for name in found.names] == ["0--Parade/a.png"]
    with pytest.raises(ValueError, match="among its training splits train;"):
        training_faces.load(tmp_path, model, "wflw")


def test_wrong_sources_are_named(cache: Any, data: Path, small: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="with the data set's name"):
        training_faces.load(data, small)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        training_faces.load(tmp_path / "absent", small, "300w", ["afw"])
    with pytest.raises(ValueError, match="A data set must be one of"):
        training_faces.load(data, small, "imagenet")
    with pytest.raises(ValueError, match="`without_last` must leave some of the 4 faces"):
        training_faces.load(data, small, "300w", ["afw", "helen/trainset"], without_last=4)
    cache.save(tmp_path / "faces")
    with pytest.raises(ValueError, match="whose name must be given"):
        training_faces.load(tmp_path / "faces.npz", small, splits=["afw"])


def test_faces_cropped_for_another_model_are_refused(cache: Any, tmp_path: Path) -> None:
    from tfalign.models import GRegNet

    cache.save(tmp_path / "faces")
    for arguments in ({"input_shape": (48, 48, 3)}, {"crop": "wflw"}, {"num_landmarks": 98}):
        settings = {"num_landmarks": 68, "input_shape": (32, 32, 3), "crop": "300w"} | arguments
        other = GRegNet(width=0.125, trunk="mobile", **settings)
        with pytest.raises(ValueError, match="must be cropped for the model"):
            training_faces.load(tmp_path / "faces.npz", other)


@pytest.mark.exhaustive
def test_program_tunes_on_a_data_set(data: Path, small: Any, tmp_path: Path, capfd: Any) -> None:
    small.save(tmp_path / "model.keras")
    out = tmp_path / "out"
    status = program.main(
        [str(tmp_path / "model.keras"), "--kind", "int8_qat", "--out", str(out)]
        + ["--training", str(data), "--dataset", "300w", "--split", "afw", "helen/trainset"]
        + ["--without-last", "1", "--epochs", "2", "--rate", "1e-3", "--tuning-batch", "2"]
    )
    output = capfd.readouterr()
    assert status == 0, output.err
    assert "phase tune, epoch 2: loss" in output.out
    data_of_export = read_json(out / "report.json")
    assert data_of_export["calibration"]["images"] == 3
    assert data_of_export["tuning"]["augment"] == "light"
    assert data_of_export["tuning"]["schedule"]["phases"][0]["epochs"] == 2
