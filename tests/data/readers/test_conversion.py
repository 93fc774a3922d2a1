import dataclasses

import numpy as np
import pytest

from tfalign import geometry, markup
from tfalign.data import readers
from tfalign.data.synthetic import write_wflw


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = write_wflw(tmp_path_factory.mktemp("faces"), 3, 1, size=64, workers=1, progress=False)
    return readers.wflw.read(folder, "train")


def test_faces_stay_and_points_are_converted(faces):
    found = readers.converted(faces, "ibug68")
    assert (found.dataset, found.scheme) == (faces.dataset, markup.IBUG68)
    assert [r.name for r in found.records] == [r.name for r in faces.records]
    for sample, original in zip(found, faces, strict=True):
        assert sample.scheme is markup.IBUG68
        assert sample.landmarks.shape == (68, 2)
        np.testing.assert_array_equal(sample.image, original.image)
        # The outer eye corners are points of both schemes.
        for mine, other in zip(markup.IBUG68.eye_corners, markup.WFLW98.eye_corners, strict=True):
            np.testing.assert_array_equal(sample.landmarks[mine], original.landmarks[other])
        assert sample.box_source == "landmarks"
        np.testing.assert_allclose(sample.box, geometry.box_from_landmarks(sample.landmarks))


def test_a_point_is_hidden_if_one_of_its_points_is(faces):
    hidden = markup.WFLW98.eye_corners[0]
    visible = np.arange(98) != hidden
    records = [dataclasses.replace(r, visible=visible) for r in faces.records]
    marked = faces.subset(records)
    for record in readers.converted(marked, "ibug68").records:
        assert np.flatnonzero(~record.visible).tolist() == [markup.IBUG68.eye_corners[0]]


def test_undefined_conversion_raises(faces):
    with pytest.raises(ValueError, match="wflw98"):
        readers.converted(readers.converted(faces, "ibug68"), "wflw98")
