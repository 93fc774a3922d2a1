"""MATLAB 7.3 files: arrays of the wrong kind, and arrays that are not stored as a whole."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tfalign.data.readers.hdf5 import cell_images, matrix, read_hdf5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.mat"


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, (data, options) in arrays.items():
            file.create_dataset(name, data=data, **options)


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"chunks": (2, 3)}])
def test_matrices_are_transposed(path, rng, options):
    data = rng.normal(size=(7, 4))
    write(path, a=(data.T, options))
    np.testing.assert_array_equal(read_hdf5(path, lambda file: matrix(file, "a", 4)), data)


def test_a_lost_chunk_is_noticed(path):
    with h5py.File(path, "w") as file:
        data = file.create_dataset("a", (4, 6), "<f8", chunks=(4, 3))
        data[:, :3] = 1.0  # the other chunk is never written: HDF5 would read zeros
    with pytest.raises(ValueError, match="chunks are missing"):
        read_hdf5(path, lambda file: matrix(file, "a", 4))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5, 6), np.uint8), "grey or RGB"),
        (np.zeros((5, 6), np.float64), "uint8"),
        (np.zeros((0, 6), np.uint8), "1 to"),
    ],
)
def test_cells_must_hold_images(path, image, message):
    with h5py.File(path, "w") as file:
        reference = file.create_dataset("#refs#/a", data=image).ref
        file.create_dataset("I", data=np.array([[reference]], h5py.ref_dtype))
    with pytest.raises(ValueError, match=message):
        read_hdf5(path, lambda file: cell_images(file, path, "I"))
