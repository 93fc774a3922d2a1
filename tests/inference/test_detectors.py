import cv2
import numpy as np
import pytest

from tfalign import geometry
from tfalign.data.readers import w300
from tfalign.inference import HaarDetector
from tfalign.inference.detectors import check_detections, distinct, overlap, same_face


def test_one_box_per_face():
    boxes = np.array(
        [[0, 0, 10, 10], [2, 2, 8, 8], [1, 1, 11, 11], [20, 0, 30, 10], [9, 0, 19, 10]]
    )
    # The second lies inside the first, the third upon it; the last only touches it.
    assert same_face(boxes, boxes[0]).tolist() == [True, True, True, False, False]
    assert distinct(boxes, [0.5, 0.9, 0.4, 0.1, 0.2]).tolist() == [1, 3, 4]
    assert distinct(boxes[:0], []).tolist() == []


def test_overlap_of_halves():
    assert overlap(np.array([[0, 0, 2, 2]]), np.array([1, 0, 3, 2]))[0] == pytest.approx(1 / 3)


def test_detections_are_checked():
    assert check_detections([]).shape == (0, 4)
    assert check_detections(np.zeros((0, 4))).shape == (0, 4)
    for bad in ([[0, 0, 1]], [[1, 0, 0, 1]], [[0, 0, np.inf, 1]], [0.0, 0, 1, 1]):
        with pytest.raises(ValueError, match="x1 > x0"):
            check_detections(bad)


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 400, 3), (19, 19, 3), (80, 80, 3)])
def test_pictures_without_a_face(shape):
    assert HaarDetector()(np.zeros(shape, np.uint8)).shape == (0, 4)


def test_large_photographs_are_searched_reduced(real_data, monkeypatch):
    samples = w300.read(real_data / "300w_subset", ["helen/trainset"])
    found = []
    for sample in samples[:3]:
        large = cv2.resize(sample.image, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
        boxes = HaarDetector()(large) / 5
        tight = np.asarray(geometry.box_from_landmarks(sample.landmarks))
        found.append(max([0.0, *overlap(boxes, tight)]))
    assert np.median(found) > 0.6
