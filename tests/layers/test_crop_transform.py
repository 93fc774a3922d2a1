"""CropTransform: θ by which a face is cut out anew, upright and by a convention."""

import numpy as np
import pytest
from keras import ops

from contract import run_contract
from tfalign.geometry import CropConvention
from tfalign.geometry.parametric import map_points, map_points_back
from tfalign.layers import CropTransform

SIZE = (60, 90)
EYES = [[0, 1], [2, 3]]
CROP = CropConvention((0.1, -0.05, 0.2, 0.3))


def face(degrees: float, centre=(40.0, 30.0), side: float = 20.0) -> np.ndarray:
    """Eyes of two points each and a mouth, in pixels, turned clockwise to the eye."""
    points = (
        np.array([(-1, -1), (-0.5, -1), (0.5, -1), (1, -1), (-0.6, 0.8), (0.6, 1.0)]) * side / 2
    )
    turn = np.deg2rad(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return points @ matrix.T + centre


def unit(points: np.ndarray) -> np.ndarray:
    return (points / np.array(SIZE[::-1]))[None].astype("float32")


@pytest.mark.parametrize("eyes", [EYES, EYES[::-1]], ids=["right first", "left first"])
@pytest.mark.parametrize("degrees", [0.0, 25.0, -80.0])
def test_a_turned_face_is_shown_upright_in_its_padded_square(degrees: float, eyes: list) -> None:
    """The eyes are level, and the landmarks' box lies in the view as the paddings say."""
    theta = CropTransform(SIZE, CROP, eyes)(unit(face(degrees)))
    signed = 2 * unit(face(degrees)) - 1
    seen = (ops.convert_to_numpy(map_points_back(theta, signed))[0] + 1) / 2
    right, left = (seen[group].mean(axis=0) for group in EYES)
    assert left[0] > right[0]
    assert abs(left[1] - right[1]) < 1e-5
    # By hand: a box of 20 × 20 px is padded to 26 × 25 and squared to 26: half a pixel more above
    # and below.
    low, high = seen.min(axis=0), seen.max(axis=0)
    np.testing.assert_allclose(low * 26, (2.0, -0.5), atol=1e-4)
    np.testing.assert_allclose(high * 26, (22.0, 19.5), atol=1e-4)


def test_without_eyes_it_is_the_crop_of_the_box() -> None:
    """θ takes the view's corners where the NumPy convention puts its region's."""
    points = face(30.0)
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    x0, y0, x1, y1 = CROP.region(box)
    theta = CropTransform(SIZE, CROP)(unit(points))
    corners = np.array([[[-1, -1], [1, -1], [-1, 1], [1, 1]]], "float32")
    found = (
        (ops.convert_to_numpy(map_points(theta, corners, "scaling"))[0] + 1)
        / 2
        * np.array(SIZE[::-1])
    )
    np.testing.assert_allclose(found, [(x0, y0), (x1, y0), (x0, y1), (x1, y1)], atol=1e-4)


def test_a_shape_without_extent_gives_finite_numbers() -> None:
    theta = CropTransform(SIZE, "300w", EYES)(np.full((2, 6, 2), 0.5, "float32"))
    assert np.isfinite(ops.convert_to_numpy(theta)).all()


@pytest.mark.jax
def test_contract(tmp_path) -> None:
    shapes = np.concatenate([unit(face(20.0)), unit(face(-70.0, (30.0, 20.0), 12.0))])
    run_contract(
        CropTransform,
        shapes,
        {"image_size": SIZE, "crop": CROP.get_config(), "eyes": EYES},
        tmp_path,
        expected_shape=(2, 6),
    )


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"image_size": (0, 4)}, "image_size"),
        ({"image_size": SIZE, "eyes": [[0], []]}, "eyes"),
        ({"image_size": SIZE, "crop": "nothing"}, "crop"),
    ],
)
def test_refuses(arguments, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        CropTransform(**arguments)


def test_refuses_what_are_no_landmarks() -> None:
    with pytest.raises(ValueError, match="input_shape"):
        CropTransform(SIZE)(np.zeros((2, 6, 3), "float32"))


def test_an_eye_is_the_mean_of_its_points_however_often_one_is_named() -> None:
    """Its first point twice and its second once: two thirds and one third of the way."""
    points = face(0.0)
    points[1] += (0.0, 6.0)
    theta = ops.convert_to_numpy(CropTransform(SIZE, CROP, [[0, 0, 1], [2, 3]])(unit(points)))[0]
    along = points[[2, 3]].mean(axis=0) - points[[0, 0, 1]].mean(axis=0)
    found = theta[3] * SIZE[0], theta[0] * SIZE[1]
    assert np.arctan2(*found) == pytest.approx(np.arctan2(along[1], along[0]), abs=1e-5)


@pytest.mark.parametrize("index", [6, -1])
def test_an_eye_is_made_of_the_shapes_points(index: int) -> None:
    with pytest.raises(ValueError, match=r"from 0 to 5\. Received: eyes"):
        CropTransform(SIZE, CROP, [[0, 1], [2, index]])(unit(face(0.0)))
