import numpy as np
import pytest

from tfalign import geometry
from tfalign.evaluation import PROTOCOLS
from tfalign.evaluation.worst_cases import PICTURE_SIZE, WorstCases


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_keeps_the_largest_errors_in_order(oracle_faces, rng, count):
    faces = oracle_faces(count=6)
    gallery = WorstCases(count, PROTOCOLS["300w_inter_ocular"])
    offsets = rng.permutation(6) + 1.0
    for sample, offset in zip(faces.samples, offsets, strict=True):
        gallery.offer(sample, sample.landmarks + np.array([offset, 0]))
    order = np.argsort(-offsets)[:count]
    assert [c.name for c in gallery.cases] == [faces.samples[i].name for i in order]
    for case, index in zip(gallery.cases, order, strict=True):
        assert case.error == pytest.approx(offsets[index] / 30, rel=1e-4)


def test_picture_and_points_belong_together(oracle_faces):
    sample = oracle_faces(count=1).samples[0]
    gallery = WorstCases(1, PROTOCOLS["300w_inter_ocular"])
    gallery.offer(sample, sample.landmarks + 1.0)
    (case,) = gallery.cases
    assert case.image.shape == (PICTURE_SIZE, PICTURE_SIZE, 3)
    # Red and green of the picture tell the image coordinates of what it shows.
    for point, original in zip(case.truth, sample.landmarks, strict=True):
        column, row = (int(v) for v in point)
        red, green = case.image[row, column, :2].astype(float)
        assert abs(red / 2 + 56.5 - original[0]) < 0.8
        assert abs(green / 2 + 46.5 - original[1]) < 0.8
    box = geometry.box_from_landmarks(case.truth)
    assert box.min() > 0
    assert box.max() < PICTURE_SIZE


def test_negative_count():
    with pytest.raises(ValueError, match="must not be negative"):
        WorstCases(-1, PROTOCOLS["300w_inter_ocular"])
