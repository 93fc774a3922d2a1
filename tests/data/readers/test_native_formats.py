"""Undamaged tiny data sets of every native format come back exactly."""

from __future__ import annotations

import numpy as np


def test_every_face_comes_back_exactly_and_in_order(native, tmp_path, rng):
    faces = native.build(tmp_path, rng)
    reader = native.read(tmp_path)
    assert [record.name for record in reader.records] == list(faces)
    for sample in reader:
        face = faces[sample.name]
        np.testing.assert_array_equal(sample.landmarks, face.landmarks)
        np.testing.assert_array_equal(sample.box, face.box)
        np.testing.assert_array_equal(sample.visible, face.visible)
        np.testing.assert_array_equal(sample.image, face.image)
        assert sample.landmarks.dtype == sample.box.dtype == np.float32
        assert sample.visible.dtype == bool
        assert sample.image.dtype == np.uint8
        assert sample.image.flags.c_contiguous
        assert sample.scheme == reader.scheme
        assert len(sample.landmarks) == reader.scheme.num_points
    assert not reader.report.skipped
    assert not reader.report.counts


def test_skipping_changes_nothing_for_good_data(native, tmp_path, rng):
    native.build(tmp_path, rng)
    strict, lenient = native.read(tmp_path), native.read(tmp_path, on_error="skip")
    assert strict.fingerprint() == lenient.fingerprint()
    assert len(list(lenient)) == len(strict)
