"""The posed head: where its landmarks are, against the mesh that is drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tfalign.data.synthetic import layout
from tfalign.data.synthetic.expression import both_sides, expression_modes
from tfalign.data.synthetic.head import deform, pose_head, rotation_matrix
from tfalign.data.synthetic.identity import identity_modes
from tfalign.data.synthetic.mesh import EYE, MOUTH, head_mesh
from tfalign.data.synthetic.parameters import HeadParameters, sample_parameters
from tfalign.data.synthetic.raster import rasterize
from tfalign.markup import IBUG68, WFLW98, convert

SIZE = 256


def _plain(**changes: object) -> HeadParameters:
    values: dict[str, object] = {"identity": np.zeros(len(identity_modes()[0])), "distance": 10.0}
    return HeadParameters(**(values | changes))  # type: ignore[arg-type]


def _posed(parameters: HeadParameters, unit: float = 80.0):
    return pose_head(parameters, unit * parameters.distance, np.full(2, SIZE / 2))


def test_every_landmark_but_the_pupils_is_a_vertex() -> None:
    mesh = head_mesh()
    found = mesh.vertices[mesh.landmark_vertices]
    np.testing.assert_allclose(found[:, :2], layout.landmarks()[:96, :2], atol=1e-9)
    np.testing.assert_allclose(found[:, 2], layout.landmarks()[:96, 2], atol=0.01)


def test_rotation_turns_the_named_way() -> None:
    for angles in ((20.0, 0, 0), (0, 20.0, 0), (0, 0, 20.0), (30.0, -10.0, 45.0)):
        matrix = rotation_matrix(*angles)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    nose = np.array([0.0, 0.0, 1.0])
    assert (rotation_matrix(20, 0, 0) @ nose)[0] > 0  # to the right of the image
    assert (rotation_matrix(0, 20, 0) @ nose)[1] > 0  # down
    right = rotation_matrix(0, 0, 20) @ np.array([1.0, 0.0, 0.0])
    assert right[1] > 0  # clockwise on the image


def test_mirrored_pose_mirrors_the_landmarks() -> None:
    left, right = _posed(_plain(yaw=35.0, roll=12.0)), _posed(_plain(yaw=-35.0, roll=-12.0))
    mirrored = left.landmarks * [-1, 1] + [SIZE, 0]
    # The fill of the mesh is not symmetric, so its normals are not either, quite.
    np.testing.assert_allclose(mirrored[list(WFLW98.flip_map)], right.landmarks, atol=0.8)


@pytest.mark.parametrize("yaw", [-42.0, -30.0, 0.0, 25.0, 42.0])
def test_contour_follows_the_visible_edge(yaw: float) -> None:
    """On the side that is turned away the contour is the silhouette of the drawn mesh."""
    head = _posed(_plain(yaw=yaw))
    mesh = head_mesh()
    seen = rasterize(head.pixels, head.turned[:, 2], mesh.triangles, SIZE)
    mask = np.zeros(SIZE * SIZE, np.uint8)
    mask[seen.pixel] = 255
    outlines, _ = cv2.findContours(
        mask.reshape(SIZE, SIZE), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    outline = max(outlines, key=len)
    # Lower down, the mouth and the chin make the silhouette of a head turned far.
    far = range(4, 10) if yaw < 0 else range(23, 29)
    near = range(2, 8) if yaw > 0 else range(25, 31)
    distance = [
        cv2.pointPolygonTest(outline, tuple(map(float, head.landmarks[i] - 0.5)), True) for i in far
    ]
    if abs(yaw) > 20:
        assert np.abs(distance).max() < 2.5
        # The near side keeps to the jaw's edge, inside the head's silhouette.
        anatomical = head.pixels[mesh.landmark_vertices[list(near)]]
        np.testing.assert_allclose(head.landmarks[list(near)], anatomical, atol=0.5)
    assert min(distance) > -1.5


def test_openings_of_the_mesh_end_at_their_landmarks() -> None:
    """Eye and mouth pixels reach exactly to the lids' and the inner lips' points."""
    head = _posed(_plain(expression={"part": 1.0, "jaw": 1.0}, yaw=15.0))
    mesh = head_mesh()
    seen = rasterize(head.pixels, head.turned[:, 2], mesh.triangles, SIZE)
    labels = mesh.labels[seen.triangle]
    xy = np.stack([seen.pixel % SIZE, seen.pixel // SIZE], 1) + 0.5
    middle = head.landmarks[51, 0]
    for label, points, chosen in (
        (EYE, range(60, 68), xy[:, 0] < middle),
        (EYE, range(68, 76), xy[:, 0] > middle),
        (MOUTH, range(88, 96), xy[:, 0] > 0),
    ):
        region = xy[(labels == label) & chosen]
        shape = head.landmarks[list(points)]
        # The corners are wedges, the last pixels of which are too thin to hold a centre.
        np.testing.assert_allclose(region.min(0), shape.min(0), atol=3.0)
        np.testing.assert_allclose(region.max(0), shape.max(0), atol=3.0)


def test_expression_moves_named_landmarks_and_leaves_the_forehead() -> None:
    names, fields = expression_modes()
    mesh = head_mesh()
    jaw = fields[names.index("jaw")]
    np.testing.assert_allclose(jaw[mesh.landmark_vertices[94]], (0, 0.305, -0.09), atol=1e-9)
    np.testing.assert_allclose(jaw[mesh.landmark_vertices[90]], 0, atol=1e-9)
    assert np.abs(jaw[mesh.layout[:, 1] < -0.62]).max() == 0


def test_both_sides_mirrors_a_movement() -> None:
    moved = both_sides({76: (-0.1, 0.2, 0.3), 79: (0.0, 0.1, 0.0)})
    assert moved[82] == (0.1, 0.2, 0.3)
    assert moved[79] == (0.0, 0.1, 0.0)


def test_lids_and_lips_never_cross(rng: np.random.Generator) -> None:
    mesh = head_mesh()
    for _ in range(200):
        vertices = deform(sample_parameters(rng))
        for ring in (*mesh.eye_vertices, mesh.lip_inner_vertices):
            upper, lower = vertices[ring[1:16], 1], vertices[ring[:16:-1], 1]
            assert (lower - upper).min() > -1e-5


def test_moved_is_the_same_as_posing_there(rng: np.random.Generator) -> None:
    parameters = sample_parameters(rng)
    base = pose_head(parameters, 3.0, np.array([1.0, 2.0]))
    moved = base.moved(50.0, np.array([100.0, 90.0]))
    direct = pose_head(parameters, 150.0, np.array([100.0, 90.0]))
    np.testing.assert_allclose(moved.landmarks, direct.landmarks, atol=1e-3)
    np.testing.assert_allclose(moved.pixels, direct.pixels, atol=1e-3)


def _normalized(shapes: np.ndarray) -> np.ndarray:
    shapes = shapes - shapes.mean(1, keepdims=True)
    return shapes / np.sqrt((shapes**2).sum((1, 2), keepdims=True))


def _aligned(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    a, b = shapes @ np.array([1, 1j]), mean @ np.array([1, 1j])
    turn = (a.conj() * b).sum(1, keepdims=True)
    turned = a * turn / np.abs(turn)
    return np.stack([turned.real, turned.imag], -1)


def _procrustes_mean(shapes: np.ndarray) -> np.ndarray:
    shapes = _normalized(shapes)
    mean = shapes[0]
    for _ in range(8):
        mean = _normalized(_aligned(shapes, mean).mean(0)[None])[0]
    return mean


def test_mean_shape_is_that_of_real_faces(real_data, rng: np.random.Generator) -> None:
    """The Procrustes means of drawn and of real 68-point shapes differ by under 1.5 %."""
    drawn = []
    for _ in range(800):
        parameters = sample_parameters(rng)
        # Photographs of the set hold few heads that are turned farther.
        if abs(parameters.yaw) < 35 and abs(parameters.pitch) < 22:
            drawn.append(
                convert(pose_head(parameters, 1000, np.zeros(2)).landmarks, WFLW98, IBUG68)
            )
    real = np.load(real_data / "300w_train_shapes.npz")["shapes"]
    target = _procrustes_mean(real)
    ours = _aligned(_procrustes_mean(np.array(drawn))[None], target)[0]
    unit = np.linalg.norm(target[45] - target[36])
    assert np.linalg.norm(ours - target, axis=1).mean() / unit < 0.015
