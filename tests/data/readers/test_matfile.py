"""MATLAB 5 to 7 files: integrity before parsing."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from tfalign.data.readers.matfile import load_mat, real_matrix


@pytest.fixture(params=[True, False])
def path(request, tmp_path, rng):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"a": rng.normal(size=(5, 4))}, do_compression=request.param)
    return path


def test_matrices_come_back(path):
    theirs = scipy.io.loadmat(path)["a"]
    np.testing.assert_array_equal(real_matrix(load_mat(path, ("a",)), "a", 4, path), theirs)


def test_every_truncation_is_noticed(path):
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"a\.mat: a MATLAB file"):
            load_mat(path, ("a",))


def test_what_is_missing_or_of_another_shape(path):
    with pytest.raises(ValueError, match="no 'b'"):
        load_mat(path, ("a", "b"))
    with pytest.raises(ValueError, match=r"3 columns. Received: shape=\(5, 4\)"):
        real_matrix(load_mat(path, ("a",)), "a", 3, path)
    with pytest.raises(FileNotFoundError):
        load_mat(path.with_name("none.mat"), ("a",))
