"""Calibration pictures: sources, and the refusal of test splits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mobile_export.calibration import is_test_split, load, refuse_test_split
from tfalign.geometry import CROP_PRESETS

SIZE = (12, 16)


@pytest.mark.parametrize(
    "name",
    ["test", "testset", "ibug", "list_98pt_test", "list_98pt_test.txt", "list_98pt_test_blur.txt"]
    + ["300W-test", "Test", "test_set", "wflw_test.npz", "helen-testset", "test_images"]
    + ["COFW_test_color", "COFW_test_color.mat", "wflw_test_98", "test1", "test68", "cofw-test68"]
    + ["test_frames_keypoints.csv", "kbvt_lfpw_v1_test.csv", "cofw68_test_bboxes.mat", "test_gray"]
    + ["testnames.txt", "test_annotations", "01_Indoor", "02_Outdoor"],
)
def test_names_of_test_splits(name: str) -> None:
    assert is_test_split(name)
    with pytest.raises(ValueError, match="never from a test split"):
        refuse_test_split([f"data/{name}/crop.png"])


@pytest.mark.parametrize(
    "name",
    ["train", "trainset", "list_98pt_rect_attr_train_test", "ibug68", "latest", "contest", "afw"]
    + ["test_export0", "helen", "attested", "test_98points", "COFW_train_color", "indoor"]
    + ["test_faces_overlap", "test_300w_crops0"]
    + ["pytest-12", "test1_export", "kbvt_lfpw_v1_train.csv", "trainnames.txt"],
)
def test_names_that_are_no_test_splits(name: str) -> None:
    assert not is_test_split(name)


def write_crops(folder: Path, count: int = 3) -> list[np.ndarray]:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (12, 16, 3), dtype=np.uint8) for _ in range(count)]
    for at, crop in enumerate(crops):
        cv2.imwrite(str(folder / f"{at}.png"), cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
    return crops


def test_folder_is_read_in_rgb(tmp_path: Path) -> None:
    crops = write_crops(tmp_path / "faces")
    found = load(tmp_path / "faces", SIZE)
    np.testing.assert_array_equal(found.images, np.stack(crops))
    assert found.source == "faces"


def test_folder_below_a_test_split_is_refused(tmp_path: Path) -> None:
    write_crops(tmp_path / "helen" / "testset")
    with pytest.raises(ValueError, match=r"'testset' names a test split"):
        load(tmp_path / "helen", SIZE)


def test_wrong_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder of face crops"):
        load(tmp_path / "absent", SIZE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds none"):
        load(tmp_path / "empty", SIZE)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="cannot be read"):
        load(tmp_path / "broken", SIZE)


def test_folder_of_photographs_is_refused(tmp_path: Path) -> None:
    def write(name: str, width: int, height: int) -> None:
        picture = np.full((height, width, 3), 90, np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), picture)

    write("a", 160, 120)  # larger than the input, but of its shape
    write("b", 170, 120)  # 6 % wider
    write("photograph", 120, 160)
    assert len(load(tmp_path, SIZE).images) == 3  # most are crops
    write("photograph_2", 160, 100)
    write("photograph_3", 300, 160)
    with pytest.raises(ValueError, match=r"3 of 5 pictures are not, e\.g\. photograph\.png"):
        load(tmp_path, SIZE)


def test_arrays_are_checked() -> None:
    with pytest.raises(ValueError, match="shape"):
        load(np.zeros((2, 16, 12, 3), np.uint8), SIZE)
    with pytest.raises(ValueError, match="values from -1 to 1"):
        load(np.linspace(-1, 1, 12 * 16 * 3).reshape(1, 12, 16, 3), SIZE)


def test_limit_takes_pictures_at_even_spacing() -> None:
    images = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 12, 16, 3), np.uint8)
    found = load(images, SIZE, limit=4)
    assert found.images[:, 0, 0, 0].tolist() == [0, 3, 6, 9]
    assert found.fingerprint != load(images, SIZE).fingerprint


def test_a_cache_that_was_cut_for_another_model_is_refused() -> None:
    cache = SimpleNamespace(names=["a"], maps=None, crop=CROP_PRESETS["dssd"])
    with pytest.raises(ValueError, match=r"cut by .*0\.15.* fed by .*0\.1,"):
        load(cache, SIZE, crop=CROP_PRESETS["300w"])
