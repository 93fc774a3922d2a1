from dataclasses import replace

import numpy as np
import pytest

from tfalign import geometry
from tfalign.data.readers import w300
from tfalign.evaluation.boxes import HaarDetector, choose_boxes, overlap


@pytest.fixture
def sample(oracle_faces):
    return oracle_faces(count=1).samples[0]


def tight(sample):
    return np.asarray(geometry.box_from_landmarks(sample.landmarks))


def test_landmarks_and_file(sample):
    np.testing.assert_array_equal(choose_boxes([sample], "landmarks").boxes[0], tight(sample))
    np.testing.assert_array_equal(choose_boxes([sample], "file").boxes[0], sample.box)
    with pytest.raises(ValueError, match=r"gives no box for 'helen/testset/0\.png'"):
        choose_boxes([replace(sample, box_source="landmarks")], "file")
    with pytest.raises(ValueError, match="must be one of landmarks, file, detector"):
        choose_boxes([sample], "official")


def test_detector_takes_the_detection_of_this_face(sample):
    box = tight(sample)
    other = box + 45.0
    near = box + 3.0
    found = choose_boxes([sample], "detector", lambda image: np.stack([other, near]))
    np.testing.assert_array_equal(found.boxes[0], near.astype(np.float32))
    assert not found.missed.any()


@pytest.mark.parametrize("detections", [np.zeros((0, 4)), np.array([[0.0, 0.0, 9.0, 9.0]])])
def test_missed_faces_fall_back_and_are_counted(sample, detections):
    found = choose_boxes([sample], "detector", lambda image: detections.astype(np.float32))
    assert found.missed.tolist() == [True]
    np.testing.assert_array_equal(found.boxes[0], sample.box)
    without = replace(sample, box_source="landmarks")
    found = choose_boxes([without], "detector", lambda image: detections.astype(np.float32))
    np.testing.assert_array_equal(found.boxes[0], tight(sample))


def test_overlap_by_counting_cells():
    boxes = np.array([[0, 0, 4, 4], [2, 1, 6, 5], [9, 9, 10, 10]])
    box = np.array([1, 1, 5, 4])

    def cells(b):
        return {(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])}

    expected = [len(cells(b) & cells(box)) / len(cells(b) | cells(box)) for b in boxes]
    np.testing.assert_allclose(overlap(boxes, box), expected)


def test_haar_arguments():
    with pytest.raises(ValueError, match="smallest=0"):
        HaarDetector(smallest=0)
    assert HaarDetector()(np.zeros((80, 80, 3), np.uint8)).shape == (0, 4)


@pytest.mark.slow
def test_haar_boxes_of_real_faces_lie_on_the_landmarks(real_data):
    # Held-out names, which PADDING was not fitted on.
    samples = list(w300.read(real_data / "300w_subset", ["helen/trainset"])[-16:])
    found = choose_boxes(samples, "detector")
    assert found.missed.mean() <= 0.25
    ratios = [
        overlap(box[None], tight(sample))[0]
        for box, sample, missed in zip(found.boxes, samples, found.missed, strict=True)
        if not missed
    ]
    assert np.median(ratios) > 0.7
