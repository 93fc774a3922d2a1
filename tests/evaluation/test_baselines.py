import numpy as np
import pytest

from tfalign import geometry
from tfalign.evaluation import evaluate_model, mean_shape_predictor, shapes_in_crops


def test_shapes_in_crops_by_hand():
    shape = np.array([[10.0, 20.0], [30.0, 20.0], [30.0, 60.0], [20.0, 40.0]])
    # The tight box is 20 × 40, its square 40 × 40 from x = 0; nothing is padded.
    found = shapes_in_crops([shape], geometry.CropConvention(), (64, 64))
    np.testing.assert_allclose(found[0], (shape - (0, 20)) / 40, atol=1e-6)
    boxes = [np.array([0.0, 0.0, 80.0, 80.0])]
    found = shapes_in_crops([shape], geometry.CropConvention(), (64, 64), boxes)
    np.testing.assert_allclose(found[0], shape / 80, atol=1e-6)


def test_mean_shape_has_the_error_of_the_mean(oracle_faces):
    faces = oracle_faces(count=4)
    shapes = shapes_in_crops([s.landmarks for s in faces.samples], "300w", (32, 32))
    model = mean_shape_predictor(shapes, "300w", "ibug68", (32, 32))
    assert model.name == "mean shape"
    evaluation = evaluate_model(
        model, faces.samples, "300w_inter_ocular", box="landmarks", progress=False
    )
    expected = []
    for sample in faces.samples:
        box = geometry.box_from_landmarks(sample.landmarks)
        region = geometry.CROP_PRESETS["300w"].region(box)
        side = region[2] - region[0]
        guess = shapes.mean(axis=0) * side + region[:2]
        distances = np.linalg.norm(guess - sample.landmarks, axis=-1)
        eyes = np.linalg.norm(sample.landmarks[36] - sample.landmarks[45])
        expected.append(distances.mean() / eyes)
    np.testing.assert_allclose(evaluation.score.errors, expected, rtol=1e-5)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"shapes` must be \(faces, 68, 2\)"):
        mean_shape_predictor(np.zeros((3, 98, 2)), "300w", "ibug68")
    with pytest.raises(ValueError, match="at least one shape"):
        shapes_in_crops([], "300w")
