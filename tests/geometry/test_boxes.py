"""Boxes, crops and conversions between the spaces, on numbers worked out by hand and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tfalign import geometry as g

BOX = np.array([10.0, 20.0, 50.0, 100.0], "float32")  # 40 wide, 80 high, centre (30, 60)


def test_from_landmarks(run, rng):
    points = rng.uniform(-5, 5, (3, 7, 2)).astype("float32")
    got = run(g.box_from_landmarks, points)
    for box, shape in zip(got, points, strict=True):
        x, y, w, h = cv2.boundingRect(shape)  # integer, never smaller
        assert (box[:2] >= [x, y]).all()
        assert (box[2:] <= [x + w, y + h]).all()
        assert set(box) <= set(shape.ravel())


def test_center_and_size(run):
    assert run(g.box_center, BOX).tolist() == [30, 60]
    assert run(g.box_size, BOX).tolist() == [40, 80]


def test_pad(run):
    got = run(g.pad_box, BOX, padding=(0.1, -0.25, 0.2, 0.5))
    np.testing.assert_allclose(got, [6, 40, 58, 140], rtol=1e-6)


def test_square_and_clip(run):
    assert run(g.square_box, BOX).tolist() == [-10, 20, 70, 100]
    assert run(g.clip_box, g.square_box(BOX), size=(90, 60)).tolist() == [0, 20, 60, 90]


def test_perturb(run):
    got = run(g.perturb_box, BOX, scale=0.5, shift=np.array([0.1, -0.1], "float32"))
    np.testing.assert_allclose(got, [24, 32, 44, 72], rtol=1e-6)


@pytest.mark.parametrize("padding", [(0.1, 0.1, 0.1), (-0.6, 0, -0.4, 0), (0, -1, 0, 0)])
def test_bad_padding(padding):
    with pytest.raises(ValueError, match="Received: padding="):
        g.pad_box(BOX, padding)


def test_crop_from_image_sends_the_box_to_the_crop(run):
    crop = run(g.crop_from_image, BOX, size=(56, 112))
    corners = np.array([[10, 20], [50, 20], [50, 100], [10, 100], [30, 60]], "float32")
    expected = [[0, 0], [112, 0], [112, 56], [0, 56], [56, 28]]
    np.testing.assert_allclose(g.transform_points(crop, corners), expected, atol=1e-4)


def test_angle_turns_the_box_clockwise():
    # Turned by a quarter, the box's upper edge lies where its right edge was.
    square = np.array([0.0, 0.0, 10.0, 10.0])
    crop = g.crop_from_image(square, (10, 10), np.array(np.pi / 2))
    corners = np.array([[10.0, 0.0], [10.0, 10.0]])
    np.testing.assert_allclose(g.transform_points(crop, corners), [[0, 0], [10, 0]], atol=1e-6)


@pytest.mark.parametrize("size", [(0, 10), (10,), (-1, 5)])
def test_bad_crop_size(size):
    with pytest.raises(ValueError, match="Received: size="):
        g.crop_from_image(BOX, size)


def test_spaces(run, rng):
    points = rng.uniform(0, 100, (4, 6, 2)).astype("float32")
    unit = run(g.unit_from_pixel, points, size=(50, 200))
    np.testing.assert_allclose(unit, points / [200, 50], rtol=1e-6)
    np.testing.assert_allclose(run(g.pixel_from_unit, unit, size=(50, 200)), points, rtol=1e-5)
    signed = run(g.signed_from_unit, unit)
    np.testing.assert_allclose(signed, 2 * unit - 1, atol=1e-6)
    np.testing.assert_allclose(run(g.unit_from_signed, signed), unit, atol=1e-6)


def test_mirroring_in_unit_space_is_mirroring_the_image(rng):
    # x → 1 − x, exactly: the pixel under a point is the same before and after.
    image = rng.uniform(size=(1, 6, 9, 1)).astype("float32")
    points = rng.uniform(0, 1, (1, 40, 2)).astype("float32")
    mirrored = np.stack([1 - points[..., 0], points[..., 1]], axis=-1)
    one = g.sample_bilinear(image, g.pixel_from_unit(points, (6, 9)))
    other = g.sample_bilinear(image[:, :, ::-1].copy(), g.pixel_from_unit(mirrored, (6, 9)))
    np.testing.assert_allclose(one, other, atol=1e-5)
