import numpy as np
import pytest
from inference.eyes import shape_in_box

from tfalign import markup
from tfalign.inference import MAX_PIXELS, Face, draw_faces

BOX = np.array([30.0, 20, 90, 80])


def face(landmarks=None, **more):
    landmarks = shape_in_box(BOX) if landmarks is None else landmarks
    return Face(landmarks, BOX, landmarks[None], 0.9, 0.03, markup.IBUG68, **more)


def changed(image, picture):
    return np.argwhere((picture != image).any(axis=2))[:, ::-1] + 0.5


def test_points_are_drawn_where_they_are():
    image = np.full((120, 140, 3), 90, np.uint8)
    before = image.copy()
    picture = draw_faces(image, [face()], boxes=False, edges=False)
    np.testing.assert_array_equal(image, before)
    where = changed(image, picture)
    apart = np.linalg.norm(where[:, None] - face().landmarks, axis=2)
    assert apart.min(axis=0).max() < 1.0  # every point is drawn
    assert apart.min(axis=1).max() < 3.5  # and nothing else


def test_box_edges_and_labels_add_to_it():
    image = np.full((120, 140), 90, np.uint8)
    grey = np.repeat(image[..., None], 3, axis=2)
    options = {"boxes": False, "edges": False, "points": False}
    assert len(changed(grey, draw_faces(image, [face()], **options))) == 0
    box = changed(grey, draw_faces(image, [face()], **{**options, "boxes": True}))
    assert np.abs(box.min(axis=0) - BOX[:2]).max() <= 1.5
    assert np.abs(box.max(axis=0) - BOX[2:]).max() <= 1.5
    for option in ("edges", "labels"):
        assert len(changed(grey, draw_faces(image, [face()], **{**options, option: True}))) > 20


def test_tracks_keep_their_colour():
    image = np.full((120, 140, 3), 90, np.uint8)
    first = draw_faces(image, [face(track=1)])
    np.testing.assert_array_equal(first, draw_faces(image, [face(track=1)]))
    assert (first != draw_faces(image, [face(track=2)])).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, -1e9])
def test_points_that_cannot_be_drawn_are_left_out(value):
    landmarks = shape_in_box(BOX)
    landmarks[3] = value
    picture = draw_faces(np.zeros((120, 140, 3), np.uint8), [face(landmarks)], labels=True)
    assert picture.shape == (120, 140, 3)


def test_any_size_is_drawn_on():
    # More pixels than are read without asking; the points are drawn at the far end all the same.
    wide = np.broadcast_to(np.uint8(90), (40, MAX_PIXELS // 40 + 1, 3))
    far = face(
        shape_in_box(BOX - [0, 20, 0, 20] + [wide.shape[1] - 100, 0, wide.shape[1] - 100, 0])
    )
    picture = draw_faces(wide, [far], boxes=False, edges=False)
    assert (picture[:, :-100] == 90).all()
    assert (picture[:, -100:] != 90).any()


def test_no_face_and_one_pixel():
    assert (draw_faces(np.zeros((1, 1, 3), np.uint8), []) == 0).all()
    assert draw_faces(np.zeros((1, 1, 3), np.uint8), [face()]).shape == (1, 1, 3)
