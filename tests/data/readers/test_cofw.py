"""COFW: MATLAB 7.3 files, grey images, COFW-68."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.io

from tfalign.data.readers import cofw


@pytest.fixture
def root(formats, tmp_path, rng):
    formats["cofw"].build(tmp_path, rng)
    return tmp_path


def change(root, name, index, value):
    with h5py.File(root / cofw.FILES["train"], "r+") as file:
        data = file[name][()]
        data[index] = value
        file[name][...] = data


@pytest.mark.parametrize(
    ("kind", "name", "index", "value"),
    [
        ("not-finite", "phisTr", (5, 1), np.nan),
        ("malformed-line", "phisTr", (60, 1), 0.5),
        ("outside-image", "phisTr", (5, 1), 90.0),
        ("empty-box", "bboxesTr", (2, 1), 0.0),
    ],
)
def test_bad_faces(root, kind, name, index, value):
    change(root, name, index, value)
    with pytest.raises(ValueError, match=r"COFW_train_color\.mat: IsTr\{2\}: ") as caught:
        cofw.read(root)
    assert caught.value.problem.kind == kind
    reader = cofw.read(root, on_error="skip")
    assert [record.name for record in reader.records] == ["train/1", "train/3"]
    assert reader.report.counts == {kind: 1}


def test_a_box_that_misses_its_face_gives_way_to_the_points(root):
    change(root, "bboxesTr", (0, 1), 40.0)
    reader = cofw.read(root)
    assert [record.box_source for record in reader.records] == ["file", "landmarks", "file"]
    (problem,) = reader.report.noted
    assert (problem.kind, problem.name) == ("box-misses-face", "train/2")


def test_bad_files(root):
    path = root / cofw.FILES["train"]
    with h5py.File(path, "r+") as file:
        cells = file["IsTr"][()]
        cells[0, 0] = cells[0, 2]
        file["IsTr"][...] = cells
    with pytest.raises(ValueError, match="one is referred to twice"):
        cofw.read(root, on_error="skip")
    with h5py.File(path, "r+") as file:
        del file["phisTr"]
        file["phisTr"] = np.zeros((87, 3), np.float32)
    with pytest.raises(ValueError, match="phisTr must be a matrix of doubles"):
        cofw.read(root)
    with h5py.File(path, "r+") as file:
        del file["phisTr"]
        file["phisTr"] = np.zeros((86, 3))
    with pytest.raises(ValueError, match="phisTr must have 87 columns"):
        cofw.read(root)
    path.write_bytes(b"MATLAB 7.3")
    with pytest.raises(ValueError, match=r"COFW_train_color\.mat: a MATLAB 7\.3"):
        cofw.read(root)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        cofw.read(root, "train")


def test_contiguous_arrays_are_read_as_well(formats, tmp_path, rng):
    build = formats["cofw"].build
    faces = build(tmp_path, rng, gzip=False)
    for sample in cofw.read(tmp_path):
        np.testing.assert_array_equal(sample.image, faces[sample.name].image)


def test_cofw68_has_another_scheme_and_is_read_alone(formats, tmp_path, rng):
    formats["cofw68"].build(tmp_path, rng)
    assert cofw.read(tmp_path, "test68").scheme.name == "ibug68"
    assert cofw.read(tmp_path, "test").scheme.name == "cofw29"
    with pytest.raises(ValueError, match="must be read alone"):
        cofw.read(tmp_path, ["test", "test68"])


def test_cofw68_with_a_missing_or_bad_annotation(formats, tmp_path, rng):
    formats["cofw68"].build(tmp_path, rng)
    folder = tmp_path / "COFW68_Data" / "test_annotations"
    (folder / "2_points.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"2_points\.mat"):
        cofw.read(tmp_path, "test68")
    scipy.io.savemat(folder / "2_points.mat", {"Points": np.ones((67, 2)), "Occ": np.ones(67)})
    report = cofw.read(tmp_path, "test68", on_error="skip").report
    assert report.counts == {"wrong-number-of-points": 1}
