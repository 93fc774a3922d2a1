"""AFLW-19: the order of ``ra``, the frontal faces, bad entries."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from tfalign.data.readers import aflw19


@pytest.fixture
def root(formats, tmp_path, rng):
    formats["aflw19"].build(tmp_path, rng)
    return tmp_path


def change(root, **values):
    path = root / aflw19.FILE
    content = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
    content.update({name: update(content[name]) for name, update in values.items()})
    scipy.io.savemat(path, content)


def put(index, value):
    def update(array):
        array = array.astype(float)
        array[index] = value
        return array

    return update


def names(root, splits):
    return [record.name for record in aflw19.read(root, splits, train_faces=2).records]


def test_splits_follow_the_permutation(root):
    assert names(root, "train") == ["2/z.png#2", "2/z.png"]
    assert names(root, "full") == ["0/x.png", "0/y.png"]
    assert "0/y.png" in names(root, "frontal")  # the builder makes all its points visible


def test_frontal_means_all_points_visible(root):
    change(root, mask_new=lambda mask: mask * 0 + 1)
    assert names(root, "frontal") == names(root, "full")
    change(root, mask_new=put((0, 7), 0))
    assert names(root, "frontal") == ["0/y.png"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("not-finite", {"data": put((1, 4), np.nan)}),
        ("empty-box", {"bbox": put((1, 1), 2.0)}),
        ("malformed-line", {"mask_new": put((1, 1), 2)}),
        ("missing-image", {"nameList": lambda cells: np.where(cells == "0/y.png", "0/n", cells)}),
    ],
)
def test_bad_faces(root, kind, values):
    change(root, **values)
    with pytest.raises((ValueError, FileNotFoundError), match="mat: face 2: ") as caught:
        aflw19.read(root, train_faces=2)
    assert caught.value.problem.kind == kind
    report = aflw19.read(root, train_faces=2, on_error="skip").report
    assert report.counts == {kind: 1}


def test_a_face_listed_twice(root):
    change(root, data=lambda data: data[[0, 1, 2, 2]])
    with pytest.raises(ValueError, match="listed once"):
        aflw19.read(root, train_faces=2)


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("permutation", {"ra": lambda ra: ra * 0 + 1}),
        ("38 columns", {"data": lambda data: data[:, :37]}),
        ("equally many", {"bbox": lambda box: box[:3]}),
        ("path below the images", {"nameList": lambda cells: np.full(cells.shape, "../x", object)}),
    ],
)
def test_bad_files_raise_even_when_skipping(root, message, values):
    change(root, **values)
    with pytest.raises(ValueError, match=message):
        aflw19.read(root, train_faces=2, on_error="skip")


def test_train_faces_is_checked(root):
    with pytest.raises(ValueError, match="`train_faces` must be 0 to 4"):
        aflw19.read(root)
