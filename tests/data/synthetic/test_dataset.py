"""The written directory, read back through the WFLW reader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tfalign.data.readers import wflw
from tfalign.data.synthetic import dataset, render, write_wflw

TRAIN, TEST, SIZE, SEED = 4, 9, 64, 11


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("faces") / "wflw"
    return write_wflw(out, TRAIN, TEST, SIZE, SEED, workers=1, progress=False)


def _contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_reader_gives_back_the_landmarks(root: Path) -> None:
    for split, count, offset in (("train", TRAIN, 0), ("test", TEST, dataset.TEST_OFFSET)):
        reader = wflw.read(root, splits=[split])
        assert len(reader) == count
        for number, sample in enumerate(reader):
            made = render(SEED, offset + number, SIZE)
            np.testing.assert_allclose(sample.landmarks, made.landmarks, atol=1e-3)
            np.testing.assert_array_equal(sample.box, made.box)
            assert dict(sample.attributes) == dict(made.attributes)
            # The file is a JPEG of the picture: near it, not equal.
            assert np.abs(sample.image.astype(float) - made.image).mean() < 12


def test_subset_lists_hold_the_flagged_faces(root: Path) -> None:
    test = wflw.read(root, splits=["test"])
    for attribute in wflw.ATTRIBUTES:
        flagged = {sample.name for sample in test if sample.attributes[attribute]}
        listed = {sample.name for sample in wflw.read(root, splits=[f"test/{attribute}"])}
        assert listed == flagged
    full = (root / "WFLW_annotations/list_98pt_test/list_98pt_test.txt").read_text().splitlines()
    assert [len(line.split()) for line in full] == [197] * TEST


def test_second_call_changes_nothing(root: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*.jpg")}
    write_wflw(root, TRAIN, TEST, SIZE, SEED, workers=1, progress=False)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*.jpg")} == before


def test_interrupted_call_is_resumed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "_SHARD", 3)
    calls: list[int] = []

    def failing(seed: int, index: int, size: int):
        calls.append(index)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return render(seed, index, size)

    monkeypatch.setattr(dataset, "render", failing)
    with pytest.raises(KeyboardInterrupt):
        write_wflw(tmp_path, TRAIN, TEST, SIZE, SEED, workers=1, progress=False)
    with pytest.raises(FileNotFoundError):
        wflw.read(tmp_path, splits=["train"])
    write_wflw(tmp_path, TRAIN, TEST, SIZE, SEED, workers=1, progress=False)
    # The two shards that were whole, of three faces and of one, are not made again.
    assert len(calls) == 6 + (TRAIN + TEST - 4)
    assert _contents(tmp_path) == _contents(root)


@pytest.mark.slow
def test_number_of_workers_does_not_matter(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "_SHARD", 3)
    monkeypatch.setattr(dataset, "_WORTH_PROCESSES", 1)
    write_wflw(tmp_path, TRAIN, TEST, SIZE, SEED, workers=2, progress=False)
    assert _contents(tmp_path) == _contents(root)


def test_refuses_another_configuration(root: Path) -> None:
    before = _contents(root)
    with pytest.raises(ValueError, match="one configuration"):
        write_wflw(root, TRAIN, TEST, SIZE, SEED + 1, workers=1, progress=False)
    assert _contents(root) == before


def test_refuses_a_directory_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="empty or a new directory"):
        write_wflw(tmp_path, TRAIN, TEST, SIZE, SEED, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_refuses_a_broken_configuration_file(tmp_path: Path) -> None:
    (tmp_path / dataset.CONFIGURATION).write_text("{")
    with pytest.raises(ValueError, match="must be JSON"):
        write_wflw(tmp_path, TRAIN, TEST, SIZE, SEED, progress=False)


@pytest.mark.parametrize(
    "changes", [{"train": 0}, {"test": 0}, {"size": 8}, {"seed": -1}, {"workers": 0}]
)
def test_rejects_arguments_out_of_range(tmp_path: Path, changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Received"):
        write_wflw(tmp_path / "out", **({"train": 1, "test": 1} | changes), progress=False)
    assert not (tmp_path / "out").exists()


def test_configuration_is_kept(root: Path) -> None:
    kept = json.loads((root / dataset.CONFIGURATION).read_text())
    assert kept["seed"] == SEED
    assert kept["size"] == SIZE
