"""The real samples load, in the numbers that their README states."""

from __future__ import annotations

from collections import Counter

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from tfalign.data.readers import aflw19, cofw, w300, wflw, ytf


def spans_the_eyes(sample, left: int, right: int) -> bool:
    """Whether the outer eye corners lie apart, in the image, and right of one another."""
    (x0, _), (x1, _) = sample.landmarks[left], sample.landmarks[right]
    return 0 < x0 < x1 < sample.image.shape[1]


@pytest.mark.slow
def test_300w_subset(real_data):
    reader = w300.read(real_data / "300w_subset")
    assert Counter(record.attributes["folder"] for record in reader.records) == {
        "afw": 337,
        "helen/trainset": 870,
        "lfpw/trainset": 737,
    }
    facing = 0
    for sample in reader:
        # Stated by the README: crops of thrice the face, the face at most 160 pixels. Files have
        # 3 decimals, hence the hundredth of a pixel; LFPW's are up to 0.3 larger.
        limit = 160.3 if sample.attributes["folder"].startswith("lfpw") else 160.01
        assert np.ptp(sample.landmarks, axis=0).max() <= limit
        facing += spans_the_eyes(sample, 36, 45)
    assert facing == len(reader) == 1944


def test_300w_points_agree_with_a_plain_reading(real_data):
    path = real_data / "300w_subset" / "afw" / "1051618982_1.pts"
    plain = np.loadtxt(path.read_text().splitlines()[3:-1]) - 0.5
    reader = w300.read(real_data / "300w_subset", "afw")
    np.testing.assert_allclose(reader[0].landmarks, plain, rtol=1e-6)


@pytest.mark.slow
def test_ytf(real_data):
    reader = ytf.read(real_data / "ytf")
    assert len(list(reader)) == len(reader) == 1800
    assert len({record.attributes["person"] for record in reader.records}) == 300


def test_wflw_sample(real_data):
    samples = list(wflw.read(real_data / "format_samples" / "WFLW"))
    assert [sample.name[-6:] for sample in samples] == ["16.jpg", ".jpg#2", ".jpg#3"]
    assert all(spans_the_eyes(sample, 60, 72) for sample in samples)
    np.testing.assert_allclose(samples[0].landmarks[0], [737.810974, 302.729004], rtol=1e-7)


def test_300w_private_sample(real_data):
    (sample,) = w300.read(real_data / "format_samples" / "300W", "01_Indoor")
    np.testing.assert_allclose(sample.landmarks[0], [69.5, 291.832], rtol=1e-6)
    assert spans_the_eyes(sample, 36, 45)


def test_cofw_sample_through_the_native_format(real_data, tmp_path):
    """The sample is text that stands in for the MATLAB file, which is written here."""
    folder = real_data / "format_samples" / "COFW"
    name, *phi = (folder / "phisT_rows.txt").read_text().split()
    box = (folder / "bboxesT_rows.txt").read_text().split()[1:]
    image = cv2.imread(str(folder / name))[..., ::-1]
    with h5py.File(tmp_path / cofw.FILES["test"], "w") as file:
        reference = file.create_dataset("#refs#/a", data=image.T).ref
        file.create_dataset("IsT", data=np.array([[reference]], h5py.ref_dtype))
        file.create_dataset("phisT", data=np.array(phi, float)[:, None])
        file.create_dataset("bboxesT", data=np.array(box, float)[:, None])
    (sample,) = cofw.read(tmp_path, "test")
    np.testing.assert_array_equal(sample.image, image)
    plain = np.array(phi, float)[:58].reshape(2, 29).T - 0.5
    np.testing.assert_allclose(sample.landmarks, plain, rtol=1e-6)
    np.testing.assert_array_equal(sample.box, [37.5, 101.5, 142.5, 281.5])
    assert np.flatnonzero(~sample.visible).tolist() == [*range(22, 28)]
    assert spans_the_eyes(sample, 8, 9)


def test_aflw_sample_through_the_native_format(real_data, tmp_path):
    """The sample is a row of the HRNet lists; the MATLAB file is written here."""
    folder = real_data / "format_samples" / "AFLW"
    row = (folder / "aflw19_samples.csv").read_text().splitlines()[1].split(",")
    size, x, y = map(float, row[2:5])
    points = np.array(row[5:], float).reshape(19, 2)
    cells = np.empty((1, 1), object)
    cells[0, 0] = "image22568.jpg"
    content = {
        "bbox": np.array([[x - size / 2, x + size / 2, y - size / 2, y + size / 2]]),
        "data": points.T.reshape(1, 38),
        "mask_new": np.ones((1, 19)),
        "nameList": cells,
        "ra": np.array([[1]]),
    }
    scipy.io.savemat(tmp_path / aflw19.FILE, content)
    (tmp_path / "flickr").symlink_to(folder / "images")
    (sample,) = aflw19.read(tmp_path, "frontal", train_faces=0)
    np.testing.assert_allclose(sample.landmarks, points - 0.5, rtol=1e-6)
    assert spans_the_eyes(sample, 6, 11)
